"""Columns that contradict themselves and cells that are no values, each with the exact message that a person gets."""

# ruff: noqa: E501  a message stands in one piece

from __future__ import annotations


def _own(column: str) -> str:
    """A definition with this column in its fourth line."""
    return (
        f"name: own\ncolumns:\n  id: {{type: int}}\n  title: {column}\n"
        'request: {url: "https://api.example.com/rows"}\nlimit: {name: own, requests: 7, window_seconds: 1}\n'
    )


# What is wrong, the definition, what is said of it.
COLUMNS: list[tuple[str, str, str]] = [
    (what, _own(column), f"own.yaml:4: columns.title{said}")
    for what, column, said in (
        ("a decimal sign of a text", '{type: str, decimal: ","}', ".decimal: is for float and decimal, not for str"),
        ("a decimal sign of a whole number", '{type: int, decimal: ","}', ".decimal: is for float and decimal, not for int"),
        ("a decimal sign that there is not", '{type: decimal, decimal: ";"}', ".decimal: must be \".\" or \",\" (found ';')"),
        ("thousands of a date", '{type: date, group: "."}', ".group: is for int and float and decimal, not for date"),
        ("a sign between thousands that there is not", "{type: int, group: x}", ".group: must be one of \".\" \",\" \"'\" \"_\" and \" \", which also takes no-break spaces (found 'x')"),
        ("one sign for two things", '{type: decimal, decimal: ",", group: ","}', '.group: is the decimal sign as well; write decimal: "."'),
        ("points between thousands without a decimal sign", '{type: decimal, group: "."}', '.group: is the decimal sign as well, which is a point where `decimal` is not stated; write decimal: ","'),
        ("a format of a text", "{type: str, format: DD.MM.YYYY}", ".format: is for date and datetime, not for str"),
        ("a format of percent signs", '{type: date, format: "%d.%m.%Y"}', ".format: write the parts as letters: DD.MM.YYYY (found '%d.%m.%Y')"),
        ("a format in small letters", "{type: date, format: dd.mm.yyyy}", ".format: `dd` stands for nothing; did you mean `DD.MM.YYYY`? (found 'dd.mm.yyyy')"),
        ("a format with a word", "{type: date, format: DD of MM YYYY}", ".format: `of` stands for nothing; possible: YYYY, YY, MM, M, DD, D, HH, H, hh, h, mm, ss, A, Z (found 'DD of MM YYYY')"),
        ("minutes in place of the month", "{type: date, format: DD.mm.YYYY}", ".format: has the minutes (`mm`), which a date has not; MM is the month (found 'DD.mm.YYYY')"),
        ("a format without a year", "{type: date, format: DD.MM.}", ".format: lacks the year (found 'DD.MM.')"),
        ("a format with two days", "{type: date, format: DD.D.YYYY}", ".format: states the day twice (found 'DD.D.YYYY')"),
        ("a year of two digits", "{type: date, format: DD.MM.YY}", ".format: YY does not say the century; state the first of the hundred years that it means, e.g. first_year: 1950 (found 'DD.MM.YY')"),
        ("an hour of twelve without its half of the day", "{type: datetime, format: 'DD.MM.YYYY hh:mm'}", ".format: h and hh are hours up to 12, and need A (AM or PM); HH is the hour of 24 (found 'DD.MM.YYYY hh:mm')"),
        ("parts that cannot be told apart", "{type: date, format: DMYYYY}", ".format: has nothing between two parts of which one may have one digit or two; use MM, DD, HH, hh (found 'DMYYYY')"),
        ("a moment without its hour", "{type: datetime, format: DD.MM.YYYY}", ".format: lacks the hour (found 'DD.MM.YYYY')"),
        ("a first year without a format", "{type: date, first_year: 1950}", ".first_year: is for a `format` with YY"),
        ("a first year of four digits", "{type: date, format: DD.MM.YYYY, first_year: 1950}", ".first_year: is for a `format` with YY; this one has all digits of the year"),
        ("an empty table", "{type: bool, map: {}}", ".map: is empty; write what stands in the cells and what it means, e.g. {yes: true}"),
        ("a table with a value of another type", "{type: bool, map: {Да: yes}}", ".map.Да: must be of the column's type bool, such as true (found 'yes')"),
        ("a table with a value that the column refuses", "{type: int, min: 1, map: {none: 0}}", ".map.none: would be rejected: must be at least 1 (found 0)"),
        ("a table with null in a column that needs a value", "{type: int, map: {none: null}}", ".map.none: means nothing (null), which needs optional: true"),
        ("a table with blanks", "{type: int, map: {' one': 1}}", ".map. one: has blanks around it, but cells are looked up without; take them off"),
        ("a word for others without a table", "{type: bool, other: false}", ".other: says what becomes of a text that is not in `map`, and there is no `map`"),
        ("others of another type", "{type: int, map: {one: 1}, other: none}", ".other: must be of the column's type int, such as 7 (found 'none')"),
        ("a format that a table leaves nothing to", "{type: date, format: DD.MM.YYYY, map: {never: 2999-12-31}}", ".format: has no effect, because a text that is not in `map` is not read; other: keep reads it"),
        ("nothing between entries", "{type: list, split: ''}", '.split: is empty; say what stands between the entries, e.g. split: ";"'),
        ("entries of a text", "{type: str, split: ;}", ".split: is for list, not for str"),
        ("a country that there is not", "{type: phone, region: UK}", ".region: 'UK' is no country; did you mean `GB`?"),
        ("a country in small letters", "{type: phone, region: de}", ".region: 'de' is no country; did you mean `DE`?"),
        ("a pattern of a telephone number", "{type: phone, pattern: x}", ".pattern: is no check for type phone; possible: optional, unique"),
        ("a default of another type", "{type: int, default: none}", ".default: must be of the column's type int, such as 7 (found 'none')"),
        ("a default that the column refuses", "{type: str, one_of: [a, b], default: c}", ".default: would be rejected: must be one of a, b (found 'c')"),
        ("a default of a unique column", "{type: int, unique: true, default: 1}", ".default: would stand in each row whose cell is empty, but the column is unique"),
        ("as written, but no text", "{type: int, as_written: true}", ".as_written: is for str, not for int"),
        ("another name that is another column's", "{type: str, from: [ID]}", ".from[0]: is a name of the column 'id' already"),
        ("another name that is its own", "{type: str, from: [Name, Title]}", ".from[1]: names 'title' twice: leave it out, since capital and small letters do not matter"),
        ("another name with blanks", "{type: str, from: ['Name ']}", ".from[0]: must be 1 to 200 visible characters, no blanks around them (found 'Name ')"),
        ("another name that is no list", "{type: str, from: Name}", ".from: must be a list, e.g. [a, b] (found 'Name')"),
    )
]  # fmt: skip

_RUINED = "make the column text there, and fill it in again"
_LOST = f"was shortened by a spreadsheet, and digits of it are lost: {_RUINED}"
_ERROR = "is an error of a spreadsheet: mend the cell there, and save the file again"
_DATED = f"it looks like a date that a spreadsheet made of it: {_RUINED}"
_PRICE = '{type: decimal, decimal: ",", group: "."}'
_DE = "{type: phone, region: DE}"

# A column, a cell, what is said of it.
CELLS: list[tuple[str, str, str]] = [
    (_PRICE, "1.23", "must be a decimal number such as 12.345,50: a point may only stand between thousands"),
    (_PRICE, "0.435", "must be a decimal number such as 12.345,50: a point may only stand between thousands"),
    (_PRICE, "12.34.567,8", "must be a decimal number such as 12.345,50: a point may only stand between thousands"),
    (_PRICE, "1,234.50", "must be a decimal number such as 12.345,50: a point may only stand between thousands"),
    (_PRICE, "012", "must not begin with a plus or a zero: write the number without, or make the column str"),
    ('{type: decimal, decimal: ","}', "0.435", "must be a decimal number such as 12345,50: a point is not its decimal sign"),
    ('{type: decimal, group: ","}', "0,435", "must be a decimal number such as 12,345.50: a comma may only stand between thousands"),
    ('{type: int, group: " "}', "1 23", "must be a whole number such as 12 345: a blank may only stand between thousands"),
    ('{type: float, decimal: ","}', "1,2E+11", _LOST),
    ("{type: float}", "1,5", "must be a number"),
    ("{type: decimal}", "1,2E+11", _LOST),
    ("{type: int}", "1.23457E+11", _LOST),
    ("{type: str}", "4.00638E+12", _LOST),
    ("{type: str}", "#N/A", _ERROR),
    ("{type: int}", "#REF!", _ERROR),
    ("{type: date}", "#VALUE!", _ERROR),
    ("{type: str}", "########", "is what a spreadsheet shows where a column is too narrow: widen it there, and save the file again"),
    ("{type: str, pattern: '[A-Z]+[0-9]+'}", "1. Mrz", f"must match [A-Z]+[0-9]+; {_DATED}"),
    ("{type: str, one_of: [1-2, 1-3]}", "02-Jan", f"must be one of 1-2, 1-3; {_DATED}"),
    ("{type: decimal}", "01.05.2026", f"must be a decimal number such as 12.50; {_DATED}"),
    ("{type: int}", "12\u00a0000", "must be a whole number; it holds a no-break space (U+00A0)"),
    ("{type: str, pattern: '[a-z]+'}", "ab\u200bc", "must match [a-z]+; it holds a zero-width space (U+200B)"),
    ("{type: decimal}", "\u22125", "must be a decimal number such as 12.50; it holds a minus sign that is no hyphen (U+2212)"),
    ("{type: date, format: DD.MM.YYYY}", "13.31.2026", "must be a date such as 31.01.2026: there is no such day"),
    ("{type: date, format: DD.MM.YYYY}", "29.02.2026", "must be a date such as 31.01.2026: there is no such day"),
    ("{type: date, format: DD.MM.YYYY}", "45356", "must be a date such as 31.01.2026; it may be a day whose cell has lost its format: give it a date's format there"),
    ("{type: date, format: DD.MM.YYYY}", "1.2.2026", "must be a date such as 31.01.2026"),
    ("{type: date, format: DD.MM.YYYY}", "31.01.26", "must be a date such as 31.01.2026"),
    ("{type: date, format: MM/DD/YYYY}", "2026-01-31", "must be a date such as 01/31/2026"),
    ("{type: datetime, format: 'M/D/YYYY h:mm A'}", "1/31/2026 13:45 PM", "must be a date and time such as 1/31/2026 1:45 PM: there is no such time"),
    ("{type: bool, map: {Да: true, Нет: false}}", "нет", "must be one of Да, Нет: capital and small letters count"),
    ("{type: bool, map: {yes: true, no: false}}", "true", "must be one of yes, no"),
    ('{type: list, split: ";"}', "a;;b", "must be entries with ';' in between: an entry is empty"),
    ("{type: list}", "a", "must be JSON: expecting value at character 1"),
    ("{type: list}", '{""a"": 1}', 'must be a list in JSON, such as ["a", "b"]'),
    ("{type: json}", '{""a"": 1, ""a"": 2}', "must be JSON: it states 'a' twice"),
    ("{type: json}", "1e99999999999999999999", "must be JSON: it has a number that is too large"),
    ("{type: json}", "[NaN]", "must be JSON: it has NaN, which is no number of JSON"),
    ("{type: phone}", "030 123456", "must be a telephone number with + and its country, such as +49 30 123456"),
    (_DE, "030 12", "must be a telephone number of DE, or one with + and its country: there is no such number"),
    (_DE, "Zentrale 030 123456", "must be a telephone number of DE, or one with + and its country"),
    (_DE, "030 123456 / 7", "must be a telephone number of DE, or one with + and its country: it names two numbers"),
    (_DE, "4915112345678", "may be +494915112345678, or +4915112345678 without its plus: write it with + and its country"),
    (_DE, "4,93012E+11", _LOST),
]  # fmt: skip
