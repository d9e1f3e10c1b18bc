"""What a refused cell may have meant: a text that its column takes, for a person to confirm. Pure.

Only what can be read in one way: 1,5 is 1.5, and 1,234 may be two numbers, so nothing is said of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from itertools import product
from typing import Any

from flows.pipeline.column import Column
from flows.pipeline.date_form import DateForm
from flows.pipeline.judge import NUMBERS, asked, holds, read_plain
from flows.pipeline.number_form import NumberForm
from flows.pipeline.reader import form_of, writer
from flows.pipeline.spoiled import BLANKS, NO_WIDTH, UNSEEN

NOTHING = frozenset((  # words in place of nothing, of people and of databases, without regard to case
    "n/a", "na", "n.a.", "-", "–", "—", "null", "none", "nil", "nan", "k.a.", "keine", "нет данных", "н/д", "\\n",
    "0000-00-00", "0000-00-00 00:00:00",
))  # fmt: skip
_YES = ("yes", "y", "ja", "j", "да", "oui", "si", "sí", "true", "wahr", "истина", "x", "on", "1")
_NO = ("no", "n", "nein", "нет", "non", "false", "falsch", "ложь", "off", "0")
_NUMBERS = [NumberForm("decimal", sign, group) for sign in ".," for group in ("", ".", ",", " ", "'") if sign != group]
_DAYS = ("YYYY-M-D", "YYYY/M/D", "YYYY.M.D", "D.M.YYYY", "D/M/YYYY", "M/D/YYYY", "D-M-YYYY", "M-D-YYYY")
_TIMES = ("", " H:mm", " H:mm:ss")
_DATES: dict[tuple[str, int], list[DateForm]] = {}  # by what stands between the parts, and how many colons follow
for _day, _time in product(_DAYS, _TIMES):
    _form = DateForm.of("datetime" if _time else "date", _day + _time)
    _DATES.setdefault((next(each for each in _day if not each.isalpha()), _time.count(":")), []).append(_form)
_PLAIN = str.maketrans({**dict.fromkeys(UNSEEN, " "), **dict.fromkeys(NO_WIDTH, ""), "\u00ad": "", "\u2212": "-"})


def meant(column: Column, text: str) -> str | None:
    """What the column takes in the place of a text that it refused; None where nobody can tell."""
    bare = text.translate(_PLAIN).strip(BLANKS)
    if (column.optional or column.default is not None) and bare.casefold() in NOTHING:
        return "" if text else None
    found = {each for each in _candidates(column, bare) if each != text and _takes(column, each)}
    return found.pop() if len(found) == 1 else None


def _candidates(column: Column, bare: str) -> Iterator[str]:
    if options := [*map(str, column.one_of or ()), *(column.table or ())]:
        yield from (each for each in options if each.casefold() == bare.casefold())
    elif column.type in NUMBERS:
        yield from _numbers(column, bare)
    elif column.type in ("date", "datetime"):
        yield from _dates(column, bare)
    elif column.type == "bool":
        yield from (word for word, others in (("true", _YES), ("false", _NO)) if bare.casefold() in others)
    else:
        yield bare


def _numbers(column: Column, bare: str) -> Iterator[str]:
    """Every number that the text can be, as the column has it."""
    found: set[Decimal] = {form.read(bare) for form in _NUMBERS if form.fits(bare)} if not _padded(bare) else set()
    if column.type != "int":
        yield from map(writer(column), found)
    elif all(number == int(number) for number in found):  # else one reading of it is no whole number, as of 1.234
        yield from (writer(column)(int(number)) for number in found)


def _padded(bare: str) -> bool:
    """Whether a sign or zeros stand before it that may matter, as of a telephone number."""
    digits = bare.removeprefix("-")
    return digits[:1] == "+" or (digits[:1] == "0" and digits[1:2].isdecimal())


def _dates(column: Column, bare: str) -> Iterator[str]:
    """Every date that the text can be, as the column has it."""
    sign = next((character for character in bare if not character.isdecimal()), "")
    for form in _DATES.get((sign, bare.count(":")), ()):
        try:
            found: Any = form.read(bare)
        except ValueError:
            continue
        if column.type == "date" and isinstance(found, datetime):
            if found.time() != datetime.min.time():
                continue
            found = found.date()
        elif (column.type == "datetime") != isinstance(found, datetime):
            continue
        yield writer(column)(found)


def _takes(column: Column, text: str) -> bool:
    """Whether a cell with this text would be accepted by itself."""
    form = form_of(column)
    try:
        value = form.read(text) if form is not None else text if column.type == "str" else read_plain(column.type, text)
    except ValueError:
        return False
    return all(holds(each.test, value) for each in asked(column))
