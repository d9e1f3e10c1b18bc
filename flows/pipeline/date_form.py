"""Dates as people write them, by a format such as DD.MM.YYYY. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any

TOKENS: Mapping[str, str] = {
    "YYYY": "[0-9]{4}",
    "YY": "[0-9]{2}",
    "MM": "[0-9]{2}",
    "M": "[0-9]{1,2}",
    "DD": "[0-9]{2}",
    "D": "[0-9]{1,2}",
    "HH": "[0-9]{2}",
    "H": "[0-9]{1,2}",
    "hh": "[0-9]{2}",
    "h": "[0-9]{1,2}",
    "mm": "[0-9]{2}",
    "ss": "[0-9]{2}",
    "A": "[AaPp][Mm]",
    "Z": "Z|[+-][0-9]{2}:?[0-9]{2}",
}
_PART = {  # what each token is a part of a date
    "YYYY": "the year", "YY": "the year", "MM": "the month", "M": "the month", "DD": "the day", "D": "the day",
    "HH": "the hour", "H": "the hour", "hh": "the hour", "h": "the hour", "mm": "the minutes", "ss": "the seconds",
    "A": "AM or PM", "Z": "the offset",
}  # fmt: skip
_OPEN = ("M", "D", "H", "h")  # one digit or two
_DAY = ("the year", "the month", "the day")
_SPLIT = re.compile("|".join(sorted(TOKENS, key=len, reverse=True)) + "|.", re.DOTALL)
_PERCENT = {"%Y": "YYYY", "%y": "YY", "%m": "MM", "%d": "DD", "%H": "HH", "%I": "hh", "%M": "mm", "%S": "ss",
            "%p": "A", "%z": "Z"}  # fmt: skip
_SAMPLE = datetime(2026, 1, 31, 13, 45)


class FormatError(ValueError):
    """A format that says too little, or something else than is meant; the message says why."""


@dataclass(frozen=True, slots=True)
class DateForm:
    """A compiled format. `first_year`: the first of the hundred years that two digits mean."""

    kind: str
    text: str
    first_year: int | None
    _parts: tuple[str, ...]
    _shape: re.Pattern[str]
    _named: tuple[str, ...]

    @classmethod
    def of(cls, kind: str, text: str, first_year: int | None = None) -> DateForm:
        """Compile a format. Raises FormatError."""
        parts = tuple(_SPLIT.findall(text))
        named = tuple(part for part in parts if part in TOKENS)
        _judge(kind, text, parts, first_year)
        shape = "".join(f"({TOKENS[part]})" if part in TOKENS else re.escape(part) for part in parts)
        return cls(kind, text, first_year, parts, re.compile(shape), named)

    def read(self, text: str) -> date | datetime:
        """The date, or date and time. Raises ValueError with what is wrong with it."""
        found = self._shape.fullmatch(text)
        if found is None:
            raise ValueError(self.words)
        read = dict(zip(self._named, found.groups(), strict=True))
        try:
            day = self._year(read), int(read.get("MM") or read["M"]), int(read.get("DD") or read["D"])
            return date(*day) if self.kind == "date" else _moment(day, read)
        except ValueError as exc:
            raise ValueError(f"{self.words}: there is no such {'day' if self.kind == 'date' else 'time'}") from exc

    def write(self, value: Any) -> str:
        """The date in this format."""
        return "".join(_WRITE[part](value) if part in TOKENS else part for part in self._parts)

    @property
    def words(self) -> str:
        """What a cell must be."""
        what = "a date" if self.kind == "date" else "a date and time"
        return f"must be {what} such as {self.write(_SAMPLE.astimezone() if 'Z' in self._named else _SAMPLE)}"

    def _year(self, read: Mapping[str, str]) -> int:
        if "YYYY" in read:
            return int(read["YYYY"])
        assert self.first_year is not None
        return self.first_year + (int(read["YY"]) - self.first_year) % 100


def _moment(day: tuple[int, int, int], read: Mapping[str, str]) -> datetime:
    hour = int(next(read[token] for token in ("HH", "H", "hh", "h") if token in read))
    if "A" in read:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if read["A"].lower() == "pm" else 0)
    made = datetime(*day, hour, int(read["mm"]), int(read.get("ss", 0)))
    return made if "Z" not in read else datetime.fromisoformat(made.isoformat() + read["Z"])


def _offset(value: datetime) -> str:
    return value.isoformat()[-6:] if value.tzinfo else ""


_WRITE: Mapping[str, Callable[[Any], str]] = {
    "YYYY": lambda value: f"{value.year:04}",
    "YY": lambda value: f"{value.year % 100:02}",
    "MM": lambda value: f"{value.month:02}",
    "M": lambda value: str(value.month),
    "DD": lambda value: f"{value.day:02}",
    "D": lambda value: str(value.day),
    "HH": lambda value: f"{value.hour:02}",
    "H": lambda value: str(value.hour),
    "hh": lambda value: f"{(value.hour - 1) % 12 + 1:02}",
    "h": lambda value: str((value.hour - 1) % 12 + 1),
    "mm": lambda value: f"{value.minute:02}",
    "ss": lambda value: f"{value.second:02}",
    "A": lambda value: "PM" if value.hour >= 12 else "AM",
    "Z": _offset,
}


def _judge(kind: str, text: str, parts: tuple[str, ...], first_year: int | None) -> None:
    """Raises FormatError where a format will not do for a column of this kind."""
    if "%" in text:
        raise FormatError(f"write the parts as letters: {_without_percents(text)}")
    named = [part for part in parts if part in TOKENS]
    for letters in re.findall("[A-Za-z]+", "".join(part if part not in TOKENS else "|" for part in parts)):
        if letters != "T":
            near = f"did you mean `{guess}`?" if (guess := _in_case(kind, text)) else f"possible: {', '.join(TOKENS)}"
            raise FormatError(f"`{letters}` stands for nothing; {near}")
    twice = {part for part in named if [_PART[each] for each in named].count(_PART[part]) > 1}
    if twice:
        raise FormatError(f"states {_PART[sorted(twice)[0]]} twice")
    stated = {_PART[part] for part in named}
    if kind == "date" and (more := [part for part in named if _PART[part] not in _DAY]):
        month = "; MM is the month" if "mm" in more else "; make the column a datetime"
        raise FormatError(f"has {_PART[more[0]]} (`{more[0]}`), which a date has not{month}")
    for needed in (*_DAY, *(("the hour", "the minutes") if kind == "datetime" else ())):
        if needed not in stated:
            raise FormatError(f"lacks {needed}")
    if ("A" in named) != bool({"h", "hh"} & set(named)):
        raise FormatError("h and hh are hours up to 12, and need A (AM or PM); HH is the hour of 24")
    if any({one, two} <= TOKENS.keys() and {one, two} & set(_OPEN) for one, two in pairwise(parts)):
        raise FormatError("has nothing between two parts of which one may have one digit or two; use MM, DD, HH, hh")
    if "YY" in named and first_year is None:
        raise FormatError(
            "YY does not say the century; state the first of the hundred years that it means, e.g. first_year: 1950"
        )


def _in_case(kind: str, text: str) -> str:
    """The same format in the letters that are used here, if that makes one."""
    day = re.sub("[ymd]+", lambda found: found[0].upper(), text, flags=re.IGNORECASE)
    if day == text:
        return ""
    try:
        _judge(kind, day, tuple(_SPLIT.findall(day)), 1950)
    except FormatError:
        return ""
    return day


def _without_percents(text: str) -> str:
    return re.sub("%.", lambda found: _PERCENT.get(found[0], found[0]), text)
