"""`rowrelay check FILE --look`: the first rows of a file as they are read, to say how it is to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table
from rich.text import Text

from deployments.commands.choosing import chosen
from deployments.commands.session import out
from deployments.commands.showing import print_json
from flows.errors import BadFile
from flows.pipeline.file_form import WORDS, FileForm
from flows.settings import Settings
from flows.source.header import Called
from flows.source.preview import Line, Look, look

_COLUMNS = 12  # as many as a terminal has room for


def show(file: Path, *, pipeline: str, said: FileForm, as_json: bool) -> int:
    """Show the first rows. Returns 0 if the file is read so, else raises FileError after what there is to choose."""
    settings = Settings.read()
    definition = chosen(pipeline, file, settings) if pipeline else None
    form = definition.source.but(said) if definition else said
    wanted = Called.of(definition).names(definition.column_names) if definition else ()
    found = look(file, form, wanted=wanted, max_bytes=settings.max_upload_bytes)
    if as_json:
        told = asdict(found) | {"source": found.form.stated}
        del told["form"]
        print_json(told)
        return 2 if found.problem else 0
    _print(found)
    if found.problem:
        raise BadFile(found.problem, hint=found.hint)
    return 0


def _print(found: Look) -> None:
    keys = {key: value for key, value in found.form.stated.items() if key != "kind" and (key, value) != _ASKS}
    says = ", ".join(f"{key} {value!r}" if isinstance(value, str) else f"{key} {value}" for key, value in keys.items())
    if found.form.kind:
        kind = WORDS[found.form.kind]
        out.print(f"{kind[0].upper()}{kind[1:]}{f': {says}' if says else ''}", markup=False)
    if found.columns:
        out.print(_table(found.columns, found.rows))
    if found.top and (found.problem or (found.form.header_row or 1) > 1):
        out.print("As the rows stand:")
        out.print(_numbered(found.top))
    for tab in found.sheets if len(found.sheets) > 1 and not found.columns else ():
        out.print(f"Sheet {_visible(tab.name)}", markup=False)
        out.print(_numbered(tab.top))


_ASKS = ("apostrophes", "ask")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in header[:_COLUMNS]:
        table.add_column(_cell(name), overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row[: min(_COLUMNS, len(header))]))
    return table


def _numbered(lines: Sequence[Line]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for line in lines:
        table.add_row(Text(str(line.number)), *map(_cell, line.cells[:_COLUMNS]))
    return table


def _cell(text: str) -> Text:
    return Text(_visible(text))


def _visible(text: str) -> str:
    """Without what would steer the terminal."""
    return "".join(character if character.isprintable() else "·" for character in text)
