"""What spreadsheets make of cells, and characters that nobody sees: why a cell is not what it looks like. Pure."""

from __future__ import annotations

import re
import unicodedata

# The error words of Excel in the languages that differ, and of LibreOffice; and one of our own.
ERRORS = (
    "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "#N/A", "#SPILL!", "#CALC!", "#FIELD!", "#GETTING_DATA",
    "#BEZUG!", "#WERT!", "#ZAHL!", "#NV", "#ССЫЛКА!", "#ЗНАЧ!", "#ДЕЛ/0!", "#ИМЯ?", "#ЧИСЛО!", "#ПУСТО!", "#Н/Д",
    "#VALEUR!", "#NOM?", "#NOMBRE!", "#¡REF!", "#¡VALOR!", "#¿NOMBRE?", "#¡DIV/0!", "#¡NUM!",
    "#BINARY!",  # of Rowrelay: bytes that are no text
    "#FORMULA!",  # of Rowrelay: a formula whose value a workbook does not have
)  # fmt: skip
SHORTENED = r"[+-]?[0-9]([.,][0-9]+)?E[+][0-9]{2,}"  # 4.00638E+12, once a number of thirteen digits
TOO_NARROW = r"#{4,}"
OFFICE = "Err:5[0-9]{2}"

ERROR = "is an error of a spreadsheet: mend the cell there, and save the file again"
HIDDEN = "is what a spreadsheet shows where a column is too narrow: widen it there, and save the file again"
LOST = "was shortened by a spreadsheet, and digits of it are lost: make the column text there, and fill it in again"
DATED = "looks like a date that a spreadsheet made of it: make the column text there, and fill it in again"
SERIAL = "may be a day whose cell has lost its format: give it a date's format there"

_MONTHS = (
    "jan|feb|fev|fév|mar|mär|mrz|apr|avr|abr|may|mai|mag|maj|jun|jui|jul|lug|aug|ago|aoû|sep|set|oct|okt|ott|out|nov|"
    "dec|dez|déc|dic|янв|фев|апр|мая|июн|июл|авг|сен|окт|ноя|дек"
)
_SERIAL = re.compile(r"[2-6][0-9]{4}([.,][0-9]+)?")  # the days of 1954 to 2091 as spreadsheets count them
_SHORTENED = re.compile(SHORTENED)
_NARROW = re.compile(TOO_NARROW)
_OFFICE = re.compile(OFFICE)
_DATE = re.compile(
    rf"[0-9]{{1,2}}[.\- /]+({_MONTHS})[^\W\d_]*\.?([.\- /]+[0-9]{{2,4}})?|({_MONTHS})[^\W\d_]*[.\- /]+[0-9]{{2,4}}|"
    r"[0-9]{1,2}[./-][0-9]{1,2}[./-]([0-9]{4}|[0-9]{2})( 0?0:00(:00)?)?|[0-9]{4}-[0-9]{2}-[0-9]{2}([ T]00:00:00)?",
    re.IGNORECASE,
)
UNSEEN = {
    "\u00a0": "a no-break space",
    "\u202f": "a narrow no-break space",
    "\u2007": "a figure space",
    "\u2009": "a thin space",
    "\u3000": "a wide space",
    "\u200b": "a zero-width space",
    "\u2060": "a word joiner, which has no width",
    "\ufeff": "a byte order mark, which has no width",
    "\u00ad": "a soft hyphen",
    "\u200e": "a left-to-right mark",
    "\u200f": "a right-to-left mark",
}
NO_WIDTH = "\u200b\u2060\ufeff\u200e\u200f"  # not U+200C and U+200D, which belong to words and signs of some scripts
BLANKS = (
    " \t\r\n\v\f" + "".join(UNSEEN) + "\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u200a\u205f\u2028\u2029"
)
_CODES = ("int", "float", "decimal", "phone", "str")


def spoiled(text: str) -> str:
    """Why a text is surely not what was meant: a spreadsheet's error, or a number without its digits; else ""."""
    if text in ERRORS or _OFFICE.fullmatch(text):
        return ERROR
    return HIDDEN if _NARROW.fullmatch(text) else LOST if _SHORTENED.fullmatch(text) else ""


def because(kind: str, text: str, asked: str) -> str:
    """What is told of a cell that is no value of its column: what it must be, or what has happened to it."""
    bare = text.strip(BLANKS)
    if why := spoiled(bare):
        return why
    if kind in _CODES and _DATE.fullmatch(bare):
        return f"{asked}; it {DATED}"
    if kind in ("date", "datetime") and _SERIAL.fullmatch(bare):
        return f"{asked}; it {SERIAL}"
    found = unseen(text)
    return f"{asked}; it holds {found}" if found else asked


def unseen(text: str) -> str:
    """The first character of a text that cannot be seen or is no plain blank, in words; "" if there is none."""
    if text.isascii():
        return ""
    for character in text:
        if character in UNSEEN:
            return f"{UNSEEN[character]} (U+{ord(character):04X})"
        if character > "\x7f" and unicodedata.category(character) in ("Zs", "Zl", "Zp", "Cf"):
            return f"{unicodedata.name(character, 'a character').lower()} (U+{ord(character):04X})"
        if character == "\u2212":
            return "a minus sign that is no hyphen (U+2212)"
    return ""
