"""How far the steps of rows are, as the ledger knows it: a kill between two of them repeats no answered write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import redis

from flows.client.compiled import Compiled
from flows.client.exchange import NO_NOTE, Note, Progress
from flows.client.kept import capped
from flows.ledger import keys
from flows.ledger.connection import translated

_NOTE = msgspec.msgpack.Decoder(Note)


def packed(note: Note, compiled: Compiled) -> bytes:
    """A note as the ledger keeps it: without secrets, and without what is too long. See `Progress.lossy`."""
    parts = {"safe": _plain(note.safe, compiled), "open": note.open and _plain(note.open, compiled)}
    return msgspec.msgpack.encode(parts, enc_hook=str)


def _plain(progress: Progress, compiled: Compiled) -> dict[str, Any]:
    known: dict[str, dict[str, Any]] = {}
    lossy = progress.lossy
    for name, kept in progress.known.items():
        known[name] = {each: keys.storable(compiled.masker.value(capped(value))) for each, value in kept.items()}
        lossy = lossy or any(known[name][each] != value for each, value in kept.items())
    return {"next": progress.next, "known": known, "fitted": progress.fitted, "lossy": lossy}


def notes_of(client: redis.Redis, run: str, rows: Sequence[int]) -> list[Note]:
    """What is known of the steps of these rows; of those that are in no doubt what is safe. Raises redis.RedisError."""
    found = stored_notes(client, run, rows)
    pipe = client.pipeline(transaction=False)
    for row in rows:
        pipe.hget(*keys.place(run, "rows", row))
    return [
        note if isinstance(raw, bytes) and keys.is_doubtful(raw) else Note(note.safe)
        for note, raw in zip(found, pipe.execute(), strict=True)
    ]


def stored_notes(client: redis.Redis, run: str, rows: Sequence[int]) -> list[Note]:
    """What is known of the steps of these rows. Raises redis.RedisError."""
    raw: Sequence[object] = client.hmget(keys.run_key(run) + ":steps", [str(row) for row in rows]) if rows else []
    return [_NOTE.decode(each[keys.STEPS.size :]) if isinstance(each, bytes) else NO_NOTE for each in raw]


@translated()
def stored(client: redis.Redis, run: str, rows: Sequence[int]) -> list[Note]:
    """The same. Raises StackError."""
    return stored_notes(client, run, rows)


def advanced(note: Note, step: str, kept: Mapping[str, Any]) -> Note:
    """The note once its open write is known to be done, and what was kept of that."""
    assert note.open is not None
    known = {name: dict(each) for name, each in note.open.known.items()}
    known[step] = {**known.get(step, {}), **kept}
    return Note(Progress(note.open.next + 1, known, note.open.fitted, note.open.lossy))
