"""The sending of one delivery: from the first permit until the last outcome, and how fast it went."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial

from flows.delivery.engine import Engine
from flows.delivery.events import Events
from flows.delivery.journal import Journal
from flows.delivery.lease import Lease
from flows.delivery.plan import slice_size
from flows.delivery.regrouping import Regrouping
from flows.delivery.sender import Sender
from flows.delivery.summary import Sent, totals
from flows.errors import LimitLost, Stopped, StorageError, Superseded
from flows.ledger.backup_guard import BackupGuard
from flows.ledger.ledger import Ledger
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.records import Row
from flows.settings import Settings
from flows.spool.spool import Spool


class Sending:
    """Sends rows of the run that `lease` holds. `at_once` is a ledger that does not wait for a Redis that is away."""

    def __init__(
        self,
        run: str,
        definition: Definition,
        settings: Settings,
        redis_url: str,
        *,
        lease: Lease,
        spool: Spool,
        at_once: Ledger,
        view: View,
        journal: Journal,
        events: Events,
    ) -> None:
        self._run, self._definition, self._settings = run, definition, settings
        self._lease, self._spool, self._ledger, self._journal, self._events = lease, spool, at_once, journal, events
        self._terms = definition.terms
        self._slice = slice_size(self._terms, per_request=definition.rows_per_request)
        self._regrouping = Regrouping(run, view, spool) if definition.batch is not None else None
        self.engine = Engine(redis_url, definition, settings)
        self._sent_at: float | None = None
        self._guard = BackupGuard(at_once.client, settings.memory)

    @property
    def has_begun(self) -> bool:
        """Whether rows may have been sent."""
        return self.engine.sender is not None

    @property
    def stopped(self) -> Stopped | None:
        """Why sending ended early, if it did."""
        return self.engine.sender.stopped if self.engine.sender is not None else None

    @property
    def cancelled(self) -> bool:
        """Whether somebody wished the run to end."""
        sender = self.engine.sender
        return self._lease.interrupted or self._lease.cancelled or (sender is not None and sender.cancelled)

    @property
    def is_ending(self) -> bool:
        """Whether nothing more is to be sent."""
        return self.stopped is not None or self.cancelled

    @property
    def sent_at(self) -> float | None:
        """When this process sent something last, Unix time, if it has."""
        return self._sent_at

    @property
    def patience_seconds(self) -> float:
        """How long a Redis that does not answer is waited for: where sending has waited so long, not once more."""
        return 0.0 if isinstance(self.stopped, LimitLost) else self._settings.give_up_seconds

    def connect(self) -> None:
        """Start the loop and this process' share of the limit."""
        self.engine.connect(owner=self._lease.owner, on_event=self._events)

    def open(self, *, first_serial: int) -> None:
        """Start the sender. Raises SettingError, StackError, LedgerError."""
        make = partial(
            Sender,
            run=self._run,
            definition=self._definition,
            epoch=self._lease.epoch,
            first_serial=first_serial,
            ledger=self._ledger,
            journal=self._journal,
            give_up_seconds=self._settings.give_up_seconds,
            on_event=self._events,
            on_second=self._every_second,
        )
        self.engine.open(self._definition, lambda limit, client: make(limit=limit, client=client), run=self._run)
        self._lease.on_change = self._heed_lease
        self._heed_lease()

    def _heed_lease(self) -> None:
        """Tell the sender what has been heard of the run, and of this process' own end."""
        if self._lease.lost:
            self.engine.soon(lambda sender: sender.stop(Superseded("Another process has taken over this run.")))
        elif self._lease.cancelled or self._lease.interrupted:
            self.engine.soon(lambda sender: sender.drain(cancelled=True))

    def _every_second(self) -> None:
        self._guard.rise_by_and_by()
        self.note_pace(self._ledger)

    def note_pace(self, ledger: Ledger) -> None:
        """Write down how fast this process has been. Raises redis.RedisError."""
        sender, limit = self.engine.sender, self.engine.limit
        if sender is not None and limit is not None and sender.pace.sent:
            sent = Sent.of(sender.pace, limit.counters, offset=time.time() - limit.clock())
            ledger.pace(self._run, self._lease.owner, sent.packed, sender.pace.peak)

    def deliver(self, spans: Iterable[tuple[int, int]], *, resends: bool) -> dict[str, int]:
        """Deliver these rows of the spool; returns how many ended in which state (`left`: not sent)."""
        states: Counter[str] = Counter()
        rows: list[Row] = []
        for start, stop in spans:
            rows += self._spool.read(start, stop)
            if len(rows) >= self._slice:
                states += self._deliver(rows, resends=resends)
                rows = []
        states += self._deliver(rows, resends=resends)
        self._sent_at = time.time()
        return dict(states)

    def _deliver(self, rows: list[Row], *, resends: bool) -> Counter[str]:
        if self._regrouping is None or not rows:
            return self.engine.deliver(rows, resends=resends)
        grouped = self._regrouping.of(rows, resends=resends)
        states = self.engine.deliver(grouped.loose, parcels=grouped.parcels, resends=resends)
        return states + Counter(elsewhere=grouped.elsewhere)

    def drain(self) -> None:
        """Take no new rows; `deliver` returns when those under way are recorded."""
        self._lease.interrupt()

    def interrupt(self) -> None:
        """End at once: rows of which anything was written become `unknown`."""
        self._lease.interrupt()
        self.engine.soon(lambda sender: sender.interrupt())

    def close(self) -> None:
        """Wait for what is under way, record it, and end the loop."""
        connected = self.engine.is_running
        self.engine.close()
        if connected:
            try:
                self._journal.share()
            except StorageError as exc:
                here = socket.gethostname()
                self._events(f"{exc.message}; the last outcomes are on the disk of {here} only")

    def sum_up(self, ledger: Ledger, view: View) -> None:
        """Write down how fast it went, of all that ever sent rows of the run."""
        if (sender := self.engine.sender) is None:
            return
        sender.pace.settle(float("inf"))
        self.note_pace(ledger)
        sent = [Sent.unpacked(raw) for raw in view.paces(self._run).values()]
        ledger.facts(self._run, epoch=self._lease.epoch, **totals(sent, self._terms))
