"""What says that two values, or two rows, are the same: one text that is equal where they are. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pandas as pd

from flows.values import as_text


def text_of(value: Any) -> str | None:
    """A text that is equal where values are, however each is written; None for a missing value."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return as_text(value)
    if value is None or pd.isna(value):
        return None
    if isinstance(value, Decimal):
        return str(value.normalize()) if value else "0"
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    return str(value + 0) if isinstance(value, float) else str(value)


def joined(texts: Sequence[str | None]) -> str | None:
    """The texts of several columns as one; None where any is missing."""
    if len(texts) == 1:
        return texts[0]
    return None if None in texts else json.dumps(list(texts))
