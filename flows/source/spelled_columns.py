"""Columns of typed values as text, a column at a time: what is alike is spelled alike, without a call for each cell."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from flows.records import Reason
from flows.source.table import NotSpelled, Spelling

Fault = Reason
_NONE, _MOMENTS = type(None), {date, datetime, time}
_SOME = [datetime(2024, 3, 1), datetime(2024, 3, 1, 9, 5, 7, 123000), datetime(2024, 3, 1, 9, 5, tzinfo=UTC)]


class Columns:
    """Spells the columns of a file. `names`: theirs, `spellings`: one for each."""

    def __init__(self, names: Sequence[str], spellings: Sequence[Spelling]) -> None:
        self._columns = [_Column(name, spell) for name, spell in zip(names, spellings, strict=True)]

    def rows(self, columns: Sequence[Sequence[Any]]) -> tuple[list[list[str]], dict[int, Fault]]:
        """The records of columns of equal length as text, and the first fault of each that has one."""
        faults: dict[int, Fault] = {}
        texts = [column.texts(values, faults) for column, values in zip(self._columns, columns, strict=True)]
        return list(map(list, zip(*texts, strict=True))), faults


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

    def texts(self, values: Sequence[Any], faults: dict[int, Fault]) -> Sequence[str]:
        """The values as text; a fault is noted by position, where there is none yet."""
        types = set(map(type, values))
        if types == {str} and self._texts_stay:
            return values
        if _NONE in types:
            if types == {_NONE}:
                return [""] * len(values)
            places = [at for at, value in enumerate(values) if value is not None]
            inner: dict[int, Fault] = {}
            made = [""] * len(values)
            for at, text in zip(places, self.texts([values[at] for at in places], inner), strict=True):
                made[at] = text
            for at, fault in inner.items():
                faults.setdefault(places[at], fault)
            return made
        if types == {int} and self._wholes_stay:
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

    def _one(self, value: Any, at: int, faults: dict[int, Fault]) -> str:
        try:
            return self._spell(value)
        except NotSpelled as exc:
            faults.setdefault(at, Reason(self._name, exc.check, exc.text[:80]))
            return exc.text

    def _makes(self, value: Any, text: str) -> bool:
        try:
            return self._spell(value) == text
        except NotSpelled:
            return False
