"""One delivery of a run by this process: check, plan, send, end. What Prefect maps, without Prefect."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Literal
from uuid import uuid4

import numpy as np
import redis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from numpy.typing import NDArray

from flows.check import CheckResult, check_file
from flows.client import Client
from flows.connection import connect, translated, verify
from flows.definition import Definition
from flows.errors import FileError, RowrelayError, Stopped
from flows.journal import Journal
from flows.ledger import LEASE_SECONDS, Ledger
from flows.ledger_view import Run, View
from flows.limiter import Limiter
from flows.plan import Chunk, chunk_size, chunks, spans
from flows.records import Row, RowState, RunState
from flows.secret import secrets_of
from flows.sender import Sender
from flows.settings import Settings
from flows.spool import Spool

Wanted = Literal["unfinished", "failed", "unknown"]
_RESENDS = {"failed": (RowState.FAILED,), "unknown": (RowState.UNKNOWN,)}


class Delivery:
    """Holds the run's lease from `open` to `close`. Methods are for plain threads; `send` may run in many at once."""

    def __init__(self, run: str, definition: Definition, settings: Settings, redis_url: str) -> None:
        self.run = run
        self.definition = definition
        self.terms = definition.limit.terms(definition)
        self.settings = settings
        self.client = connect(redis_url)
        self.ledger = Ledger(self.client)
        self.view = View(self.client)
        self.spool = Spool(settings.spool_url, run)
        self.epoch = 0
        self.interrupted = False
        self._redis_url = redis_url
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._stack = ExitStack()
        self._exits = AsyncExitStack()
        self._portal: BlockingPortal | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sender: Sender | None = None
        self._rows: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._ordinals: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._resends = False

    # -- the run's life --------------------------------------------------------------------------------------------

    def take(self, *, resume: bool) -> None:
        """Become the run's sole deliverer. Raises RunBusy, RunNotFound, StackError."""
        with translated():
            self.epoch = self.ledger.take(self.run, self._owner, resume=resume)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the lease while something long goes on outside the sender."""
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(LEASE_SECONDS / 5):
                try:
                    self.ledger.renew(self.run, self.epoch)
                except redis.RedisError:
                    continue  # the next write fails loudly if Redis stays away

        keeper = threading.Thread(target=renew, name="lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            ended.set()
            keeper.join()

    def check(self, file: Path, *, encoding: str | None = None, delimiter: str | None = None) -> CheckResult:
        """Check the file into the spool and fix the run's totals. Raises FileError, LedgerError, StackError."""
        with self.kept(), translated():
            self.spool.delete()
            self.ledger.check_afresh(self.run)
            scratch = self.settings.data / "scratch"  # the system's own may be in memory
            scratch.mkdir(parents=True, exist_ok=True)

            def progress(rows: int, done: int, total: int) -> None:
                if self.interrupted:
                    raise Stopped("Interrupted while the file was being checked; nothing was sent.")
                self.ledger.facts(self.run, checked_rows=rows, checked_bytes=done, file_bytes=total)

            result = check_file(
                file,
                self.definition,
                self.spool,
                encoding=encoding,
                delimiter=delimiter,
                max_bytes=self.settings.max_upload_bytes,
                scratch=scratch,
                on_progress=progress,
                on_rejections=lambda rejections: self.ledger.reject(self.run, rejections),
            )
            self.ledger.begin(
                self.run,
                self.epoch,
                total=result.rows,
                rejected=result.rejected,
                digest=result.digest,
                encoding=result.encoding,
                delimiter=result.delimiter,
                spool=self.spool.digest(),
                check_seconds=f"{result.seconds:.3f}",
            )
            self.ledger.same_content(result.digest, self.run)
        return result

    def respool(self, file: Path) -> None:
        """Make the spool anew from the original file. Raises FileError if its content is no longer the same."""
        run = self.view.run(self.run)
        with self.kept():
            result = check_file(
                file,
                self.definition,
                self.spool,
                encoding=run.facts.get("encoding"),
                delimiter=run.facts.get("delimiter"),
                max_bytes=self.settings.max_upload_bytes,
            )
        if (result.digest, result.rows, result.rejected) != (
            run.facts.get("digest"),
            run.total,
            run.counts[RowState.REJECTED],
        ):
            self.spool.delete()
            raise FileError(
                "is not the file that this run began with, and the run's spool is gone",
                file=str(file),
                hint="Put the original file back, or send this one as a run of its own.",
            )

    def knock(self) -> None:
        """Start this process' loop and share of the limit, so that a quarantine passes while the file is checked."""
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._portal.call(self._knock)

    async def _knock(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._limiter = Limiter(
            self._redis_url,
            asker_id=self._owner,
            give_up_seconds=self.settings.give_up_seconds,
            stops_folder=self.settings.data / "journal",
        )
        await self._exits.enter_async_context(self._limiter)
        self._limit = self._limiter.limit(self.terms)
        self._limit.on_event = self.event
        self._knocking = asyncio.create_task(self._first_permit())

    async def _first_permit(self) -> None:
        with suppress(Stopped):  # whoever sends will hear it, too
            for permit in await self._limit.acquire(self.run, 1):
                permit.unused()

    def open(self) -> None:
        """Start sending: from now on `send` may be called."""
        assert self._portal is not None
        with translated():
            self.ledger.open(self.run, self.epoch)
            self._sender = self._portal.call(self._open, self.ledger.serials(self.run))
        if self.interrupted:
            self.drain()

    async def _open(self, first_serial: int) -> Sender:
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
            ledger=self.ledger,
            limit=self._limit,
            client=client,
            journal=Journal(self.settings.data / "journal", self.run),
            give_up_seconds=self.settings.give_up_seconds,
            on_event=self.event,
        )
        await sender.start()
        return sender

    def event(self, text: str) -> None:
        """Keep an event for people to read; if Redis is away, it is not worth failing for."""
        threading.Thread(target=self._event, args=(text,), daemon=True).start()

    def _event(self, text: str) -> None:
        try:
            self.ledger.event(self.run, text)
        except redis.RedisError:
            return

    def close(self) -> None:
        """Wait for what is under way, record it, and end the sending loop."""
        if self._portal is not None:
            self._portal.call(self._close)
        self._stack.close()

    async def _close(self) -> None:
        self._knocking.cancel()
        if self._sender is not None:
            await self._sender.close()
        await self._exits.aclose()

    # -- rows ------------------------------------------------------------------------------------------------------

    def plan(self, wanted: Wanted, *, request: str = "") -> list[Chunk]:
        """The chunks of what is to be sent now. `request` names a wish to resend, which is granted once a row."""
        run = self.view.run(self.run)
        if wanted in _RESENDS:
            number = self.ledger.request(self.run, f"{wanted}:{request}")
            rows = self.view.select(self.run, _RESENDS[wanted], run.total)
            with self.kept():
                self.ledger.resend(self.run, self.epoch, number, rows.tolist())
        return self._plan(self.view.select(self.run, [RowState.WAITING], run.total), run, resends=False)

    def plan_unknown(self) -> list[Chunk]:
        """The chunks of unknown rows that an idempotent API may be sent again."""
        if not self.definition.idempotent:
            return []
        run = self.view.run(self.run)
        return self._plan(self.view.select(self.run, [RowState.UNKNOWN], run.total), run, resends=True)

    def _plan(self, rows: NDArray[np.int64], run: Run, *, resends: bool) -> list[Chunk]:
        rejected = self.view.bitmap(self.run, RowState.REJECTED, run.total)
        ordinal_of = np.cumsum(~rejected) - 1
        self._rows, self._ordinals, self._resends = rows, ordinal_of[rows - 1], resends
        return list(chunks(rows, chunk_size(len(rows), self.terms)))

    def send(self, chunk: Chunk) -> dict[str, int]:
        """Deliver a chunk's rows; returns how many ended in which state (`left`: not sent)."""
        assert self._portal is not None
        assert self._sender is not None
        rows: list[Row] = []
        for start, stop in spans(self._ordinals[chunk.start : chunk.stop]):
            rows += self.spool.read(start, stop)
        future: Future[Counter[str]] = self._portal.start_task_soon(
            partial(self._sender.deliver, rows, resends=self._resends)
        )
        return dict(future.result())

    # -- ending ----------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take no new rows; `send` returns when those under way are recorded."""
        self.interrupted = True
        self._soon(lambda sender: sender.drain(cancelled=True))

    def interrupt(self) -> None:
        """End at once: rows under way become `unknown`."""
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
    def cancelled(self) -> bool:
        """Whether somebody wished the run to end."""
        return self.interrupted or bool(self._sender and self._sender.cancelled)

    def settle(self) -> None:
        """Wait until the attempts of dead deliverers can no longer be answered, and their rows are `unknown`."""
        while self._sender is not None and not self.stopped and not self.cancelled:
            with translated():
                ours, older, _ = self.ledger.renew(self.run, self.epoch)
            if not ours or older == 0:
                return
            time.sleep(0.2)

    def end(self, failure: RowrelayError | None = None) -> Run:
        """Write down how the run ended, give it back, and return it as it stands."""
        if self._sender is not None:
            self._summary()
        state, reason = self._last_state(failure)
        with translated():
            self.ledger.end(self.run, self.epoch, state, reason)
        return self.view.run(self.run)

    def _last_state(self, failure: RowrelayError | None) -> tuple[RunState, str]:
        failure = failure or self.stopped
        if failure is not None:
            return RunState.STOPPED, str(failure)
        if self.cancelled:
            return RunState.CANCELLED, "cancelled before everything was sent"
        counts = self.view.run(self.run).counts
        left = counts[RowState.WAITING] + counts[RowState.SENDING]
        if left:
            return RunState.STOPPED, f"{left} rows were not sent; resume the run"
        return RunState.FINISHED, ""

    def _summary(self) -> None:
        assert self._sender is not None
        facts = {name: value for name, value in asdict(self._sender.pace.summary()).items() if value is not None}
        with translated():
            before = self.view.run(self.run)
            facts["peak"] = max(int(facts["peak"]), int(before.fact("peak")))
            facts["seconds"] = before.fact("seconds") + facts["seconds"]
            facts["sent"] = int(before.fact("sent")) + int(facts["sent"])
            self.ledger.facts(self.run, **{name: round(float(value), 4) for name, value in facts.items()})
            counters = self._limit.counters
            held = {why: round(seconds, 1) for why, seconds in counters.held_seconds.items() if seconds >= 0.1}
            self.ledger.facts(
                self.run,
                held_by=json.dumps(dict(sorted(held.items(), key=lambda item: -item[1]))),
                permits=counters.granted,
                permits_unused=counters.unused,
                limit_visits=counters.visits,
            )


def connected(redis_url: str) -> tuple[Ledger, View]:
    """The ledger of a Redis that was found fit for it. Raises StackError, LedgerError, SettingError."""
    client = connect(redis_url)
    verify(client)
    return Ledger(client), View(client)
