"""Documents that do not mend the rows of `tests.harness.mended`, each with the exact message that a person gets."""

# ruff: noqa: E501  a message stands in one piece

from __future__ import annotations

EXAMPLE = 'Write {"changes": [{"column": "country", "value": "Germany", "becomes": "DE"}]}'
_SAID = "`becomes` is the new text; `skip: true` leaves the rows out."
_WHICH = "`value` changes all refused cells that hold it, `row` one row."
_KEYS = "There are: column, value, row, becomes, skip."


def _of(**change: object) -> dict[str, object]:
    return {"changes": [change]}


MENDS: list[tuple[object, str]] = [
    ("{", f"The document is not JSON: Input data was truncated.\n{EXAMPLE}"),
    ("[1]", f"The document is no JSON object.\n{EXAMPLE}"),
    ({}, f"The document has no `changes`.\n{EXAMPLE}"),
    ({"changes": []}, f"The document has no `changes`.\n{EXAMPLE}"),
    ({"change": []}, f"The document knows no 'change'.\n{EXAMPLE}"),
    ({"changes": ["x"]}, f"Change 1 is no JSON object.\n{EXAMPLE}"),
    ({"changes": [{}], "undo": 1}, "The document has both `changes` and `undo`.\nUndo first, with one of its own."),
    ({"undo": "one"}, '`undo` is \'one\', not the number of a document.\nWrite {"undo": 1}'),
    ({"undo": 3}, "The run has no document 3.\nNone is in effect."),
    (_of(column="country", value="Spain", become="FR"), f"Change 1 knows no 'become'.\n{_KEYS}"),
    (_of(column="country", value="Spain", row=6, becomes="FR"), f"Change 1 has both `value` and `row`.\n{_WHICH}"),
    (_of(column="country", becomes="FR"), f"Change 1 has neither `value` nor `row`.\n{_WHICH}"),
    (_of(column="country", value="Spain", becomes="FR", skip=True), f"Change 1 has both `becomes` and `skip`.\n{_SAID}"),
    (_of(column="country", value="Spain"), f"Change 1 has neither `becomes` nor `skip`.\n{_SAID}"),
    (_of(column="country", value="Spain", skip="yes"), "Change 1 has a `skip` that is neither true nor false: 'yes'.\nWrite true, without quotes."),
    (_of(value="Spain", becomes="FR"), "Change 1 has no `column`.\nOnly a row that is skipped as a whole needs none."),
    (_of(column="country", row="six", becomes="FR"), "Change 1 has a `row` that is no row number: 'six'.\nRows count from 1."),
    (_of(column="country", row=0, becomes="FR"), "Change 1 has a `row` that is no row number: 0.\nRows count from 1."),
    (_of(column="age", value="old", becomes=41), "Change 1 has a `becomes` that is no text: 41.\nWrite it in quotes, as it stands in the file."),
    (_of(column="contry", value="Spain", becomes="FR"), "Change 1: the pipeline has no column 'contry'.\nDid you mean `country`?"),
    (_of(column="country", value="Sweden", becomes="SE"), "No rejected row has any of these values in a cell that was refused.\nThe groups of rejected cells say what stands there, letter by letter."),
    (_of(column="country", row=1, becomes="FR"), "Row 1 is not rejected.\nOnly rejected rows are mended; what was mended is taken back by undo."),
    (_of(column="country", row=99, becomes="FR"), "There is no row 99.\nThe run has rows 1 to 8."),
    (_of(column="country", row=7, becomes="FR"), "Row 7 has 2 cells, the header has 5, so its columns cannot be told apart.\nCorrect it in the file, or skip the row."),
    (
        {"changes": [{"column": "country", "value": "Spain", "becomes": "FR"}, {"column": "country", "value": "Spain", "skip": True}]},
        "Changes 1 and 2 both say what becomes of 'Spain' in country.\nLeave one of them out.",
    ),
    (
        {"changes": [{"column": "age", "row": 3, "becomes": "3"}, {"column": "age", "row": 3, "becomes": "4"}]},
        "Changes 1 and 2 both say what becomes of row 3 in age.\nLeave one of them out.",
    ),
]  # fmt: skip
