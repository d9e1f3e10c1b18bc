"""Columns of Arrow as Python's values, without loss; what has no exact value here says so."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from flows.source.table import Unreadable

BINARY = "is binary data, not text"
NANOSECONDS = "is more exact than a microsecond"
BEYOND = "is a date beyond the year 9999"
NO_NUMBER = "holds a number that is none (NaN or infinity)"
NO_TEXT = "is not valid UTF-8"

_types = pa.types
_TEXTS = (_types.is_string, _types.is_large_string)
_BINARY = (_types.is_binary, _types.is_large_binary, _types.is_fixed_size_binary)
_LISTS = (_types.is_list, _types.is_large_list, _types.is_fixed_size_list)
_MOMENTS = (_types.is_timestamp, _types.is_time, _types.is_date)
_AS_THEY_ARE = (_types.is_integer, _types.is_float64, _types.is_boolean, _types.is_decimal, _types.is_null)


def values_of(array: pa.Array) -> list[Any]:
    """The values of an array, None for nulls; an Unreadable for what has no exact value in Python or in JSON."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return values_of(array.storage)
    if _types.is_dictionary(kind):
        return _picked(values_of(array.dictionary), array.indices)
    if _is(kind, _TEXTS):
        return _texts(array)
    if _is(kind, _AS_THEY_ARE):
        return list(array.to_pylist())
    if _types.is_floating(kind):  # 0.1 of 32 bits is 0.1, and not the 0.10000000149 of 64 bits that is nearest
        as_kind = kind.to_pandas_dtype()
        return [None if value is None else Decimal(str(as_kind(value))) for value in array.to_pylist()]
    if _types.is_timestamp(kind) and kind.tz is None:
        return _moments(array)
    if _is(kind, _MOMENTS):
        encoded = array.dictionary_encode()
        return _picked(_moments(encoded.dictionary), encoded.indices)
    if _is(kind, _BINARY):
        return [None if each is None else Unreadable(BINARY, "#BINARY!") for each in array.to_pylist()]
    if _exact_inside(kind):
        return [Unreadable(NO_NUMBER, str(each)[:80]) if _odd(each) else each for each in array.to_pylist()]
    odd = Unreadable(f"is of a type that is not read: {kind}"[:200], f"<{kind}>"[:80])
    return [odd if there else None for there in array.is_valid().to_pylist()]


def _is(kind: pa.DataType, tests: Sequence[Callable[[pa.DataType], bool]]) -> bool:
    return any(test(kind) for test in tests)


def _picked(values: list[Any], indices: pa.Array) -> list[Any]:
    return [None if at is None else values[at] for at in indices.to_pylist()]


def _texts(array: pa.Array) -> list[Any]:
    try:
        return list(array.to_pylist())
    except UnicodeDecodeError:
        binary = array.cast(pa.large_binary() if _types.is_large_string(array.type) else pa.binary())
        return [None if each is None else _text(each) for each in binary.to_pylist()]


def _text(raw: bytes) -> Any:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return Unreadable(NO_TEXT, raw.decode(errors="replace"))


def _moments(array: pa.Array) -> list[Any]:
    """Dates, times of day and both, which Python knows to the microsecond and to the year 9999."""
    kind = array.type
    if _types.is_timestamp(kind) and kind.unit == "ns":
        kind = pa.timestamp("us", kind.tz)
    elif _types.is_time64(kind):
        kind = pa.time64("us")
    try:
        exact = array if kind == array.type else array.cast(kind)
        if _types.is_timestamp(kind) and kind.tz is None:
            found = exact.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).tolist()
            if set(map(type, found)) <= {datetime, type(None)}:
                return list(found)
        return list(exact.to_pylist())
    except (ValueError, OverflowError):
        return [_moment(scalar, kind) for scalar in array]


def _moment(scalar: pa.Scalar, kind: pa.DataType) -> Any:
    try:
        return scalar.cast(kind).as_py()
    except pa.ArrowInvalid:
        return Unreadable(NANOSECONDS, str(scalar.cast(pa.string())))
    except (ValueError, OverflowError):
        return Unreadable(BEYOND, str(scalar.cast(pa.string())))


def _exact_inside(kind: pa.DataType) -> bool:
    """Whether all that a nested type holds is written in JSON as it is."""
    if _is(kind, _LISTS):
        return _exact_inside(kind.value_type)
    if _types.is_struct(kind):
        return all(_exact_inside(kind.field(at).type) for at in range(kind.num_fields))
    coarse = _types.is_date(kind) or (_types.is_timestamp(kind) and kind.unit != "ns")
    return coarse or _is(kind, (*_TEXTS, *_AS_THEY_ARE))


def _odd(value: Any) -> bool:
    """Whether a number in it is none, which JSON would make null of."""
    if isinstance(value, dict):
        return any(map(_odd, value.values()))
    if isinstance(value, list):
        return any(map(_odd, value))
    return isinstance(value, float) and not math.isfinite(value)
