"""One delivery of a run by this process: check, plan, send, end. What Prefect maps, without Prefect."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import redis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from numpy.typing import NDArray

from flows.client.client import Client
from flows.delivery.check import CheckResult, check_file
from flows.delivery.delivered import DeliveredIndex, told
from flows.delivery.held import Held
from flows.delivery.journal import journal
from flows.delivery.plan import Chunk, Plan, Portion, chunk_size
from flows.delivery.respool import respool
from flows.delivery.sender import Sender
from flows.delivery.summary import EARLIER, Sent, earlier, totals
from flows.errors import (
    Broken,
    FileError,
    Interrupted,
    LimitLost,
    RowrelayError,
    StackError,
    Stopped,
    StorageError,
    Superseded,
    UnclearEncoding,
)
from flows.ledger.connection import translated
from flows.ledger.ledger import Ledger
from flows.ledger.view import Run, View
from flows.limit.limiter import Limit, Limiter
from flows.pipeline.definition import Definition
from flows.pipeline.secret import secrets_of
from flows.records import Apostrophes, Row, RowState, RunState, Wanted
from flows.settings import Settings
from flows.spool.spool import Spool
from flows.storage.storage import scratch

_RESENDS = {"failed": (RowState.FAILED,), "unknown": (RowState.UNKNOWN,)}
ROUNDS_AFTER = 3  # for rows that come back while others are sent; what comes later waits for a resumption
SLICE = 250  # rows of a chunk in memory at once, of which many are under way; more for a larger `in_flight`
logger = logging.getLogger(__name__)


@cache
def _tidy_memory() -> None:
    """Once a process, before it sends: give back what the check took, and let the garbage collector look less often.

    Arrow's allocator keeps some 20 MB for later. Each full look of the collector at the heap of Prefect and pandas
    stops the loop that sends for some 130 ms: an eighth of a row's cost without a limit, and late permits with one
    (bench/README.md). So it passes over what is loaded by now; rows leave no cycles worth looking for.
    """
    gc.collect()
    pa.default_memory_pool().release_unused()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


class Delivery(Held):
    """A held run on its way: check, plan, send, end. Methods are for plain threads; `send` may run in many at once.

    `part` names a process that sends for the one that holds the lease: it calls `join` instead of `take` and `open`.
    """

    def __init__(self, run: str, definition: Definition, settings: Settings, redis_url: str, *, part: str = "") -> None:
        super().__init__(run, settings, redis_url)
        self.definition = definition
        self.terms = definition.terms
        self.spool = Spool(settings.spool_url, run)
        self._slice = max(SLICE, self.terms.in_flight // 4)
        self.failure: RowrelayError | None = None  # why it ended early, once it has ended
        self.handed_over = False
        self._redis_url = redis_url
        self._stack = ExitStack()
        self._exits = AsyncExitStack()
        self._portal: BlockingPortal | None = None
        self._limit: Limit | None = None
        self._knocking: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sender: Sender | None = None
        self._plan: Plan | None = None
        self._journal = journal(settings, run, part=part)
        self._part = part
        self._resends = False

    def check(
        self,
        file: Path,
        *,
        encoding: str | None = None,
        delimiter: str | None = None,
        apostrophes: Apostrophes | None = None,
        skip_delivered: bool = False,
    ) -> CheckResult:
        """Check the file into the spool and fix the run's totals. Raises FileError, LedgerError, StackError.

        Where the definition has a `key`, the rows that earlier runs delivered are counted, and left out on request.
        """
        with self.kept(), translated(), scratch(self.settings.data) as folder, ExitStack() as exits:
            self.ledger.check_afresh(self.run, self.epoch)  # whoever was superseded must learn it before it deletes
            self.spool.delete()
            delivered = exits.enter_context(self._delivered(folder)) if self.definition.key else None

            def progress(rows: int, done: int, total: int) -> None:
                self.go_on()
                facts = {"checked_rows": rows, "checked_bytes": done, "file_bytes": total}
                self._superseded = not self.ledger.facts(self.run, epoch=self.epoch, **facts)

            try:
                result = check_file(
                    file,
                    self.definition,
                    self.spool,
                    encoding=encoding,
                    delimiter=delimiter,
                    apostrophes=apostrophes,
                    max_bytes=self.settings.max_upload_bytes,
                    scratch=folder,
                    on_progress=progress,
                    on_rejections=lambda rejections: self.ledger.reject(self.run, self.epoch, rejections),
                    delivered=delivered,
                    skip_delivered=skip_delivered,
                )
            except UnclearEncoding as exc:
                found = json.dumps([asdict(each) for each in exc.readings])
                self.ledger.facts(self.run, epoch=self.epoch, readings=found)
                raise
            self.ledger.begin(
                self.run,
                self.epoch,
                total=result.rows,
                rejected=result.rejected,
                digest=result.digest,
                encoding=result.encoding,
                delimiter=result.delimiter,
                apostrophes=apostrophes or self.definition.source.apostrophes,
                spool=self.spool.digest(),
                check_seconds=f"{result.seconds:.3f}",
                delivered=sum(result.delivered.values()),
                delivered_in=json.dumps(result.delivered),
                delivered_unsure=result.unsure,
                skipped=result.skipped,
                notices=json.dumps(result.remarks),
            )
            self.ledger.same_content(result.digest, self.run)
            for text in (*result.remarks, *told(result, delivered.unread if delivered else {})):
                self.ledger.event(self.run, text)
        return result

    @contextmanager
    def _delivered(self, folder: Path) -> Iterator[DeliveredIndex]:
        with DeliveredIndex(folder, self.definition.key) as index:
            index.take(self.view, self.settings.spool_url, self.definition.name, but=self.run)
            yield index

    def spooled(self) -> bool:
        """Whether the run's spool is there. Raises FileError if it is another one than its check wrote."""
        if not self.spool.exists():
            return False
        facts = self.view.run(self.run).facts
        if (written := facts.get("spool")) and written != self.spool.digest():
            if facts.get("respools") == "1":  # its making anew was cut short at the very end
                return False
            raise FileError(
                "the spool of this run is not the one that its check wrote, so its rows may be others",
                file=self.spool.folder,
                hint="Delete this folder and resume the run: the original file is then checked again.",
            )
        return True

    def respool(self, file: Path) -> None:
        """Make the spool anew from the original file.

        Raises FileError if its content is no longer the same, or its rows are judged differently from the first time.
        """
        run = self.view.run(self.run)
        before = self.view.bitmap(self.run, RowState.REJECTED, run.total)
        most = self.settings.max_upload_bytes
        self.steadily(lambda: self.ledger.facts(self.run, epoch=self.epoch, respools=1))
        with self.kept():
            respool(run, before, file, self.definition, self.spool, max_bytes=most, go_on=self.go_on)
        self.steadily(lambda: self.ledger.facts(self.run, epoch=self.epoch, spool=self.spool.digest(), respools=0))

    def knock(self) -> None:
        """Start this process' loop and share of the limit, so that a quarantine passes while the file is checked."""
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._portal.call(self._knock)

    async def _knock(self) -> None:
        self._loop = asyncio.get_running_loop()
        limiter = Limiter(
            self._redis_url,
            asker_id=self._owner,
            give_up_seconds=self.settings.give_up_seconds,
            stops_folder=self.settings.data / "journal",
        )
        await self._exits.enter_async_context(limiter)
        self._limit = limiter.limit(self.terms)
        self._limit.on_event = self.event
        self._knocking = asyncio.create_task(self._first_permit(self._limit))

    async def _first_permit(self, limit: Limit) -> None:
        with suppress(Stopped):  # whoever sends will hear it, too
            for permit in await limit.acquire(self.run, 1):
                permit.unused()

    def open(self) -> None:
        """Start sending: from now on `send` may be called. Raises LedgerOlder, Superseded, StackError."""
        assert self._portal is not None
        if not self._trusted:
            self.trust()
        _tidy_memory()
        self.steadily(lambda: self.ledger.open(self.run, self.epoch))
        before = self.steadily(lambda: self.view.run(self.run))
        if before.fact("sent") and not self.steadily(lambda: self.view.paces(self.run)):
            self.steadily(lambda: self.ledger.pace(self.run, EARLIER, earlier(before).packed, 0))
        first_serial = self.steadily(lambda: self.ledger.serials(self.run))
        with translated():
            self._sender = self._portal.call(self._open, first_serial)
        if self.interrupted:
            self.drain()

    def join(self, epoch: int) -> None:
        """Send under the epoch of the process that holds the lease. Raises StackError, SettingError."""
        assert self._portal is not None
        _tidy_memory()
        self.epoch = epoch
        with translated():
            self._sender = self._portal.call(self._open, self.ledger.serials(self.run))

    def halt(self) -> None:
        """Let the processes that joined take no further chunk, if Redis can be told: its absence stops them as well."""
        try:
            self.ledger_at_once.facts(self.run, halted=self.epoch)
        except redis.RedisError as exc:
            logger.warning("the other processes were not told to end: %s", exc)

    def is_halted(self) -> bool:
        """Whether the process that holds the lease wants no further chunk to be sent."""
        try:
            return View(self.ledger_at_once.client).run(self.run).facts.get("halted") == str(self.epoch)
        except StackError:  # the sender knows how long to wait for Redis
            return False

    async def _open(self, first_serial: int) -> Sender:
        assert self._limit is not None
        client = Client(
            self.definition,
            secrets=secrets_of(self.definition, self.settings.secrets),
            connections=max(8, round(self.terms.in_flight * 1.5)),
        )
        await self._exits.enter_async_context(client)
        sender = Sender(
            run=self.run,
            definition=self.definition,
            epoch=self.epoch,
            first_serial=first_serial,
            ledger=self.ledger_at_once,
            limit=self._limit,
            client=client,
            journal=self._journal,
            give_up_seconds=self.settings.give_up_seconds,
            on_event=self.event,
            on_renewed=self._renewed,
        )
        await sender.start()
        return sender

    def _renewed(self) -> None:
        self._guard_at_once.rise_by_and_by()
        self._note_pace(self.ledger_at_once)

    def _note_pace(self, ledger: Ledger) -> None:
        assert self._sender is not None
        assert self._limit is not None
        if (pace := self._sender.pace).sent:
            sent = Sent.of(pace, self._limit.counters, offset=time.time() - self._limit.clock())
            ledger.pace(self.run, self._owner, sent.packed, pace.peak)

    def event(self, text: str) -> None:
        """Keep an event for people to read; if Redis is away, it is not worth failing for."""
        try:
            threading.Thread(target=self._event, args=(text,), daemon=True).start()
        except RuntimeError as exc:  # no memory for another thread: rows come first
            logger.warning("An event was not kept (%s): %s", exc, text)

    def _event(self, text: str) -> None:
        try:
            self.ledger_at_once.event(self.run, text)
        except redis.RedisError:
            return

    def close(self) -> None:
        """Wait for what is under way, record it, and end the sending loop."""
        if self._portal is not None:
            self._portal.call(self._close)
            self._journal_is_shared()
        self._stack.close()

    def _journal_is_shared(self) -> None:
        try:
            self._journal.share()
        except StorageError as exc:
            self.event(f"{exc.message}; the last outcomes are on the disk of {socket.gethostname()} only")

    def release(self) -> None:
        """Let go of connections and threads, when all is said. One process delivers many runs."""
        self.spool.close()
        self.client.close()
        self.ledger_at_once.client.close()

    async def _close(self) -> None:
        if self._knocking is not None:
            self._knocking.cancel()
        if self._sender is not None:
            await self._sender.close()
        await self._exits.aclose()

    def rounds(self, wanted: Wanted, *, request: str = "") -> Iterator[list[Chunk]]:
        """What is to be sent, round by round: each is to be sent before the next is asked for. See `plan`."""
        yield self.plan(wanted, request=request)
        self.settle()
        if wanted != "unfinished":
            return
        # An earlier deliverer that was cut off may have said meanwhile that some of its rows were never sent.
        for _ in range(ROUNDS_AFTER):
            if self.stopped or self.cancelled or not (late := self.plan("unfinished")):
                break
            yield late
            self.settle()
        if not self.stopped and not self.cancelled:
            yield self.plan_unknown()

    def plan(self, wanted: Wanted, *, request: str = "") -> list[Chunk]:
        """The chunks of what is to be sent now: all that waits, or what a person wishes to be sent again.

        `request` names such a wish, which is granted once a row. Rows that merely wait are not part of it.
        """
        run = self.steadily(lambda: self.view.run(self.run))
        waiting = self.steadily(lambda: self.view.bits(self.run, RowState.WAITING, run.total))
        if wanted in _RESENDS:
            self._ask_again(_RESENDS[wanted], f"{wanted}:{request}", run.total)
            asked = self.steadily(lambda: self.view.asked(self.run, run.total))
            waiting = asked & self.steadily(lambda: self.view.bits(self.run, RowState.WAITING, run.total))
        return self._chunks(waiting, run, resends=False)

    def _ask_again(self, states: tuple[RowState, ...], request: str, total: int) -> None:
        number = self.steadily(lambda: self.ledger.request(self.run, request))
        rows = self.steadily(lambda: self.view.select(self.run, states, total))
        with self.kept():
            for first in range(0, len(rows), SLICE):
                some = rows[first : first + SLICE].tolist()
                self.steadily(lambda some=some: self.ledger.resend(self.run, self.epoch, number, some))  # type: ignore[misc]

    def plan_unknown(self) -> list[Chunk]:
        """The chunks of unknown rows that an idempotent API may be sent again."""
        if not self.definition.idempotent:
            return []
        run = self.steadily(lambda: self.view.run(self.run))
        unknown = self.steadily(lambda: self.view.bits(self.run, RowState.UNKNOWN, run.total))
        return self._chunks(unknown, run, resends=True)

    def _chunks(self, wanted: NDArray[np.uint8], run: Run, *, resends: bool) -> list[Chunk]:
        rejected = self.steadily(lambda: self.view.bits(self.run, RowState.REJECTED, run.total))
        self._plan, self._resends = Plan(wanted, ~rejected, run.total), resends
        return list(self._plan.chunks(chunk_size(len(self._plan), self.terms)))

    def send(self, chunk: Chunk) -> dict[str, int]:
        """Deliver a chunk's rows; returns how many ended in which state (`left`: not sent)."""
        assert self._plan is not None
        return self.send_spans(self._plan.spans(chunk, self._slice), resends=self._resends)

    def portion(self, chunk: Chunk) -> Portion:
        """A chunk of the last plan, as another process can send it."""
        assert self._plan is not None
        return Portion(chunk.name, tuple(self._plan.spans(chunk, self._slice)), self._resends)

    def send_spans(self, wanted: Iterable[tuple[int, int]], *, resends: bool) -> dict[str, int]:
        """Deliver these rows of the spool; returns how many ended in which state (`left`: not sent)."""
        states: Counter[str] = Counter()
        rows: list[Row] = []
        for start, stop in wanted:
            rows += self.spool.read(start, stop)
            if len(rows) >= self._slice:
                states += self._deliver(rows, resends=resends)
                rows = []
        states += self._deliver(rows, resends=resends)
        if self._part:  # whoever ends the run does not wait for this process's end
            self.steadily(lambda: self._note_pace(self.ledger))
        return dict(states)

    def _deliver(self, rows: list[Row], *, resends: bool) -> Counter[str]:
        assert self._portal is not None
        assert self._sender is not None
        deliver = partial(self._sender.deliver, rows, resends=resends)
        return self._portal.start_task_soon(deliver).result()

    def drain(self) -> None:
        """Take no new rows; `send` returns when those under way are recorded."""
        self.interrupted = True
        self._soon(lambda sender: sender.drain(cancelled=True))

    def interrupt(self) -> None:
        """End at once: rows of which anything was written become `unknown`."""
        self.interrupted = True
        self._soon(lambda sender: sender.interrupt())

    def _soon(self, act: Callable[[Sender], None]) -> None:
        if self._loop is not None and self._sender is not None:
            # A signal handler must not wait for the loop, so this only leaves a note for it.
            with suppress(RuntimeError):  # the loop has just ended, and with it all sending
                self._loop.call_soon_threadsafe(act, self._sender)

    @property
    def stopped(self) -> Stopped | None:
        """Why sending ended early, if it did."""
        return self._sender.stopped if self._sender else None

    @property
    def patience_seconds(self) -> float:
        """How long a Redis that does not answer is waited for: where sending has waited so long, not once more."""
        return 0.0 if isinstance(self.stopped, LimitLost) else super().patience_seconds

    @property
    def cancelled(self) -> bool:
        """Whether somebody wished the run to end."""
        return self.interrupted or bool(self._sender and self._sender.cancelled)

    def settle(self) -> None:
        """Wait until the attempts of dead deliverers can no longer be answered, and their rows are `unknown`."""
        while self._sender is not None and not self.stopped and not self.cancelled:
            ours, older, _ = self.steadily(lambda: self.ledger.renew(self.run, self.epoch))
            if not ours or older == 0:
                return
            time.sleep(0.2)

    def end(self, failure: RowrelayError | None = None) -> Run:
        """Write down how the run ended, give it back, and return it as it stands. Raises Superseded."""
        self.failure = failure or self.stopped
        try:
            if self._sender is not None:
                self._summary()
        except RowrelayError:
            raise
        except Exception as exc:  # the figures are not worth a run without an end
            logger.exception("the figures of the run could not be made")
            self.failure = failure = self.failure or Broken.of(exc)
        state, reason = self._last_state(failure)
        if not self.steadily(lambda: self.ledger.end(self.run, self.epoch, state, reason)):
            raise Superseded("Another process has taken over this run.")
        self._remember()
        return self.steadily(lambda: self.view.run(self.run))

    def put_down(self, why: str) -> None:
        """Give the run back as one that was checked only. Raises Superseded."""
        if not self.steadily(lambda: self.ledger.end(self.run, self.epoch, RunState.CHECKING, why)):
            raise Superseded("Another process has taken over this run.")

    def hand_over(self) -> Run | None:
        """Give the run back unfinished, for another process to go on with. None if it is over or not to go on."""
        run = self.steadily(lambda: self.view.run(self.run))
        going_on = run.state is RunState.CHECKING or run.finished_rows < run.total
        if self.stopped is not None or run.cancelling or not going_on:
            return None
        if self._sender is not None:
            self._summary()
        why = "handed over to the next worker"
        if not self.steadily(lambda: self.ledger.end(self.run, self.epoch, run.state, why)):
            return None
        self.handed_over = True
        self._remember()
        return self.steadily(lambda: self.view.run(self.run))

    def _last_state(self, failure: RowrelayError | None) -> tuple[RunState, str]:
        failure = failure or self.stopped
        if isinstance(failure, Interrupted):
            return RunState.CANCELLED, failure.message
        if failure is not None:
            return RunState.STOPPED, str(failure)
        run = self.steadily(lambda: self.view.run(self.run))
        left = run.counts[RowState.WAITING] + run.counts[RowState.SENDING]
        if self.cancelled and (left or not run.total):
            return RunState.CANCELLED, "cancelled before everything was sent"
        if left:
            return RunState.STOPPED, f"{left} rows were not sent; resume the run"
        return RunState.FINISHED, ""

    def _summary(self) -> None:
        """Write down how fast it went, of all that ever sent rows of the run."""
        assert self._sender is not None
        self._sender.pace.settle(float("inf"))
        self.steadily(lambda: self._note_pace(self.ledger))
        sent = [Sent.unpacked(raw) for raw in self.steadily(lambda: self.view.paces(self.run)).values()]
        facts = totals(sent, self.terms)
        self.steadily(lambda: self.ledger.facts(self.run, epoch=self.epoch, **facts))
