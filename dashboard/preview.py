"""A row's request as it goes out, for people to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flows.client.compiled import Compiled
from flows.client.outlook import Planned, login, planned
from flows.client.outlook import shown as as_shown
from flows.client.request import parcel_keys
from flows.delivery.first_parcel import first_parcel
from flows.errors import SettingError
from flows.ledger.keys import Record
from flows.ledger.parcels import in_words
from flows.ledger.run import Run
from flows.masking import NO_SECRET
from flows.origin import PLAIN, Origin
from flows.pipeline.definition import Definition
from flows.pipeline.reading import from_resolved
from flows.pipeline.secret import secret_names, secrets_of
from flows.records import Parcel, Row, RowState
from flows.settings import Settings

MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """A row's request as it may be shown, or why there is none."""

    row: int
    line: int
    method: str = ""
    url: str = ""
    headers: Mapping[str, str] | None = None
    body: str = ""
    problem: str = ""
    title: str = ""  # which rows it carries, and of which step it is
    rows: tuple[int, ...] = ()


def first_requests(
    run: str, definition: Definition, rows: Sequence[Row], settings: Settings, places: Origin = PLAIN
) -> list[Shown]:
    """The first requests of these rows: of a few, of those that travel together first, or each step of the first.

    `places`: where the rows stand.
    """
    if not rows:
        return []
    compiled = compiled_of(definition, settings)
    before = [
        replace(_one(each, compiled, rows[0], places), title="Login, before the first request", rows=())
        for each in login(compiled, rows)
    ]
    if definition.batch is not None:
        return before + _shown(run, compiled, first_parcel(compiled, rows), places)
    return before + [
        shown for row in rows[: 1 if definition.steps else MOST_SHOWN] for shown in _shown(run, compiled, [row], places)
    ]


def sent_as(
    run: Run, definition: Definition, row: Row, record: Record, settings: Settings, parcel: Sequence[Row] = ()
) -> list[Shown]:
    """The request of a row as it went out, or would, secrets masked; of several steps each.

    `parcel`: the rows that travelled together, it among them.
    """
    if record.state is not RowState.WAITING and record.attempts and record.epoch <= run.facts.redefined:
        former = run.facts.former_of(record.epoch)
        if former is None:
            said = "It was sent by the definition before that was changed: not kept."
            return [Shown(row.row, row.line, problem=said)]
        definition = from_resolved(former)
    rows = list(parcel) if parcel and definition.batch is not None else [row]
    compiled = compiled_of(definition, settings)
    return _shown(run.id, compiled, rows, run.facts.places, generation=record.generation, kept=record.kept)


def compiled_of(definition: Definition, settings: Settings) -> Compiled:
    """The definition ready for use, though a secret may be missing: nothing is sent by it."""
    try:
        secrets = secrets_of(definition, settings.secrets)
    except SettingError:
        secrets = dict.fromkeys(secret_names(definition), NO_SECRET)
    return Compiled.of(definition, secrets)


def _shown(
    run: str,
    compiled: Compiled,
    rows: Sequence[Row],
    places: Origin,
    *,
    generation: int = 0,
    kept: Mapping[str, Any] | None = None,
) -> list[Shown]:
    key, own_keys = parcel_keys(run, Parcel(tuple(rows)), [generation] * len(rows))
    found = planned(compiled, rows, key=key, own_keys=own_keys, kept=kept or {})
    return [_one(each, compiled, rows[0], places) for each in found]


def _one(each: Planned, compiled: Compiled, first: Row, places: Origin) -> Shown:
    about, numbers = _title(each, places), tuple(row.row for row in each.rows)
    if each.request is None:
        return Shown(first.row, first.line, problem=each.problem, title=about, rows=numbers)
    shown = as_shown(each, compiled.secrets)
    return Shown(
        first.row,
        first.line,
        shown["method"],
        shown["url"],
        shown["headers"],
        shown["body"],
        title=about,
        rows=numbers,
    )


def _title(each: Planned, places: Origin) -> str:
    """What a request is of."""
    first = each.rows[0]
    if len(each.rows) > 1:
        return f"Rows {in_words(row.row for row in each.rows)}, in one request"
    step = f", step {each.step}{f', if {each.when}' if each.when else ''}" if each.step else ""
    return f"Row {first.row}, {places.place(first.line)}{step}"


def in_text(shown: Sequence[Shown]) -> str:
    """All of them, one below the other."""
    if len(shown) == 1:
        return as_text(shown[0])
    return "\n\n".join(f"{each.title}:\n{as_text(each)}" for each in shown)


def as_text(shown: Shown) -> str:
    """The request as it goes over the wire."""
    if shown.problem:
        return shown.problem
    headers = "\n".join(f"{name.title()}: {value}" for name, value in (shown.headers or {}).items())
    return f"{shown.method} {shown.url}\n{headers}" + (f"\n\n{shown.body}" if shown.body else "")
