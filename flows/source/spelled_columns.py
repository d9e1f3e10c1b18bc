"""Columns of typed values as text, a column at a time: what is alike is spelled alike, without a call for each cell."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from flows.records import Reason
from flows.source.arrow_values import values_of
from flows.source.gathered import Texts, listed
from flows.source.table import NotSpelled, Spelling

Faults: TypeAlias = "dict[int, tuple[Reason, ...]]"
_NONE, _MOMENTS = type(None), {date, datetime, time}
_ODD_DAY = r"^0000|^[-+]|^\d{5}"  # Python has the years 1 to 9999
_ODD_FLOAT = r"[en]|^-?0\.0000"  # Python writes some of these in another way
_POINT, _NOTHING = (pa.scalar(text, pa.large_string()) for text in (".0", ""))
_types = pa.types
_SOME = [datetime(2024, 3, 1), datetime(2024, 3, 1, 9, 5, 7, 123000), datetime(2024, 3, 1, 9, 5, tzinfo=UTC)]


class Columns:
    """Spells the columns of a file. `names`: theirs, `spellings`: one for each."""

    def __init__(self, names: Sequence[str], spellings: Sequence[Spelling]) -> None:
        self._columns = [_Column(name, spell) for name, spell in zip(names, spellings, strict=True)]

    def texts(self, columns: Sequence[Sequence[Any] | pa.Array]) -> tuple[list[Texts], Faults]:
        """Columns of equal length as text, and the faults of each record that has some, a cell each."""
        faults: Faults = {}
        return [
            column.of_array(values, faults) if isinstance(values, pa.Array) else column.texts(values, faults)
            for column, values in zip(self._columns, columns, strict=True)
        ], faults


class _Column:
    """One column. What its spelling makes of a few values says whether all of their type are written as they are."""

    def __init__(self, name: str, spell: Spelling) -> None:
        self._name, self._spell = name, spell
        self._texts_stay = self._makes("a", "a") and self._makes('"', '"')
        self._wholes_stay = self._makes(1234567, "1234567") and self._makes(-5, "-5")
        self._decimals_stay = (
            self._wholes_stay and self._makes(Decimal("1234.50"), "1234.50") and self._makes(Decimal("-5.0"), "-5.0")
        )
        self._moments_stay = all(self._makes(each, each.isoformat()) for each in _SOME)
        self._dates_stay = self._makes(_SOME[0].date(), "2024-03-01")
        self._floats_stay = self._makes(1234.5, "1234.5") and self._makes(-5.0, "-5.0")
        self._booleans: dict[bool, str] = {}
        with suppress(NotSpelled):
            self._booleans = {value: spell(value) for value in (False, True)}

    def of_array(self, array: pa.Array, faults: Faults) -> Texts:
        """The values of an array as text: by Arrow itself where it writes them as they are to be written."""
        made = self._cast(array)
        return self.texts(values_of(array), faults) if made is None else pc.fill_null(made, "")

    def _cast(self, array: pa.Array) -> pa.Array | None:
        kind = array.type
        if _types.is_dictionary(kind) and _is_text(kind.value_type):
            array, kind = array.dictionary_decode(), kind.value_type
        if _is_text(kind) and self._texts_stay:
            try:
                array.validate(full=True)
            except pa.ArrowInvalid:  # what is no UTF-8 becomes a fault
                return None
        elif _types.is_boolean(kind) and self._booleans:
            return pc.if_else(array, *(pa.scalar(self._booleans[each], pa.large_string()) for each in (True, False)))
        elif _types.is_date32(kind) and self._dates_stay:
            made = array.cast(pa.large_string())
            return None if pc.any(pc.match_substring_regex(made, _ODD_DAY)).as_py() else made
        elif _types.is_float64(kind) and self._floats_stay:
            made = array.cast(pa.large_string())
            if pc.any(pc.match_substring_regex(made, _ODD_FLOAT)).as_py():
                return None
            return pc.if_else(pc.match_substring(made, "."), made, pc.binary_join_element_wise(made, _POINT, _NOTHING))
        elif not (_types.is_integer(kind) and self._wholes_stay):
            return None
        return array.cast(pa.large_string())

    def texts(self, values: Sequence[Any], faults: Faults) -> Texts:
        """The values as text; a fault is noted by position, behind those of other columns."""
        types = set(map(type, values))
        if types == {str} and self._texts_stay:
            return values
        if _NONE in types:
            if types == {_NONE}:
                return [""] * len(values)
            places = [at for at, value in enumerate(values) if value is not None]
            inner: Faults = {}
            made = [""] * len(values)
            for at, text in zip(places, listed(self.texts([values[at] for at in places], inner)), strict=True):
                made[at] = text
            for at, more in inner.items():
                _add(faults, places[at], more)
            return made
        if types == {int} and self._wholes_stay:
            with suppress(OverflowError):
                return pa.array(values, pa.int64()).cast(pa.large_string())
            return list(map(str, values))
        if types <= {int, Decimal} and self._decimals_stay:
            found = list(map(str, values))
            if "E" not in "".join(found):
                return found
        if types == {float} and self._floats_stay:
            found = list(map(repr, values))
            together = "".join(found)
            if "e" not in together and "n" not in together:
                return found
        if types == {datetime} and self._moments_stay:
            return list(map(datetime.isoformat, values))
        if types == {date} and self._dates_stay:
            return list(map(date.isoformat, values))
        if types <= _MOMENTS:
            with suppress(NotSpelled):
                known = {value: self._spell(value) for value in set(values)}
                return list(map(known.__getitem__, values))
        if types == {bool} and self._booleans:
            return list(map(self._booleans.__getitem__, values))
        return [self._one(value, at, faults) for at, value in enumerate(values)]

    def _one(self, value: Any, at: int, faults: Faults) -> str:
        try:
            return self._spell(value)
        except NotSpelled as exc:
            _add(faults, at, (Reason(self._name, exc.check, exc.text[:80]),))
            return exc.text

    def _makes(self, value: Any, text: str) -> bool:
        try:
            return self._spell(value) == text
        except NotSpelled:
            return False


def _add(faults: Faults, at: int, more: tuple[Reason, ...]) -> None:
    faults[at] = (*faults.get(at, ()), *more)


def _is_text(kind: pa.DataType) -> bool:
    return bool(_types.is_string(kind) or _types.is_large_string(kind))
