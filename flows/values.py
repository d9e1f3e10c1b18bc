"""A typed cell as text: the same in a request, in a table for people and in a file that is read again."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any


def as_text(value: Any) -> str:
    """Booleans as true/false, dates as ISO 8601, decimals without exponent, null as nothing."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):  # datetime too
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else str(value)
