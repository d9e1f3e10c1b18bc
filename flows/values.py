"""A typed cell as text: the same in a request, in a table for people and in a file that is read again.

And the way back of what APIs write: numbers and moments.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

_JSON = msgspec.json.Encoder(decimal_format="number")


def as_text(value: Any) -> str:
    """Booleans as true/false, dates as ISO 8601, decimals without exponent, null as nothing; what is nested as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):  # datetime too
        return value.isoformat()
    if isinstance(value, dict | list):
        return _JSON.encode(value).decode()
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def number_of(found: Any) -> float | None:
    """A finite number, also where it is written as text; None of anything else."""
    if isinstance(found, bool) or found is None:
        return None
    try:
        number = float(found)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def moment_of(text: str) -> float | None:
    """Unix seconds of a date, ISO 8601 or as in an HTTP header; UTC where it names no zone. None where it is none."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
