"""What a column says of one cell: for the examples of a definition, and its defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from flows.pipeline.column import Column
from flows.pipeline.fault import Fault, Place, brief
from flows.pipeline.judge import EMPTY, SHAPED, WORDS, asked, holds, in_own_words, read_plain
from flows.pipeline.reader import form_of
from flows.pipeline.spoiled import BLANKS, because, spoiled
from flows.values import as_text

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # but for tab and line feed


def example_faults(place: Place, column: Column) -> Iterator[Fault]:
    """What is wrong with the example of a column: no file could hold it, or its row would be rejected."""
    example = column.example
    if example is None:
        return
    if not isinstance(example, str | int | float):
        yield Fault(place, f"must be text, a number, true or false (found {brief(example)})")
    elif column.type == "str" and not isinstance(example, str):
        yield Fault(place, f"must be text; put it in quotes (found {brief(example)})")
    elif not as_text(example).strip():
        yield Fault(place, "is empty; name a value, or leave the key out")
    elif _UNSEEN.search(as_text(example)):
        yield Fault(place, f"holds a control character; name a value that a cell can hold (found {brief(example)})")
    elif said := said_of(column, as_text(example)):
        yield Fault(place, f"would be rejected: {said} (found {brief(example)})")


def said_of(column: Column, text: str) -> str:
    """Why a row with this text in its cell would be rejected; "" if it would not."""
    form = form_of(column)
    cell = text.strip(BLANKS) if column.trim else text
    bare = cell.strip(" \t")
    if not (bare if form or column.type != "str" else cell) and "" not in (column.table or ()):
        if column.default is not None or column.optional:
            return ""
        return refused(column, "") if column.type == "str" and not form else EMPTY
    try:
        value = form.read(bare) if form else cell if column.type == "str" else read_plain(column.type, bare)
    except ValueError as exc:
        said = in_own_words(str(exc), form.words if form else WORDS[column.type], column.says)
        return because(column.type, text, said)
    if column.judges_ruins and (why := spoiled(cell)):
        return why
    return refused(column, value, text)


def refused(column: Column, value: Any, text: str = "") -> str:
    """Which check of a column a value does not pass, in words; "" if it passes all. `text`: the cell it was."""
    failed = next((each for each in asked(column) if value is not None and not holds(each.test, value)), None)
    if failed is None:
        return ""
    return because(column.type, text, failed.words) if failed.key in SHAPED else failed.words
