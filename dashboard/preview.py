"""A row's request as it goes out, for people to see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.client.request import build, idempotency_key, mask
from flows.errors import SettingError
from flows.ledger.keys import Record
from flows.ledger.run import Run
from flows.masking import NO_SECRET
from flows.pipeline.definition import Definition
from flows.pipeline.reading import from_resolved
from flows.pipeline.rendering import Rendering
from flows.pipeline.secret import secret_names, secrets_of
from flows.pipeline.template import Unsendable
from flows.records import Row, RowState
from flows.settings import Settings


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


def request_of(run: str, definition: Definition, row: Row, settings: Settings, *, generation: int = 0) -> Shown:
    """The request of a row, secrets masked."""
    try:
        secrets = secrets_of(definition, settings.secrets)
    except SettingError:
        secrets = dict.fromkeys(secret_names(definition), NO_SECRET)
    try:
        request = build(Rendering.of(definition), row, key=idempotency_key(run, row, generation), secrets=secrets)
        shown: dict[str, Any] = mask(request, secrets)
    except (Unsendable, UnicodeError, ValueError) as exc:
        return Shown(row.row, row.line, problem=str(exc))
    return Shown(row.row, row.line, shown["method"], shown["url"], shown["headers"], shown["body"])


def sent_as(run: Run, definition: Definition, row: Row, record: Record, settings: Settings) -> Shown:
    """The request of a row as it went out, or would; secrets masked."""
    if record.state is not RowState.WAITING and record.attempts and record.epoch <= run.facts.redefined:
        former = run.facts.former_of(record.epoch)
        if former is None:
            return Shown(row.row, row.line, problem="It was sent by the definition before that was changed: not kept.")
        definition = from_resolved(former)
    return request_of(run.id, definition, row, settings, generation=record.generation)


def as_text(shown: Shown) -> str:
    """The request as it goes over the wire."""
    if shown.problem:
        return shown.problem
    headers = "\n".join(f"{name.title()}: {value}" for name, value in (shown.headers or {}).items())
    return f"{shown.method} {shown.url}\n{headers}" + (f"\n\n{shown.body}" if shown.body else "")
