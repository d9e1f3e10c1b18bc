"""The types of a pandera model held to what they can hold: a value that does not fit unchanged is found out.

pandas coerces without looking: an integer that is too large for a nullable type wraps round (2147483648 becomes
-2147483648), a time loses the digits that its resolution has no room for, a short float rounds. Here each value is
compared with what became of it, and one that changed does not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandera import dtypes
from pandera.engines import pandas_engine
from pandera.errors import ParserError

from flows.pipeline.model import category_values, kind_of

Mask = npt.NDArray[np.bool_]

_READ_EXACTLY = ("decimal", "date")  # as Python objects; pandera would round a decimal to its own scale


def exact(dtype: Any) -> Any:
    """The type for pandera that coerces values which fit, and finds the others out; None where nothing is coerced."""
    kind = kind_of(dtype)
    if dtype is None or kind in _READ_EXACTLY or not type(dtype).__module__.startswith("pandera."):
        return None if kind in _READ_EXACTLY else dtype
    return _Exact(dtype, kind)


class _Exact(pandas_engine.DataType):
    """A type of pandera's, held to leaving every value as it is.

    Floats are held as 64 bits also where the model names fewer: 0.1 would go out as 0.10000000149011612.
    """

    def __init__(self, asked: Any, kind: str) -> None:
        held = asked
        if kind == "float" and asked.bit_width < 64:
            held = pandas_engine.Engine.dtype("float64" if isinstance(asked.type, np.dtype) else "Float64")
        for name, value in (("asked", asked), ("kind", kind), ("held", held), ("type", held.type)):
            object.__setattr__(self, name, value)  # types of pandera are frozen

    asked: Any
    kind: str
    held: Any

    def __str__(self) -> str:
        return str(self.asked)

    def __hash__(self) -> int:
        return hash(self.asked)

    def check(self, pandera_dtype: Any, data_container: Any = None) -> Any:
        """Whether a column is of this type."""
        return self.held.check(pandera_dtype, data_container)

    def coerce(self, data_container: Any) -> Any:
        """The column in this type. Raises ParserError with the values that do not fit."""
        return self.try_coerce(data_container)

    def try_coerce(self, data_container: Any) -> Any:
        """The column in this type. Raises ParserError with the values that do not fit."""
        unfit = self._unfit(data_container)
        if unfit.any():
            cases = data_container[unfit]
            table = pd.DataFrame({"index": cases.index, "failure_case": cases.astype(str).to_numpy()})
            raise ParserError(f"values do not fit the type {self}", table)  # type: ignore[no-untyped-call]
        return self.held.coerce(data_container)

    def _unfit(self, values: pd.Series) -> Mask:
        """Which values this type does not hold as they are."""
        if self.kind in ("int", "float") and pd.api.types.is_numeric_dtype(values.dtype):
            return self._outside(values)
        if isinstance(self.asked, dtypes.Category) and (named := category_values(self.asked)):
            return (~values.isin(named) & values.notna()).to_numpy(bool)
        return _changed(values, self.held.coerce)

    def _outside(self, values: pd.Series) -> Mask:
        if self.kind == "int":
            bits, signed = self.asked.bit_width, self.asked.signed
            low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        else:
            high = float(np.finfo(f"float{min(64, self.asked.bit_width)}").max)
            low = -high
        outside: Mask = ((values < low) | (values > high)).fillna(False).to_numpy(bool)
        return outside if self._takes_nulls else outside | values.isna().to_numpy(bool)

    @property
    def _takes_nulls(self) -> bool:
        return self.kind == "float" or not isinstance(self.held.type, np.dtype)


def _changed(values: pd.Series, coerce: Callable[[pd.Series], pd.Series]) -> Mask:
    """Which values are others once they are coerced, or cannot be; where it fails for all, half by half."""
    try:
        after = coerce(values)
    except Exception:
        if len(values) == 1:
            return np.ones(1, bool)
        half = len(values) // 2
        return np.concatenate([_changed(values.iloc[:half], coerce), _changed(values.iloc[half:], coerce)])
    pairs = zip(values.astype(object), values.isna(), after.astype(object), after.isna(), strict=True)
    return np.array([gone != lost or (not gone and was != became) for was, gone, became, lost in pairs], bool)
