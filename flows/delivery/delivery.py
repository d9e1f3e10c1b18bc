"""One delivery of a run by this process: check, plan, send, end. What Prefect maps, without Prefect."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator

import redis

from flows.delivery.ending import last_state
from flows.delivery.events import Events
from flows.delivery.journal import journal
from flows.delivery.lease import Lease
from flows.delivery.plan import Chunk
from flows.delivery.rounds import Rounds
from flows.delivery.sending import Sending
from flows.delivery.settling import Settling
from flows.delivery.spooling import Spooling
from flows.delivery.summary import EARLIER, earlier
from flows.errors import Broken, RowrelayError, Stopped, Superseded
from flows.ledger.backup_guard import BackupGuard
from flows.ledger.connection import connect, translated
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.records import RunState, Wanted
from flows.settings import Settings
from flows.spool.spool import Spool

ROUNDS_AFTER = 3  # for rows that come back while others are sent; what comes later waits for a resumption
logger = logging.getLogger(__name__)


class Delivery:
    """A run in the hands of this process. Methods are for plain threads; `send` may run in many at once.

    `part` names a process that sends for the one that holds the lease: it calls `join` instead of `take` and `open`.
    A Redis that is away is waited for; every method may raise StackError and LedgerError.
    """

    def __init__(self, run: str, definition: Definition, settings: Settings, redis_url: str, *, part: str = "") -> None:
        self.run, self.definition, self.settings = run, definition, settings
        self.failure: RowrelayError | None = None  # why it ended early, once it has ended
        self.handed_over = False
        self.client = connect(redis_url, patience=lambda: self.sending.patience_seconds)
        self.ledger, self.view = Ledger(self.client), View(self.client)
        self.at_once = Ledger(connect(redis_url))  # for who does not wait for a Redis that is away
        self.lease = Lease(run, self.at_once)
        self.spool = Spool(settings.spool_url, run)
        self.spooling = Spooling(run, definition, settings, self.spool, self.ledger, self.view, self.lease)
        self.planned = Rounds(run, definition, self.ledger, self.view)
        self.sending = Sending(
            run,
            definition,
            settings,
            redis_url,
            lease=self.lease,
            spool=self.spool,
            at_once=self.at_once,
            view=self.view,
            journal=journal(settings, run, part=part),
            events=Events(run, self.at_once),
        )
        self.settling = Settling(
            run,
            definition,
            self.sending.engine,
            lease=self.lease,
            ledger=self.ledger,
            view=self.view,
            spool=self.spool,
        )
        self._guard = BackupGuard(self.client, settings.memory)
        self._trusted = False

    @translated()
    def take(self, *, resume: bool, only_check: bool = False) -> None:
        """Become the run's sole deliverer. `only_check`: who takes it up after a crash must not send it unasked.

        Raises RunBusy, RunNotFound.
        """
        self.lease.take(self.ledger, resume=resume)
        self.ledger.facts(self.run, only_check=only_check)

    @translated()
    def trust(self) -> None:
        """Make sure that the ledger has forgotten nothing, before anything is sent by it. Raises LedgerOlder.

        To be called before the file is checked: `rowrelay restored` doubts all that waits.
        """
        self._guard.ask(self.run)
        self._trusted = True
        self._guard.rise()

    def connect(self) -> None:
        """Start this process' loop and share of the limit, so that a quarantine passes while the file is checked."""
        self.sending.connect()

    @translated()
    def open(self) -> None:
        """Start sending: from now on `send` may be called. Raises LedgerOlder, Superseded."""
        if not self._trusted:
            self.trust()
        self.ledger.facts(self.run, epoch=self.lease.epoch, steps=bool(self.definition.steps))
        self.ledger.open(self.run, self.lease.epoch)
        self.lease.renew(self.ledger)  # rows that a dead deliverer left under way may be due, whatever has just ended
        before = self.view.run(self.run)
        if before.facts.sent and not self.view.paces(self.run):
            self.ledger.pace(self.run, EARLIER, earlier(before).packed, 0)
        self.sending.open(first_serial=self.ledger.serials(self.run))

    @translated()
    def join(self, epoch: int) -> None:
        """Send under the epoch of the process that holds the lease. Raises SettingError."""
        self.lease.keep(epoch)
        self.spool.at(self.view.run(self.run).facts.mended)
        self.sending.open(first_serial=self.ledger.serials(self.run))

    def rounds(
        self, wanted: Wanted, *, request: str = "", left_out: Collection[int] = (), reason: str = ""
    ) -> Iterator[list[Chunk]]:
        """What is to be sent, round by round: each is to be sent before the next is asked for. See `Rounds.plan`."""
        epoch = self.lease.epoch
        if wanted not in ("reconcile", "accepted"):
            yield self.planned.plan(wanted, epoch=epoch, request=request, left_out=left_out, reason=reason)
            self.settle()
        if wanted == "unfinished":
            yield from self._late(epoch)
        for _ in range(ROUNDS_AFTER if wanted != "accepted" else 0):
            if self.sending.is_ending or not self.settling.reconcile(sent_at=self.sending.sent_at):
                break
            yield self.planned.plan("reconcile", epoch=epoch)
            self.settle()
        if not self.sending.is_ending:
            self.settling.poll()

    def _late(self, epoch: int) -> Iterator[list[Chunk]]:
        # An earlier deliverer that was cut off may have said meanwhile that some of its rows were never sent.
        for _ in range(ROUNDS_AFTER):
            if self.sending.is_ending or not (late := self.planned.plan("unfinished", epoch=epoch)):
                break
            yield late
            self.settle()
        if not self.sending.is_ending:
            yield self.planned.plan_unknown()

    def send(self, chunk: Chunk) -> dict[str, int]:
        """Deliver a chunk's rows; returns how many ended in which state (`left`: not sent)."""
        return self.sending.deliver(self.planned.spans(chunk), resends=self.planned.resends)

    @translated()
    def settle(self) -> None:
        """Wait until the attempts of dead deliverers can no longer be answered, and their rows are `unknown`."""
        while self.sending.has_begun and not self.sending.is_ending and self.lease.renew(self.ledger):
            time.sleep(0.2)

    def drain(self) -> None:
        """Take no new rows; `send` returns when those under way are recorded."""
        self.sending.drain()

    def interrupt(self) -> None:
        """End at once: rows of which anything was written become `unknown`."""
        self.sending.interrupt()

    @property
    def interrupted(self) -> bool:
        """Whether it was told to end by who runs it, not by a wish in the ledger."""
        return self.lease.interrupted

    @property
    def stopped(self) -> Stopped | None:
        """Why sending ended early, if it did."""
        return self.sending.stopped

    def close(self) -> None:
        """Wait for what is under way, record it, and end the sending loop."""
        self.sending.close()

    def release(self) -> None:
        """Let go of lease, connections and threads, when all is said. One process delivers many runs."""
        self.lease.release()
        self.spool.close()
        self.client.close()
        self.at_once.client.close()

    @translated()
    def end(self, failure: RowrelayError | None = None) -> Run:
        """Write down how the run ended, give it back, and return it as it stands. Raises Superseded."""
        self.failure = failure or self.stopped
        try:
            self.sending.sum_up(self.ledger, self.view)
        except (RowrelayError, redis.RedisError):
            raise
        except Exception as exc:  # the figures are not worth a run without an end
            logger.exception("the figures of the run could not be made")
            self.failure = self.failure or Broken.of(exc)
        state, reason = last_state(self.view.run(self.run), self.failure, cancelled=self.sending.cancelled)
        return self._give_back(state, reason)

    @translated()
    def put_down(self, why: str) -> Run:
        """Give the run back as one that was checked only. Raises Superseded."""
        return self._give_back(RunState.CHECKING, why)

    @translated()
    def hand_over(self) -> Run | None:
        """Give the run back unfinished, for another process to go on with. None if it is over or not to go on."""
        run = self.view.run(self.run)
        going_on = run.state is RunState.CHECKING or run.finished_rows < run.total
        if self.stopped is not None or run.cancelling or not going_on:
            return None
        self.sending.sum_up(self.ledger, self.view)
        try:
            left = self._give_back(run.state, "handed over to the next worker")
        except Superseded:
            return None
        self.handed_over = True
        return left

    def _give_back(self, state: RunState, reason: str) -> Run:
        self.lease.release()  # or it would be renewed once more after it has been given back
        if not self.ledger.end(self.run, self.lease.epoch, state, reason):
            raise Superseded("Another process has taken over this run.")
        if self._trusted:  # a ledger that was not would soon count as much as it did before
            self._guard.rise()
        return self.view.run(self.run)
