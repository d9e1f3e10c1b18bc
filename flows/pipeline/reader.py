"""The cells of a column that says how they are written: from text to values, and back. Pure.

`flows.schema.cell` reads the columns that say nothing of it, many cells at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from flows.pipeline.column import KEEP, REJECT, Column
from flows.pipeline.date_form import DateForm
from flows.pipeline.judge import WORDS, read_plain
from flows.pipeline.nested import JSON_FORM, ListForm
from flows.pipeline.number_form import number_form
from flows.pipeline.phone import PhoneForm
from flows.values import as_text

_SHOWN = 8


class Form(Protocol):
    """How values are written as the text of cells. `words`: what a cell must be."""

    @property
    def words(self) -> str: ...  # noqa: D102

    def read(self, text: str) -> Any:
        """The value of a cell without blanks around it. Raises ValueError with what is wrong with it."""

    def write(self, value: Any) -> str:
        """The cell of a value, which is read as that value again."""


@dataclass(frozen=True, slots=True)
class _Plain:
    kind: str

    @property
    def words(self) -> str:
        return WORDS.get(self.kind, "")

    def read(self, text: str) -> Any:
        return text if self.kind == "str" else read_plain(self.kind, text)

    def write(self, value: Any) -> str:
        return as_text(value)


@dataclass(frozen=True, slots=True)
class Mapped:
    """Values by a table. `other`: what becomes of a text that is not in it."""

    table: Mapping[str, Any]
    other: Any
    form: Form

    @property
    def words(self) -> str:
        """What a cell must be."""
        names = [name or '""' for name in self.table]
        return "must be one of " + ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")

    def read(self, text: str) -> Any:
        """The value of a cell. Raises ValueError with what is wrong with it."""
        if text in self.table:
            return self.table[text]
        if self.other == KEEP:
            return self.form.read(text)
        if self.other != REJECT:
            return self.other
        near = next((name for name in self.table if name.casefold() == text.casefold()), "")
        raise ValueError(f"{self.words}: capital and small letters count" if near else self.words)

    def write(self, value: Any) -> str:
        """The first text in the table that means this value."""
        found = (text for text, other in self.table.items() if other == value and type(other) is type(value))
        return next(found, None) or self.form.write(value)


def form_of(column: Column) -> Form | None:
    """How the cells of a column are written; None where they are written our way. Raises FormatError."""
    form = _form(column)
    if column.table is None:
        return form
    return Mapped(column.table, column.other, form or _Plain(column.type))


def _form(column: Column) -> Form | None:
    if column.type == "json":
        return JSON_FORM
    if column.type == "list":
        return ListForm(column.split)
    if column.type == "phone":
        return PhoneForm(column.region)
    if column.format is not None:
        return DateForm.of(column.type, column.format, column.first_year)
    return number_form(column.type, column.decimal, column.group)


def writer(column: Column | None) -> Callable[[Any], str]:
    """What makes a cell of a value, so that the column would read it as the same value again."""
    form = form_of(column) if column is not None else None
    if form is None:
        return as_text
    return lambda value: "" if value is None else form.write(value)
