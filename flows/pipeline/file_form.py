"""How a file of rows is written, and where in it the rows stand, as far as somebody says so. Pure."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError

from flows.errors import BadFile
from flows.pipeline.column import Int, Part, left_out
from flows.pipeline.fault import brief, suggestion
from flows.records import Apostrophes

Kind = Literal["csv", "xlsx", "xls", "ods", "json", "jsonl", "parquet"]
KINDS: tuple[str, ...] = get_args(Kind)
SHEETS = ("xlsx", "xls", "ods")
NESTED = ("json", "jsonl", "parquet")
ABOUT: Mapping[str, tuple[str, ...]] = {  # keys that say something of some kinds only
    "encoding": ("csv", "json", "jsonl"),
    "delimiter": ("csv",),
    "apostrophes": ("csv", *SHEETS),
    "sheet": SHEETS,
    "header_row": ("csv", *SHEETS),
    "skip_rows": ("csv", *SHEETS),
    "skip_footer": ("csv", *SHEETS),
    "merged": SHEETS,
    "path": ("json",),
}
WORDS: Mapping[str, str] = {
    "csv": "a text file", "xlsx": "an Excel workbook", "xls": "an old Excel workbook", "ods": "an OpenDocument sheet",
    "json": "a JSON file", "jsonl": "a file of JSON lines", "parquet": "a Parquet file",
}  # fmt: skip
MOST_ROWS = 10_000  # above the header, or in a footer
ENDINGS = (
    ".gz", ".bz2", ".xz", ".zst", ".zip",
    ".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".xls", ".ods", ".json", ".jsonl", ".ndjson", ".parquet",
)  # fmt: skip


def bare_name(name: str) -> str:
    """A file's name without what says its kind and its packing: `Orders.csv.zst` → `Orders`."""
    for ending in ENDINGS:
        name = name[: -len(ending)] if name.lower().endswith(ending) else name
    return name


class FileForm(Part):
    """How the file is to be read, where it is not to be found out."""

    kind: Kind | None = Field(default=None, exclude_if=left_out)
    """csv (also tab-separated), xlsx, xls, ods, json, jsonl or parquet. Default: found"""
    encoding: str | None = None
    """Encoding of the file, e.g. cp1252. Default: UTF-8 or what its byte order mark says"""
    delimiter: str | None = None
    """One of , ; | or tab. Default: found"""
    apostrophes: Apostrophes = "ask"
    """Before a formula, number or date in others' files: part of the text (keep), a guard (remove), rejected (ask)"""
    sheet: str | Int | None = Field(default=None, exclude_if=left_out)
    """The sheet of a workbook: its name, or its position from 1. Default: the only visible one with content"""
    header_row: Annotated[Int, Field(ge=1, le=MOST_ROWS)] | None = Field(default=None, exclude_if=left_out)
    """The row that names the columns, counted from 1 as rows stand. Default: found"""
    skip_rows: Annotated[Int, Field(ge=0, le=MOST_ROWS)] | None = Field(default=None, exclude_if=left_out)
    """So many rows at the top are passed over before the header is looked for. Default: 0"""
    skip_footer: Annotated[Int, Field(ge=0, le=MOST_ROWS)] | None = Field(default=None, exclude_if=left_out)
    """So many rows with content at the end are no rows: totals, signatures. Default: 0"""
    merged: Literal["refuse", "fill"] | None = Field(default=None, exclude_if=left_out)
    """Merged cells: refuse the file, or fill each of them with their value. Default: refuse"""
    path: str | None = Field(default=None, exclude_if=left_out)
    """Where the rows are in a JSON file: names with points in between, e.g. data.items. Default: the only array"""

    def but(self, said: FileForm | None) -> FileForm:
        """The same, where nothing else is said."""
        return self.model_copy(update=said.stated) if said is not None else self

    @property
    def of_ours(self) -> FileForm:
        """How a file that Rowrelay gave out is read: its header is its first row, whatever is said of others."""
        others = ("kind", "sheet", "header_row", "skip_rows", "skip_footer", "merged", "path")
        return self.model_copy(update=dict.fromkeys(others))

    @property
    def stated(self) -> dict[str, Any]:
        """What is said, by key: JSON data."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)

    def beside(self, kind: str) -> tuple[str, ...]:
        """The keys that were said and mean nothing in a file of this kind."""
        found = self.stated
        return tuple(key for key, kinds in ABOUT.items() if key in found and kind not in kinds and _says(key, found))


AS_FOUND = FileForm()


def option(key: str, value: object) -> str:
    """How somebody says a key at the command line, and in a definition. The dashboard has a control in its place."""
    shown = str(value)
    plain = re.fullmatch(r"\w[\w.]*", shown) is not None
    quoted = shown if plain else "'" + shown.replace("'", "'\\''") + "'"
    stated = shown if plain else json.dumps(shown, ensure_ascii=False)
    return f"--{key.replace('_', '-')} {quoted} (in a definition source: {{{key}: {stated}}})"


def _says(key: str, stated: Mapping[str, Any]) -> bool:
    """Whether it is more than a default that a stored definition always states."""
    return not (key == "apostrophes" and stated[key] == "ask") and stated[key] != 0


def said(**keys: Any) -> FileForm:
    """What somebody says of a file; keys that are None or empty say nothing. Raises BadFile for what is impossible."""
    try:
        form = FileForm(**{key: value for key, value in keys.items() if value not in (None, "")})
    except ValidationError as exc:
        first = exc.errors()[0]
        raise BadFile(f"{first['loc'][0]}: {first['msg'].lower()} (found {brief(first['input'])})") from exc
    for key, why in form_faults(form):
        if key not in ("encoding", "delimiter"):  # the reader of the file has better words for those
            raise BadFile(f"{key} {why}")
    return form


def form_faults(form: FileForm) -> Iterator[tuple[str, str]]:
    """(key, what is wrong with it) beyond the shape of the keys."""
    if form.delimiter is not None and form.delimiter not in (",", ";", "|", "\t", "tab"):
        yield "delimiter", f"must be , ; | or tab, in quotes (found {brief(form.delimiter)})"
    if form.encoding is not None and not _is_encoding(form.encoding):
        common = ("utf-8", "utf-16", "cp1252", "cp1251", "latin-1", "cp1250", "shift_jis", "gb18030")
        yield "encoding", f"{brief(form.encoding)} is no known text encoding; {suggestion(form.encoding, common)}"
    for key in form.beside(form.kind) if form.kind else ():
        yield key, f"says nothing of {WORDS[form.kind or '']}; leave it out, or mend kind"
    if form.sheet is not None and (form.sheet == "" or (isinstance(form.sheet, int) and form.sheet < 1)):
        yield "sheet", "must be the name of a sheet, or its position from 1"
    if form.header_row and form.skip_rows and form.skip_rows >= form.header_row:
        yield "skip_rows", f"passes over the header, which is row {form.header_row}; header_row alone says enough"


def _is_encoding(name: str) -> bool:
    try:
        return "a".encode(name).decode(name) == "a" and codecs.lookup(name).name != "idna"
    except (LookupError, UnicodeError, ValueError):
        return False
