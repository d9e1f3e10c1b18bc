"""What stands in a sheet's cells: numbers without a binary tail, dates by the cell's own format. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation

from flows.pipeline.spoiled import ERROR
from flows.source.table import Padded, Unreadable

DIGITS = 15  # a spreadsheet keeps so many
UNKEPT = "is a formula without a kept value: open the file in a spreadsheet, and save it again"
NOT_KEPT = Unreadable(UNKEPT, "#FORMULA!")  # a text that no column reads, also where the row comes back as text
NO_DAY = "is a date that a spreadsheet cannot show: mend the cell, or its format"

_PLAIN = re.compile(r"-?(0|[1-9][0-9]{0,14})")
_FRACTION = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]*[1-9]")
_BUILT_IN = {14: "date", 15: "date", 16: "date", 17: "date", 18: "time", 19: "time", 20: "time", 21: "time",
             9: "percent", 10: "percent", 22: "datetime", 45: "duration", 46: "duration", 47: "duration"}  # fmt: skip
_BUILT_IN |= dict.fromkeys((*range(27, 32), 36, *range(50, 55), 57, 58), "date") | {32: "time", 33: "time"}
_BUILT_IN |= dict.fromkeys((34, 35, 55, 56), "date")
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?![hms]+\])[^\]]*\]', re.IGNORECASE)
_ZEROS = re.compile(r'(?P<before>(?:"[^"]*"|\\.)*)(?P<zeros>0+)')  # also with a text before them: "INV-"0000
_DAYS_1900 = 60  # a day that never was: 1900-02-29
_MOST_DAYS = 2_958_466  # 9999-12-31, and a day
_SECONDS = 86_400

Read = Callable[[str], object]


def number(text: str) -> object:
    """A number as it stands in a workbook, as a person sees it: at most 15 digits, no binary tail.

    A whole number of more digits, of which those behind the fifteenth are gone, is the text that a spreadsheet shows
    of it: 1.23456789012346E+18.
    """
    if _PLAIN.fullmatch(text):
        return Decimal(text)
    if len(text) <= DIGITS and _FRACTION.fullmatch(text):
        return Decimal(text)
    try:
        value = Decimal(text)
    except InvalidOperation:
        return Unreadable(ERROR, text)
    if not value.is_finite() or abs(value.adjusted()) > 400:
        return Unreadable(ERROR, text)
    return _shown(value, text)


def _shown(value: Decimal, text: str) -> object:
    if value.adjusted() >= DIGITS:
        digits = f"{value:f}".partition(".")[0].lstrip("-")
        if "E" not in text.upper() and "." not in text and len(digits) <= 18 and digits[DIGITS:].strip("0"):
            return value  # digits that no spreadsheet would keep: another program wrote them, and they are there
        return f"{value:.14E}"
    return _without_zeros(Decimal(f"{value:.{DIGITS}g}"))


def _without_zeros(value: Decimal) -> Decimal:
    text = f"{value:f}"
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)


def format_kind(number_format: int, code: str | None) -> str:
    """What a cell's format shows of a number: "" (the number), date, datetime, time, duration, percent, or zeros:5 for
    00000."""
    if code is None:
        return _BUILT_IN.get(number_format, "")
    if (zeros := _ZEROS.fullmatch(code.partition(";")[0].strip())) and (zeros["before"] or len(zeros["zeros"]) > 1):
        return f"zeros:{len(zeros['zeros'])}:{_bare(zeros['before'])}"
    first = _LITERAL.sub("", code.partition(";")[0]).strip().lower()
    if re.search(r"\[[hms]+\]", first):
        return "duration"
    bare = re.sub(r"am/pm|a/p|general|e[+-]", "x" if "am/pm" in first or "a/p" in first else "", first)
    day = bool(re.search("[yd]", bare)) or bool(re.fullmatch(r"m+", bare))
    clock = bool(re.search("[hs]", bare))
    if day and clock:
        return "datetime"
    return "date" if day else "time" if clock else "percent" if "%" in first else ""


class Moments:
    """Numbers as what a date's format shows of them. `since_1904`: the workbook counts days from there."""

    def __init__(self, *, since_1904: bool) -> None:
        self._zero = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 30)
        self._since_1904 = since_1904

    def reader(self, kind: str) -> Read:
        """What reads the text of a number in a cell of this format."""
        if kind == "percent":
            return Percents()
        if kind.startswith("zeros:"):
            _, width, before = kind.split(":", 2)
            return _Zeros(int(width), before)
        if kind not in ("date", "datetime", "time", "duration"):
            return number

        def read(text: str) -> object:
            try:
                return self.of(float(text), kind)
            except (ValueError, OverflowError):
                return Unreadable(ERROR, text)

        return read

    def of(self, serial: float, kind: str) -> object:
        """The day, the moment, the time of a day or the duration; Unreadable where there is none."""
        days, seconds = divmod(round(serial * _SECONDS * 1000), _SECONDS * 1000)
        if kind == "duration" or (kind == "time" and days):
            return timedelta(days=days, milliseconds=seconds) if kind == "duration" else self._moment(days, seconds)
        if kind == "time":
            return (datetime.min + timedelta(milliseconds=seconds)).time()
        moment = self._moment(days, seconds)
        return moment.date() if kind == "date" and isinstance(moment, datetime) and not seconds else moment

    def _moment(self, days: int, milliseconds: int) -> object:
        lost = not self._since_1904 and days <= _DAYS_1900
        if days < 0 or days >= _MOST_DAYS or (lost and days in (0, _DAYS_1900)):
            return Unreadable(NO_DAY, f"{days + milliseconds / _SECONDS / 1000:g}")
        try:
            return self._zero + timedelta(days=days + lost, milliseconds=milliseconds)
        except OverflowError:
            return Unreadable(NO_DAY, str(days))


class _Zeros:
    def __init__(self, width: int, before: str) -> None:
        self._width, self._before = width, before

    def __call__(self, text: str) -> object:
        found = number(text)
        if not isinstance(found, Decimal) or found != found.to_integral():
            return found
        made = Padded(found)
        made.width, made.before = self._width, self._before
        return made


def _bare(literals: str) -> str:
    """The text of a format's literals: "INV-" and \\# as INV-#."""
    return re.sub(r'"([^"]*)"|\\(.)', lambda found: found[1] or found[2] or "", literals)


class Percents:
    """Reads numbers that are shown as percent. `met`: there was one."""

    def __init__(self) -> None:
        self.met = False

    def __call__(self, text: str) -> object:
        """The number itself."""
        self.met = True
        return number(text)


def moment(text: str) -> object:
    """A date that is written as one (ISO 8601), as some programs do it."""
    try:
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError:
        return text or None


def error(text: str) -> Unreadable:
    """A cell that shows an error."""
    return Unreadable(ERROR, text)
