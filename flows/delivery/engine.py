"""One event loop in a thread of its own, with what sends on it: this process' share of the limit, client and sender."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from functools import cache, partial
from typing import Any

import httpx
import pyarrow as pa
from anyio.from_thread import BlockingPortal, start_blocking_portal

from flows.client.client import Client
from flows.credentials.access import Access
from flows.credentials.wire import certified
from flows.delivery.demand import Demand
from flows.delivery.sender import Sender
from flows.errors import Stopped
from flows.ledger.connection import connect
from flows.limit.limiter import Limit, Limiter
from flows.pipeline.definition import Definition
from flows.pipeline.secret import secrets_of
from flows.pipeline.secret_hosts import SecretHosts
from flows.records import Reply, Row
from flows.settings import Settings

Make = Callable[[Limit, Client], Sender]


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


class Engine:
    """Sends one run's rows in this process. Methods are for plain threads, and `deliver` for many at once."""

    def __init__(self, redis_url: str, definition: Definition, settings: Settings) -> None:
        self.sender: Sender | None = None
        self.client: Client | None = None
        self.limit: Limit | None = None
        self._redis_url, self._definition, self._settings = redis_url, definition, settings
        self._stack, self._exits = ExitStack(), AsyncExitStack()
        self._portal: BlockingPortal | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._first: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a loop."""
        return self._portal is not None

    def connect(self, *, owner: str, on_event: Callable[[str], None]) -> None:
        """Start the loop and ask for a first permit, so that a quarantine passes while the file is checked."""
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._portal.call(partial(self._connect, owner=owner, on_event=on_event))

    async def _connect(self, *, owner: str, on_event: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        limiter = Limiter(
            self._redis_url,
            asker_id=owner,
            give_up_seconds=self._settings.give_up_seconds,
            stops_folder=self._settings.data / "journal",
        )
        await self._exits.enter_async_context(limiter)
        self.limit = limiter.limit(*self._definition.limit_terms, together=self._definition.terms)
        self.limit.on_event = on_event
        self._first = asyncio.create_task(self._first_permit(self.limit))

    async def _first_permit(self, limit: Limit) -> None:
        with suppress(Stopped):  # whoever sends will hear it, too
            for permit in await limit.acquire(1):
                permit.unused()

    def open(self, definition: Definition, make: Make, *, run: str = "") -> None:
        """Start sending by the sender that `make` makes. Raises SettingError, StackError, LedgerError."""
        hosts = SecretHosts.of(self._settings)
        hosts.refuse(definition)
        _tidy_memory()
        self.run(self._open, definition, make, hosts, run)

    async def _open(self, definition: Definition, make: Make, hosts: SecretHosts, run: str) -> None:
        assert self.limit is not None
        secrets, folder = secrets_of(definition, self._settings.secrets), self._settings.secrets
        client = Client(
            definition,
            secrets=secrets,
            connections=max(8, round(self.limit.terms.in_flight * 1.5)),
            hosts=hosts,
            certified=certified(definition.auth, secrets, folder),
        )
        await self._exits.enter_async_context(client)
        self.client = client
        if definition.auth is not None:
            redis_client = connect(self._redis_url)
            self._exits.callback(redis_client.close)
            client.credentials = access = Access(
                definition,
                definition.auth,
                secrets,
                self._settings,
                redis_url=self._redis_url,
                redis_client=redis_client,
                client=client,
                limit=self.limit,
                event=self.limit.on_event,
                places=Demand.of(definition).places([]),
                run=run,
            )
            self._exits.push_async_callback(access.aclose)
        sender = make(self.limit, client)
        await sender.start()
        self.sender = sender

    def run(self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        """Run a coroutine function on the loop; returns what it returns."""
        if self._portal is None:
            raise RuntimeError("the engine is not connected")
        return self._portal.start_task_soon(function, *args).result()

    def deliver(
        self, rows: Sequence[Row], *, parcels: Sequence[Sequence[Row]] = (), resends: bool = False
    ) -> Counter[str]:
        """Deliver rows, and parcels as they are; returns how many ended in which state."""
        if self.sender is None:
            raise RuntimeError("the engine is not open")
        found: Counter[str] = self.run(partial(self.sender.deliver, rows, parcels=parcels, resends=resends))
        return found

    def ask(self, questions: Sequence[tuple[httpx.Request, Row | None]]) -> list[Reply | None]:
        """Ask the API what changes nothing, each about a row or not; None where no answer says anything."""
        if self.sender is None:
            raise RuntimeError("the engine is not open")
        found: list[Reply | None] = self.run(self.sender.ask, questions)
        return found

    @property
    def is_ending(self) -> bool:
        """Whether nothing more is sent."""
        return self.sender is not None and self.sender.is_ending

    def soon(self, act: Callable[[Sender], None]) -> None:
        """Do something to the sender on the loop, where there is one. Does not wait: a signal handler must not."""
        if self._loop is not None and self.sender is not None:
            with suppress(RuntimeError):  # the loop has just ended, and with it all sending
                self._loop.call_soon_threadsafe(act, self.sender)

    def close(self) -> None:
        """Wait for what is under way, record it, and end the loop."""
        if self._portal is not None:
            self._portal.call(self._close)
        self._stack.close()

    async def _close(self) -> None:
        if self._first is not None:
            self._first.cancel()
        if self.sender is not None:
            await self.sender.close()
        await self._exits.aclose()
