"""`rowrelay answer`: what an answer would mean. Sends nothing and needs no stack."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from deployments.commands.progress import STYLES
from deployments.commands.session import out
from deployments.commands.showing import print_json
from flows.client.compiled import Compiled
from flows.client.meaning import NOBODY, Meaning, Of, OfRow, headers_of, meaning
from flows.client.meaning_words import (
    BUILT_IN,
    UNREAD,
    as_object,
    becomes,
    by_which,
    kept_in_words,
    limit_says,
    lines_of,
    which,
    whole,
)
from flows.delivery.first_parcel import first_parcel, first_rows
from flows.errors import FileError
from flows.masking import NO_SECRET
from flows.pipeline.definition import Definition
from flows.pipeline.fault import Place
from flows.pipeline.pipelines import pick, present
from flows.pipeline.secret import missing_secrets, secret, secret_names
from flows.records import Row, RowState
from flows.settings import Settings

MOST_BYTES = 64 * 2**20  # more than any definition reads
DONE, SOME, STOPS = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Told:
    """An answer as it was given. `body`: a file, - for standard input, or None. `of`: request, reconcile or poll."""

    status: int
    body: str | None
    headers: tuple[str, ...]
    file: Path | None
    step: str
    of: Of


def answer(pipeline: str, told: Told, *, as_json: bool) -> int:
    """Say what an answer means; the exit code that `--help` lists."""
    settings = Settings.read()
    found = present(settings)
    definition, path = pick(found, pipeline), found.files[pipeline]
    lacking = missing_secrets(definition, settings)
    secrets = {
        name: NO_SECRET if name in lacking else secret(name, settings.secrets) for name in secret_names(definition)
    }
    compiled = Compiled.of(definition, secrets)
    body = _read(told.body)
    headers = headers_of(told.headers, body)
    rows = _rows(compiled, told.file, settings)
    means = meaning(compiled, told.status, headers, body, rows, step=told.step, of=told.of)
    lines = lines_of(path)
    if as_json:
        print_json(as_object(means, definition, lines, str(path)))
    else:
        _print(means, definition, lines, path, f"{told.status}, {len(body):,} bytes")
    return _code(means)


def _code(means: Meaning) -> int:
    if means.reply.ban or means.reply.stop:
        return STOPS
    if means.goes_on:
        return DONE
    done = [each.outcome.state is RowState.DONE for each in means.rows]
    return DONE if done and all(done) else SOME


def _read(body: str | None) -> bytes:
    if body is None:
        return b""
    if body == "-":
        return sys.stdin.buffer.read(MOST_BYTES)
    try:
        with Path(body).open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError as exc:
        raise FileError(f"cannot be read: {exc.strerror}", file=body, hint="--body FILE is the answer's body.") from exc


def _rows(compiled: Compiled, file: Path | None, settings: Settings) -> list[Row]:
    """The rows that are answered: those of a file's first request."""
    if file is None:
        return []
    rows = first_rows(file, compiled.definition, max_bytes=settings.max_upload_bytes)
    if not rows:
        raise FileError(
            "has no row that can be sent, so no answer can come", file=str(file), hint="`rowrelay check` says why."
        )
    return first_parcel(compiled, rows)


def _print(means: Meaning, definition: Definition, lines: Mapping[Place, int], path: Path, answered: str) -> None:
    out.print(Text(f"{definition.name} · answer {answered}", style="bold"))
    told = [("means", whole(means)), ("by", which(means.rule, lines, str(path)) if means.rule else BUILT_IN)]
    if means.reply.reason:
        told.append(("reason", means.reply.reason))
    told.append(("limit", limit_says(means, definition)))
    for name, words in told:
        out.print(Text.assemble((f"  {name:<8}", "dim"), words))
    if means.unread:
        out.print(Text(f"{UNREAD} --file FILE says it: the rows of its first request.", style="yellow"))
    if means.rows and not means.goes_on:
        out.print(_table(means, definition, lines))
    elif means.goes_on and (kept := means.rows[0].outcome.kept):
        out.print(Text.assemble(("  kept    ", "dim"), kept_in_words(kept)))


def _table(means: Meaning, definition: Definition, lines: Mapping[Place, int]) -> Table:
    names = ("row", "becomes", "kept", "reason", "by")
    cells = [
        (
            _name(each),
            Text(becomes(each.outcome, means, definition), style=STYLES.get(each.outcome.state, "")),
            kept_in_words(each.outcome.kept),
            each.outcome.reason,
            by_which(each, lines),
        )
        for each in means.rows
    ]
    used = [at for at in range(len(names)) if any(row[at] for row in cells)]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for at in used:
        table.add_column(names[at], overflow="fold")
    for row in cells:
        table.add_row(*(cell if isinstance(cell := row[at], Text) else Text(cell) for at in used))
    return table


def _name(each: OfRow) -> str:
    return "any" if each.row is NOBODY else str(each.row.row)
