"""All requests of one parcel, as a generator that yields them, is fed the replies and returns what became of each row.

Pure: whoever drives it takes a permit for each request and sends it. A plain pipeline yields once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from msgspec import UNSET
from msgspec.structs import replace

from flows.client.answer import but
from flows.client.compiled import Compiled, CompiledStep
from flows.client.kept import capped, kept_of, without_body
from flows.client.question import Question
from flows.client.reading import parsed
from flows.client.request import build, build_batch, filling
from flows.pipeline.expression import holds, search
from flows.pipeline.template import Unsendable
from flows.records import Outcome, Parcel, Reply, Row, RowState

_REFUSED = frozenset((400, 409, 413, 422))
_LOSSY = (
    "a value that an earlier step kept holds a secret or is too long to be stored, "
    "so that the row cannot go on after an interruption"
)
_NOT_THE_ROWS = frozenset((401, 403, 404, 405, 415))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the steps of a row are: which comes next, and what those before have kept, by step.

    `lossy`: it was stored, and a kept value was too long for that or held a secret, so that nobody can go on with it.
    """

    next: int = 0
    known: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fitted: bool = False  # one of the steps that have a condition was gone through
    lossy: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be known of a row's steps if its sender dies now.

    `safe`: after the last write that was answered; whoever has no doubt goes on from there, and looks everything up
    again. `open`: before the write that may be under way; whoever is in doubt about it may only send that one again.
    """

    safe: Progress = Progress()
    open: Progress | None = None


NO_NOTE = Note()
Exchange = Generator[httpx.Request | Note, Reply | None, list[Outcome]]
"""Yields requests, each to be answered by its reply, and notes that are to be taken before anything else happens."""


def exchange(
    compiled: Compiled,
    parcel: Parcel,
    *,
    key: str,
    own_keys: Sequence[str],
    parts: Sequence[Any] | None = None,
    note: Note = NO_NOTE,
) -> Exchange:
    """The exchange of a parcel under its idempotency key. A row that makes no request is `failed` without one.

    `parts` are those of the rows of a batch, where they have been made already.
    Each request carries its `Question` in the extension `question`. `note` is what is known of earlier steps.
    """
    if compiled.steps:
        return (yield from _steps(compiled, parcel.rows[0], key, note))
    try:
        request = whole_request(compiled, parcel.rows, key=key, own_keys=own_keys, parts=parts)
    except Unsendable as exc:
        return unsendable(compiled, parcel, exc)
    request.extensions["question"] = compiled.question(parcel.rows[0].values)
    reply = yield request
    assert reply is not None
    return outcomes(compiled, reply, parcel, own_keys)


def whole_request(
    compiled: Compiled,
    rows: Sequence[Row],
    *,
    key: str,
    own_keys: Sequence[str],
    parts: Sequence[Any] | None = None,
) -> httpx.Request:
    """The one request of a parcel without steps. Raises Unsendable."""
    batch = compiled.definition.batch
    if batch is None:
        return build(compiled.rendering, rows[0], key=key, secrets=compiled.secrets)
    request = build_batch(compiled.rendering, rows, key=key, own_keys=own_keys, secrets=compiled.secrets, parts=parts)
    if batch.bytes is not None and len(request.content) > batch.bytes:
        raise Unsendable(f"the request has {len(request.content):,} bytes, and batch.bytes allows {batch.bytes:,}")
    return request


def unsendable(compiled: Compiled, parcel: Parcel, exc: Unsendable) -> list[Outcome]:
    """Rows that make no request are `failed`."""
    reason = compiled.masker.text(f"{exc.message}; nothing was sent")
    return [Outcome(row.row, RowState.FAILED, reason) for row in parcel.rows]


def outcomes(compiled: Compiled, reply: Reply, parcel: Parcel, own_keys: Sequence[str] = ()) -> list[Outcome]:
    """What a reply means for each row of the parcel that it answers."""
    definition, rule, mask = compiled.definition, reply.by_rule, compiled.masker
    rows = parcel.rows
    values: Mapping[str, Any] = rows[0].values if len(rows) == 1 else {}
    kept: dict[str, Any] = {}
    missing = ""
    if definition.response.keep and (reply.value is not UNSET or reply.means in (RowState.DONE, RowState.ACCEPTED)):
        kept, missing = kept_of(definition.response.keep, reply.value, reply.headers, values)
        if reply.value is UNSET:  # headers may have been found
            kept = {name: value for name, value in kept.items() if value is not None}
    if rule is not None and rule.keep:
        kept |= kept_of(rule.keep, _json(reply), reply.headers, values)[0]
    kept = mask.value(kept)
    if compiled.items is not None and reply.means is RowState.DONE:
        filled = [filling(row, own) for row, own in zip(rows, own_keys, strict=True)]
        found = compiled.items.outcomes(reply, [row.row for row in rows], filled, mask.text)
        return [_with(outcome, kept, mask.value(outcome.kept)) for outcome in found]
    if len(rows) > 1 and _is_refusal(reply, definition.batch is not None and definition.batch.refused == "split"):
        return [
            Outcome(row.row, RowState.WAITING, reply.reason, again=True, counts=False, refused=True) for row in rows
        ]
    reason = f"{reply.reason}; {missing}" if reply.reason and missing else reply.reason or but(reply.status, missing)
    counts = not reply.renews and (rule is None or rule.means != "wait")
    return [Outcome(row.row, reply.means, reason, kept, reply.excerpt, reply.again, counts=counts) for row in rows]


def _json(reply: Reply) -> Any:
    """The JSON of an answer, of which the value was not kept where it is no success."""
    if reply.value is not UNSET:
        return reply.value
    try:
        return parsed(reply.body, reply.headers)
    except ValueError:
        return None


def _with(outcome: Outcome, kept: dict[str, Any], own: dict[str, Any]) -> Outcome:
    if not kept and own is outcome.kept:
        return outcome
    return replace(outcome, kept={**kept, **own})


def _is_refusal(reply: Reply, splits: bool) -> bool:
    """Whether an answer refuses the whole parcel for the sake of some of its rows."""
    if not splits or reply.means is not RowState.FAILED or reply.ban or reply.status in _NOT_THE_ROWS:
        return False
    return reply.by_rule is not None or reply.status in _REFUSED


def _steps(compiled: Compiled, row: Row, key: str, note: Note) -> Exchange:
    """Several requests of one row, in order. What an earlier process knew of them is in `note`."""
    safe, begun = note.safe, note.open or note.safe
    known, fitted = {name: dict(kept) for name, kept in begun.known.items()}, begun.fitted
    if begun.lossy:
        state = RowState.UNKNOWN if note.open is not None else RowState.FAILED
        return [Outcome(row.row, state, _LOSSY, _all_kept(compiled, known))]
    reason = ""
    for at in range(begun.next, len(compiled.steps)):
        each = compiled.steps[at]
        step = each.step
        if step.when is not None:
            if not holds(step.when, {**known, "row": row.values}, {}, filling(row, key)):
                continue
            fitted = True
        if each.rendering is None:
            state = RowState(step.means or "failed")
            return [Outcome(row.row, state, step.reason or "", _all_kept(compiled, known))]
        try:
            request = _request(compiled, each, row, key, known)
        except Unsendable as exc:
            why = compiled.masker.text(f"step {step.name}: {exc.message}; it was not sent")
            return [Outcome(row.row, RowState.FAILED, why, _all_kept(compiled, known))]
        if step.is_write:
            yield Note(safe, Progress(at, _copied(known), fitted))
        reply = yield request
        assert reply is not None
        if reply.means is not RowState.DONE:
            return [_ended(compiled, reply, row, each, known)]
        known[step.name], reason = _kept_by(compiled, reply, each, row)
        if step.is_write and at + 1 < len(compiled.steps):  # what was answered is never sent again
            safe = Progress(at + 1, _copied(known), fitted)
            yield Note(safe)
    if not fitted and any(each.step.when is not None for each in compiled.steps):
        return [Outcome(row.row, RowState.FAILED, "no step fitted", _all_kept(compiled, known))]
    return [Outcome(row.row, RowState.DONE, reason, _all_kept(compiled, known))]


def _copied(known: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: dict(kept) for name, kept in known.items()}


def step_key(key: str, step: str) -> str:
    """The idempotency key of one step of a row."""
    return hashlib.blake2b(f"{key}:{step}".encode(), digest_size=16).hexdigest()


def _request(
    compiled: Compiled, each: CompiledStep, row: Row, key: str, known: Mapping[str, Mapping[str, Any]]
) -> httpx.Request:
    more = {f"{name}.{kept}": value for name, found in known.items() for kept, value in found.items()}
    own = step_key(key, each.step.name)
    assert each.rendering is not None
    if missing := [name for name in each.needs if more.get(name) is None]:
        raise Unsendable(f"{', '.join(missing)} was not in the answer")
    request = build(each.rendering, row, key=own, secrets=compiled.secrets, more=more)
    values = {**filling(row, own), **more}
    request.extensions["question"] = Question(
        each.rules, values, reads=not each.step.is_write, timeout_seconds=each.rendering.timeout_seconds
    )
    return request


def _kept_by(compiled: Compiled, reply: Reply, each: CompiledStep, row: Row) -> tuple[dict[str, Any], str]:
    """(what is kept of the answer to a step, as it goes on to others; what there was not)."""
    paths = {**compiled.definition.response.keep, **each.step.keep, **(reply.by_rule.keep if reply.by_rule else {})}
    body = None if reply.value is UNSET else reply.value
    kept = {name: search(path, body, reply.headers, row.values) for name, path in paths.items()}
    lost = without_body(each.step.keep) if reply.value is UNSET else ""
    lacking = but(reply.status, f"{lost} of it") if lost else ""
    return kept, lacking


def _all_kept(compiled: Compiled, known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What steps have kept, by name; of the same name that of the last one that found something."""
    kept: dict[str, Any] = {}
    for each in compiled.steps:
        for name, value in known.get(each.step.name, {}).items():
            if value is not None or name not in kept:
                kept[name] = value
    return {name: compiled.masker.value(capped(value)) for name, value in kept.items()}


def _ended(
    compiled: Compiled, reply: Reply, row: Row, each: CompiledStep, known: Mapping[str, Mapping[str, Any]]
) -> Outcome:
    """The outcome of a row whose step was not answered well."""
    reason = f"step {each.step.name}: {reply.reason}" if reply.reason else ""
    counts = not reply.renews and (reply.by_rule is None or reply.by_rule.means != "wait")
    kept = _all_kept(compiled, known)
    if reply.by_rule is not None and reply.by_rule.keep:
        kept |= compiled.masker.value(kept_of(reply.by_rule.keep, _json(reply), reply.headers, row.values)[0])
    return Outcome(row.row, reply.means, reason, kept, reply.excerpt, reply.again, counts=counts)
