"""Connections that are slow, or cannot be made: what a sender does before it asks the limit. Ledger and limit are real.

Trouble while a connection is set up is no row's: rows wait, people are told, and nothing is spent.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from flows.client.client import Client
from flows.delivery.journal import Journal
from flows.delivery.sender import Sender
from flows.delivery.staleness import TOLD_AFTER, Staleness
from flows.errors import Stopped
from flows.ledger.connection import connect
from flows.ledger.view import View
from flows.limit.limiter import Limiter
from flows.limit.permit import Permit
from flows.records import Row, RowState
from tests.harness import tls
from tests.harness.raw_server import RawServer, answer_always, definition, raw
from tests.harness.rows import RUN, begin
from tests.harness.wait import wait_until

__all__ = ["raw"]
LIMIT = {"name": "connecting", "requests": 20, "window_seconds": 0.5, "in_flight": 20}


@dataclass
class Delivered:
    """What a sender did with its rows."""

    states: Counter[str] = field(default_factory=Counter)
    events: list[str] = field(default_factory=list)
    stopped: Stopped | None = None
    waiting: int = 0


class Resolver(AbstractResolver):
    """Finds addresses as `answer` says, which may raise, and be waited for."""

    def __init__(self, answer: Callable[[int], Awaitable[list[tuple[str, int]]]]) -> None:
        self._answer, self.asked = answer, 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked += 1
        return [
            ResolveResult(hostname=host, host=address, port=number, family=family, proto=0, flags=0)
            for address, number in await self._answer(self.asked)
        ]

    async def close(self) -> None:
        """Nothing to close."""


def deliver(
    redis_url: str,
    folder: Path,
    url: str,
    *,
    rows: int = 5,
    run: str = RUN,
    resolver: AbstractResolver | None = None,
    told: Callable[[str], None] = lambda text: None,
    until: Callable[[], object] | None = None,
    secrets: Mapping[str, str] | None = None,
    **changes: Any,
) -> Delivered:
    """Deliver rows to `url`; to the end, or `until` something is so."""
    made = definition(url, **{"limit": LIMIT, **changes})
    found = Delivered()

    def event(text: str) -> None:
        found.events.append(text)
        told(text)

    async def main() -> None:
        ledger, _, epoch = begin(connect(redis_url), total=rows, run=run)
        terms = made.terms
        client = Client(
            made, secrets=secrets or {}, connections=max(8, round(terms.in_flight * 1.5)), resolver=resolver
        )
        async with Limiter(redis_url) as limiter, client:
            sender = Sender(
                run=run,
                definition=made,
                epoch=epoch,
                first_serial=1,
                ledger=ledger,
                limit=limiter.limit(terms),
                client=client,
                journal=Journal(folder / "journal", run),
                give_up_seconds=30.0,
                on_event=event,
            )
            await sender.start()
            whole = asyncio.create_task(
                sender.deliver([Row(n, n + 1, {"title": f"row {n}"}) for n in range(1, rows + 1)])
            )
            if until is not None:
                await asyncio.to_thread(wait_until, until, seconds=40, what="what the test waits for")
                sender.drain(cancelled=True)
            found.states = await asyncio.wait_for(whole, 120)
            await sender.close()
        found.stopped, found.waiting = sender.stopped, View(connect(redis_url)).run(run).counts[RowState.WAITING]

    asyncio.run(main())
    return found


@contextmanager
def handshakes(context: ssl.SSLContext, *, hold: Callable[[int], object]) -> Iterator[RawServer]:
    """A TLS server that begins its handshake with the n-th connection after `hold(n)` returns."""

    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        hold(number)
        answer_always(server, context.wrap_socket(sock, server_side=True), number)

    server = RawServer(serve)
    try:
        yield server
    finally:
        server.close()


def https(server: RawServer, host: str = "127.0.0.1") -> str:
    return server.url.replace("http:", "https:").replace("127.0.0.1", host)


@pytest.mark.parametrize("late", [None, 0.3], ids=["", "late_seconds"])
def test_a_handshake_longer_than_a_permit_stays_fresh_costs_no_permit(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: float | None
) -> None:
    authority, pause = tls.authority(tmp_path), threading.Event()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.roots))
    limit = {**LIMIT, **({"late_seconds": late} if late else {})}
    with handshakes(authority.server(), hold=lambda number: pause.wait(0.7)) as server:
        found = deliver(redis_url, tmp_path, https(server), rows=40, limit=limit, request={"timeout_seconds": 5})

    assert found.states == Counter(done=40)
    if late is None:  # else a permit lives for 0.05 s, which a machine with much else to do may be late for
        assert not any("too old" in event for event in found.events)
    assert len(server.heads) == 40
    assert server.connections <= LIMIT["in_flight"] * 1.5


def test_connections_are_kept_while_their_number_is_enough(redis_url: str, tmp_path: Path, raw: Any) -> None:
    server = raw(answer_always)

    found = deliver(redis_url, tmp_path, server.url, rows=100)

    assert found.states == Counter(done=100)
    assert (
        server.connections <= LIMIT["in_flight"] + 1
    )  # the first may have grown too old before the limit let anybody send


def test_those_who_share_a_limit_share_the_connections_it_can_use(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handshakes take so long that each of three senders would have as many ready as the limit lets fly."""
    authority = tls.authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.roots))
    limit = {**LIMIT, "requests": 24, "window_seconds": 1, "in_flight": 12}
    with (
        handshakes(authority.server(), hold=lambda number: threading.Event().wait(1.5)) as server,
        ThreadPoolExecutor(3) as beside,
    ):
        senders = [
            beside.submit(
                deliver,
                redis_url,
                tmp_path,
                https(server),
                rows=30,
                run=run,
                limit=limit,
                request={"timeout_seconds": 5},
            )
            for run in ("one", "two", "three")
        ]
        assert [each.result().states for each in senders] == [Counter(done=30)] * 3
    # Who asks first is alone for that moment, then they are two, then three. One each had grown old before that.
    assert server.connections <= 12 + 6 + 4 + 3


def test_no_connection_is_made_anew_while_a_run_waits_for_the_limit(redis_url: str, tmp_path: Path, raw: Any) -> None:
    """A new limit lets nobody send before one of its windows has passed."""
    server = raw(answer_always)
    quota = {"name": "connecting-quota", "requests": 2, "window_seconds": 600}

    deliver(redis_url, tmp_path, server.url, limit=quota, until=lambda: server.ends)

    assert (server.connections, server.heads) == (1, [])


def refused() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}/posts"


def test_an_api_that_takes_no_connection_stops_the_run_and_nothing_is_spent(redis_url: str, tmp_path: Path) -> None:
    found = deliver(redis_url, tmp_path, refused(), stop_after=3, retry={"attempts": 1})

    assert found.states == Counter(left=5)
    assert found.waiting == 5
    assert found.stopped is not None
    assert found.stopped.message.startswith("The API could not be reached 3 times in a row: 127.0.0.1:")
    assert "could not be reached (Connection refused)" in found.stopped.message
    assert len(found.events) == 2, "once that it is tried again, and once that the run stops"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("name", "certificate is not valid for 'localhost'"),
        ("expired", "certificate has expired"),
        ("nobody knows it", "unable to get local issuer certificate"),
        ("no TLS", "does not speak TLS; should the address begin with http://?"),
    ],
)
def test_what_waiting_cannot_mend_stops_the_run_at_its_first_row(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: Any, wrong: str, words: str
) -> None:
    authority = tls.authority(tmp_path)
    trusted = tls.authority(tmp_path) if wrong == "nobody knows it" else authority
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.roots))
    context = authority.server(*(["elsewhere.test"] if wrong == "name" else []), expired=wrong == "expired")

    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        if wrong == "no TLS":
            sock.recv(100)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        else:
            context.wrap_socket(sock, server_side=True)

    server = raw(serve)
    found = deliver(redis_url, tmp_path, https(server, "localhost"))

    assert found.waiting == 5
    assert found.stopped is not None
    assert found.stopped.message.startswith("The API cannot be reached: ")
    assert words in found.stopped.message
    assert server.heads == []


def test_a_name_that_does_not_exist_stops_the_run_at_its_first_row(redis_url: str, tmp_path: Path) -> None:
    async def nobody(time: int) -> list[tuple[str, int]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    resolver = Resolver(nobody)
    found = deliver(redis_url, tmp_path, "http://api.test/posts", resolver=resolver)

    assert found.waiting == 5
    assert found.stopped is not None
    assert "there is no host with the name api.test (Name or service not known)" in found.stopped.message
    assert resolver.asked == 1


def test_a_resolver_that_fails_for_a_while_is_asked_again(redis_url: str, tmp_path: Path, raw: Any) -> None:
    server = raw(answer_always)

    async def at_last(time: int) -> list[tuple[str, int]]:
        if time < 3:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [("127.0.0.1", int(server.url.split(":")[2].split("/")[0]))]

    found = deliver(redis_url, tmp_path, "http://api.test/posts", resolver=Resolver(at_last))

    assert found.states == Counter(done=5)
    assert found.events == [
        "The API cannot be reached, it is tried again and again: the name api.test could not be resolved (Temporary"
        " failure in name resolution)",
        "There is a connection to api.test:80; sending goes on",
    ]


def test_a_resolver_that_is_slow_is_told_and_costs_nothing(redis_url: str, tmp_path: Path, raw: Any) -> None:
    """It answers when people have been told that the run waits for it."""
    server, told = raw(answer_always), threading.Event()

    async def slow(time: int) -> list[tuple[str, int]]:
        await asyncio.to_thread(told.wait, 30)
        return [("127.0.0.1", int(server.url.split(":")[2].split("/")[0]))]

    found = deliver(
        redis_url,
        tmp_path,
        "http://api.test/posts",
        resolver=Resolver(slow),
        told=lambda text: told.set(),
        request={"timeout_seconds": 8},
    )

    assert found.states == Counter(done=5)
    assert found.events[0] == (
        "Nothing is sent while there is no connection to the API: the name api.test has not been resolved yet"
    )
    assert len(server.heads) == 5


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("name", "the name api.test was not resolved within 0.3 s"),
        ("connect", "api.test:80 did not take the connection within 0.3 s"),
        ("tls", "api.test:443 took the connection, but the TLS handshake was not over within 0.3 s"),
    ],
)
def test_the_step_that_takes_too_long_is_told(redis_url: str, tmp_path: Path, raw: Any, step: str, words: str) -> None:
    over = threading.Event()
    silent = raw(lambda server, sock, number: over.wait(60))

    async def answer(time: int) -> list[tuple[str, int]]:
        if step == "name":
            await asyncio.sleep(60)
        return [("127.0.0.1", full if step == "connect" else int(silent.url.split(":")[2].split("/")[0]))]

    with deaf(socket.AF_INET) as full:
        found = deliver(
            redis_url,
            tmp_path,
            f"{'https' if step == 'tls' else 'http'}://api.test/posts",
            resolver=Resolver(answer),
            stop_after=2,
            request={"timeout_seconds": 0.3},
        )
    over.set()

    assert found.waiting == 5
    assert found.stopped is not None
    assert found.stopped.message == f"The API could not be reached 2 times in a row: {words}."
    assert found.events[0] == f"The API cannot be reached, it is tried again and again: {words}"


@contextmanager
def deaf(family: socket.AddressFamily) -> Iterator[int]:
    """A port that takes no connection and refuses none: its queue is full, and nobody empties it."""
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen(0)
        fillers = [socket.socket(family) for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


@pytest.mark.parametrize("how", ["refuses", "is silent"])
def test_a_dead_address_of_ipv6_costs_nothing_where_ipv4_lives(
    redis_url: str, tmp_path: Path, raw: Any, how: str
) -> None:
    server = raw(answer_always)
    live = int(server.url.split(":")[2].split("/")[0])
    with deaf(socket.AF_INET6) as silent:
        dead = silent if how == "is silent" else 9

        async def both(time: int) -> list[tuple[str, int]]:
            return [("::1", dead), ("127.0.0.1", live)]

        found = deliver(redis_url, tmp_path, "http://api.test/posts", resolver=Resolver(both))

    assert found.states == Counter(done=5)
    assert not any("cannot be reached" in event for event in found.events)


def test_an_api_that_goes_away_and_comes_back_is_waited_for(redis_url: str, tmp_path: Path) -> None:
    """It answers one request, is gone until people have been told so, and comes back on the same port."""
    first = socket.create_server(("127.0.0.1", 0))
    port, back = first.getsockname()[1], threading.Event()
    servers: list[RawServer] = []

    def once() -> None:
        while True:
            sock, _ = first.accept()
            with sock, suppress(ConnectionResetError):  # one that was ready, but too old when it could be used
                if sock.recv(65536):
                    first.close()
                    sock.sendall(b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                    break
        back.wait(30)
        servers.append(RawServer(answer_always, port=port))

    thread = threading.Thread(target=once, daemon=True)
    thread.start()

    def told(text: str) -> None:
        if "cannot be reached" in text:
            back.set()

    found = deliver(
        redis_url, tmp_path, f"http://127.0.0.1:{port}/posts", told=told, limit={**LIMIT, "in_flight": 1}, response={}
    )
    thread.join(30)
    servers[0].close()

    assert found.states == Counter(done=5)
    assert len(servers[0].heads) == 4
    assert f"There is a connection to 127.0.0.1:{port}; sending goes on" in found.events


class Issuer:
    """Grants permits by a clock that is set by hand."""

    fresh_seconds, generation, void_because = 0.5, 0, ""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def report(self, kind: str, permit: Permit) -> None:
        """Nobody listens."""

    def stale(self) -> Permit:
        """A permit that is a second old when it is checked."""
        permit = Permit(self, "p", start=self.now, granted=self.now, deadline=self.now + 9)
        self.now += 1.0
        with pytest.raises(Exception, match=r"1\.000 s old"):
            permit.check()
        return permit


def test_permits_that_go_stale_again_and_again_are_told_once_a_spell() -> None:
    issuer, events = Issuer(), list[str]()
    staleness = Staleness(clock=issuer.clock, on_event=events.append)

    for _ in range(TOLD_AFTER - 1):
        staleness.note(issuer.stale(), wrote=False)
    assert events == []
    for _ in range(20):
        staleness.note(issuer.stale(), wrote=False)
    assert len(events) == 1
    assert "5 times in a row a permit of the limit was too old" in events[0]
    assert "by 0.50 s" in events[0]


def test_permits_of_one_moment_that_went_stale_together_count_once_and_a_write_ends_the_spell() -> None:
    issuer, events = Issuer(), list[str]()
    staleness = Staleness(clock=issuer.clock, on_event=events.append)

    together = [Permit(issuer, str(n), start=0.0, granted=0.0, deadline=9.0) for n in range(50)]
    issuer.now = 2.0
    for permit in together:
        with pytest.raises(Exception, match="old"):
            permit.check()
        staleness.note(permit, wrote=False)
    for _ in range(10):
        for _ in range(TOLD_AFTER - 1):
            staleness.note(issuer.stale(), wrote=False)
        staleness.note(Permit(issuer, "w", start=issuer.now, granted=issuer.now, deadline=99.0), wrote=True)

    assert events == []
