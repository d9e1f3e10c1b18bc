"""What became of rows of which it is not known: the API is asked, and the ledger told.

`unknown` rows are asked about one by one, at the end of a run and when somebody wishes it: done, failed, or not there,
so that they wait to be sent. `accepted` rows are asked about by the job that they are in, once a job, until the API
has decided. Of a question that no rule has an answer for nothing follows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec
from msgspec import UNSET

from flows.client.compiled import Compiled
from flows.client.exchange import NO_NOTE, Note, step_key
from flows.client.items import Items
from flows.client.kept import kept_of
from flows.client.request import filling, idempotency_key
from flows.delivery.accepted import READ_AT_ONCE, Accepted
from flows.delivery.demand import Demand
from flows.delivery.engine import Engine
from flows.delivery.lease import Lease
from flows.delivery.stepping import advanced, packed, stored
from flows.ledger import keys
from flows.ledger.connection import translated
from flows.ledger.keys import Record
from flows.ledger.ledger import Ledger
from flows.ledger.moves import Found
from flows.ledger.view import View
from flows.pipeline.course import Poll
from flows.pipeline.definition import Definition
from flows.pipeline.template import Unsendable
from flows.records import Outcome, Reply, Row, RowState
from flows.spool.ordinals import Ordinals
from flows.spool.spool import Spool

_AT_ONCE = 500  # rows, or jobs, asked about before the ledger is told
_PAUSE_SECONDS = 0.2
_SOON_SECONDS = 5.0  # so long is waited for the next look in any case: clocks differ
_GROWTH, _LONGEST_SECONDS = 1.5, 60.0


class Settling:
    """Of one delivery of a run."""

    def __init__(
        self,
        run: str,
        definition: Definition,
        engine: Engine,
        *,
        lease: Lease,
        ledger: Ledger,
        view: View,
        spool: Spool,
    ) -> None:
        self._run, self._definition, self._engine = run, definition, engine
        self._lease, self._ledger, self._view, self._spool = lease, ledger, view, spool
        self._names = definition.kept
        self._ordinals: Ordinals | None = None

    @property
    def _compiled(self) -> Compiled:
        assert self._engine.client is not None
        return self._engine.client.compiled

    @translated()
    def reconcile(self, *, sent_at: float | None) -> int:
        """Ask about every unknown row; returns how many are to be sent, as they are not there.

        `sent_at`: when this process last sent something, Unix time: a lost write takes its time to show.
        Raises StackError, LedgerError.
        """
        reconcile, run = self._definition.reconcile, self._view.run(self._run)
        if reconcile is None or not run.counts[RowState.UNKNOWN]:
            return 0
        rows = self._view.select(self._run, [RowState.UNKNOWN], run.total).tolist()
        self._event(f"Asking the API what became of {len(rows):,} unknown {'row' if len(rows) == 1 else 'rows'}")
        waiting = 0
        for first in range(0, len(rows), _AT_ONCE):
            records = self._records(rows[first : first + _AT_ONCE])
            records = [record for record in records if record.state is RowState.UNKNOWN]
            lapse = self._definition.terms.lapse_seconds + reconcile.after_seconds
            latest = max([record.at or 0.0 for record in records] + [sent_at or 0.0], default=0.0)
            if not records:  # they were settled by others meanwhile
                continue
            if not self._sleep_until(latest + (reconcile.after_seconds if sent_at else lapse)):
                break
            waiting += self._settle(records)
        return waiting

    def _settle(self, records: Sequence[Record]) -> int:
        rows = self._rows([record.row for record in records])
        steps = self._compiled.steps
        notes = stored(self._ledger.client, self._run, [record.row for record in records]) if steps else []
        asked: list[tuple[Record, Row, Note, httpx.Request]] = []
        for at, (record, row) in enumerate(zip(records, rows, strict=True)):
            own, note = idempotency_key(self._run, row, record.generation), notes[at] if steps else NO_NOTE
            more = dict(record.kept)
            if note.open is not None:
                own = step_key(own, steps[note.open.next].step.name)
                more |= {
                    f"{name}.{each}": value for name, kept in note.open.known.items() for each, value in kept.items()
                }
            try:
                asked.append((record, row, note, self._compiled.reconciliation(row, own, more)))
            except Unsendable:
                continue
        replies = self._engine.ask([(request, row) for _, row, _, request in asked])
        found = []
        for (record, row, note, _), reply in zip(asked, replies, strict=True):
            if reply is None or reply.by_rule is None or reply.means is RowState.UNKNOWN or reply.stop or reply.ban:
                continue
            outcome = self._outcome(reply, row, record.kept)
            if outcome.state is RowState.DONE and note.open is not None and note.open.next + 1 < len(steps):
                found.append(self._goes_on(record, note, outcome, reply))
            else:
                found.append(self._found(record, outcome, reply))
        moved = self._ledger.resolve(self._run, self._lease.epoch, found)
        return sum(each.state is RowState.WAITING for each, ok in zip(found, moved, strict=True) if ok)

    def _goes_on(self, record: Record, note: Note, outcome: Outcome, reply: Reply) -> Found:
        """The write in doubt is done, and others may follow: the row waits for its next step."""
        assert note.open is not None
        name = self._compiled.steps[note.open.next].step.name
        waits = msgspec.structs.replace(outcome, state=RowState.WAITING, reason="")
        found = self._found(record, waits, reply)
        return found._replace(steps=packed(advanced(note, name, outcome.kept), self._compiled))

    def _about(self, rows: Sequence[int]) -> Row | None:
        """A row of a job, where the limits ask for one."""
        return None if Demand.of(self._definition).fixed is not None else self._rows(rows[:1])[0]

    @translated()
    def poll(self, *, waits: bool = False) -> int:
        """Ask about every job that accepted rows are in; returns how many rows are still accepted.

        Where it is not time for that yet, `waits` says whether to wait. Raises StackError, LedgerError.
        """
        poll, run = self._definition.poll, self._view.run(self._run)
        if poll is None or not run.counts[RowState.ACCEPTED]:
            return 0
        due = run.facts.polled_at + next_look_seconds(poll, run.facts.looks)
        if (not waits and due - time.time() > _SOON_SECONDS) or not self._sleep_until(due):
            return run.counts[RowState.ACCEPTED]
        looks, now = run.facts.looks + 1, round(time.time(), 3)
        self._ledger.facts(self._run, epoch=self._lease.epoch, polled_at=now, looks=looks)
        accepted = Accepted(poll, self._compiled, read=self._accepted)
        accepted.sort(self._view.select(self._run, [RowState.ACCEPTED], run.total).tolist())
        for some in accepted.questions(_AT_ONCE):
            replies = self._engine.ask([(request, self._about(rows)) for rows, request in some])
            for (rows, _), reply in zip(some, replies, strict=True):
                if reply is None or reply.by_rule is None or reply.stop or reply.ban:
                    continue
                at_once = len(rows) if reply.by_rule.means == "items" else READ_AT_ONCE
                for first in range(0, len(rows), at_once):
                    self._report(self._accepted(rows[first : first + at_once]), reply)
        self._give_up(
            accepted.nameless,
            "the answer did not name the job, or not in a way that can be stored, so that it cannot be asked about",
        )
        self._give_up(accepted.overdue, f"the API has not decided within {poll.until.hours:g} hours")
        left = self._view.run(self._run).counts[RowState.ACCEPTED]
        if left < run.counts[RowState.ACCEPTED]:
            self._ledger.facts(self._run, epoch=self._lease.epoch, looks=0)
        return left

    def wait(self) -> None:
        """Ask until the API has decided about every accepted row. Raises StackError, LedgerError."""
        while not self._engine.is_ending and self.poll(waits=True):
            pass

    def _accepted(self, rows: Sequence[int]) -> list[Record]:
        """Those of the rows that are accepted still."""
        return [record for record in self._records(rows) if record.state is RowState.ACCEPTED]

    def _report(self, records: Sequence[Record], reply: Reply) -> None:
        """What the answer about a job means for its rows."""
        if reply.by_rule.means == "items" and (items := self._compiled.report) is not None:
            outcomes = self._by_items(items, records, reply)
        elif reply.means in (RowState.DONE, RowState.FAILED, RowState.UNKNOWN):
            rows = self._rows([record.row for record in records])
            outcomes = [self._outcome(reply, row, record.kept) for row, record in zip(rows, records, strict=True)]
        else:
            return
        found = [
            self._found(record, outcome, reply)
            for record, outcome in zip(records, outcomes, strict=True)
            if outcome.state in (RowState.DONE, RowState.FAILED, RowState.UNKNOWN)
        ]
        self._ledger.resolve(self._run, self._lease.epoch, found)

    def _by_items(self, items: Items, records: Sequence[Record], reply: Reply) -> list[Outcome]:
        """What a report says of these rows, which may speak of others of their parcels that are decided by now."""
        parcels = self._view.parcels_of(self._run, [record.row for record in records])
        whole = self._records(list(dict.fromkeys(row for parcel in parcels for row in parcel)))
        rows = self._rows([record.row for record in whole])
        values = [
            filling(row, idempotency_key(self._run, row, record.generation))
            for row, record in zip(rows, whole, strict=True)
        ]
        mask = self._compiled.masker
        by_row = {each.row: each for each in items.outcomes(reply, [row.row for row in rows], values, mask.text)}
        outcomes = [by_row[record.row] for record in records]
        return [
            msgspec.structs.replace(outcome, kept={**record.kept, **_stated(mask.value(outcome.kept))})
            for record, outcome in zip(records, outcomes, strict=True)
        ]

    def _give_up(self, rows: Sequence[int], why: str) -> None:
        """Call rows unknown that are accepted still."""
        for first in range(0, len(rows), READ_AT_ONCE):
            found = [
                self._found(record, Outcome(record.row, RowState.UNKNOWN, why, record.kept), None)
                for record in self._accepted(rows[first : first + READ_AT_ONCE])
            ]
            self._ledger.resolve(self._run, self._lease.epoch, found)

    def _outcome(self, reply: Reply, row: Row, kept: Mapping[str, Any]) -> Outcome:
        rule = reply.by_rule
        found: dict[str, Any] = {}
        if rule is not None and rule.keep:
            body = None if reply.value is UNSET else reply.value
            found, _ = kept_of(rule.keep, body, reply.headers, {**kept, **row.values})
        merged = {**kept, **_stated(self._compiled.masker.value(found))}
        return Outcome(row.row, reply.means, reply.reason, merged, reply.excerpt)

    def _found(self, record: Record, outcome: Outcome, reply: Reply | None) -> Found:
        tail, detail = keys.pack(
            self._names,
            status=record.status if reply is None else reply.status,
            took_seconds=record.took_seconds or 0.0,
            kept=outcome.kept,
            reason=outcome.reason,
            excerpt=outcome.excerpt,
        )
        return Found(record.row, record.epoch, record.serial, outcome.state, tail, detail)

    def _records(self, rows: Sequence[int]) -> list[Record]:
        return self._view.records(self._run, rows, names=self._names, created=self._view.run(self._run).created)

    def _rows(self, numbers: Sequence[int]) -> list[Row]:
        if self._ordinals is None:
            self._ordinals = Ordinals(self._view.rejected(self._run))
        return self._ordinals.read(self._spool, numbers)

    def _event(self, text: str) -> None:
        self._ledger.event(self._run, text)

    def _sleep_until(self, moment: float) -> bool:
        """Wait; False where nothing more is to be sent. Nobody waits for longer than a day: clocks step."""
        deadline = time.monotonic() + min(max(0.0, moment - time.time()), 86_400.0)
        while (left := deadline - time.monotonic()) > 0:
            if self._engine.is_ending or self._lease.interrupted or self._lease.cancelled:
                return False
            time.sleep(min(left, _PAUSE_SECONDS))
        return not self._engine.is_ending


def next_look_seconds(poll: Poll, looks: int) -> float:
    """How long until accepted rows are asked about again, after so many looks that brought nothing.

    Longer from look to look, up to a minute: each is a flow run of its own, and a job may take hours.
    """
    return max(poll.every_seconds, min(_LONGEST_SECONDS, poll.every_seconds * _GROWTH ** min(looks, 20)))


def _stated(found: Mapping[str, Any]) -> dict[str, Any]:
    """What was found: nothing that was kept before goes."""
    return {name: value for name, value in found.items() if value is not None}
