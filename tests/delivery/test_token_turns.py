"""Token requests that take long: one process asks for all, and what counts is counted when it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from flows.credentials.errand import START_SECONDS
from flows.credentials.grant import Token
from flows.credentials.store import PREFIX, Store, digest_of, forget
from flows.credentials.tokens import PATIENCE_SECONDS, Tokens
from flows.credentials.vault import Vault
from flows.ledger.connection import connect
from flows.limit.clock import boot_time
from flows.limit.limiter import Limit, Limiter, Permit
from flows.pipeline.auth import OAuth2
from flows.records import LimitTerms, RowState
from tests.harness.limits import long_known
from tests.harness.oauth import CLIENT, SECRET, OAuth
from tests.harness.receiver import worst
from tests.harness.token_runs import definition, deliver, file_of, oauth2
from tests.harness.wait import until

KEY = b"one key for all who renew it 123"


class Renewing:
    """Processes that use one token, each of them as one object; some pay for their requests."""

    def __init__(self, redis_url: str, folder: Path, server: OAuth, limit: Limit, grant: str) -> None:
        self._redis_url, self._folder, self._server, self.limit, self._grant = redis_url, folder, server, limit, grant
        self._first = server.allow()
        self.later = 0.0  # so much later than it is by the clock of those who renew
        self.opened = asyncio.Event()  # until then nobody gets a permit
        self.waiting = 0
        self.voided = 0  # so many permits are void when they come

    async def permit(self) -> Permit:
        """A permit, as soon as there are any."""
        self.waiting += 1
        await self.opened.wait()
        (permit,) = await self.limit.acquire(1)
        if self.waiting <= self.voided:
            self.limit.void("there was a pause")
        return permit

    def tokens(self, *, counts: bool = True, **more: Any) -> Tokens:
        """What one process has."""
        stated: dict[str, Any] = {
            "grant": self._grant, "token_url": self._server.url + "/token", "client_id": CLIENT,
            "client_secret": "${secret:CS}", "counts": counts, "name": "t", **more,
        }  # fmt: skip
        if self._grant == "refresh_token":
            stated["refresh_token"] = "${secret:R}"
        acquire: Callable[[], Awaitable[Permit]] | None = self.permit if counts else None
        return Tokens(
            OAuth2(**stated),
            {"CS": SECRET, "R": self._first},
            Vault(KEY, self._folder),
            self._redis_url,
            connect(self._redis_url),
            pipeline="p",
            acquire=acquire,
            clock=lambda: boot_time() + self.later,
        )


@asynccontextmanager
async def renewing(redis_url: str, folder: Path, server: OAuth, grant: str) -> AsyncIterator[Renewing]:
    long_known(connect(redis_url), "t")
    async with Limiter(redis_url) as limiter:
        yield Renewing(redis_url, folder, server, limiter.limit(LimitTerms("t", ((20, 0.2),), 20, 15.0, 0.2)), grant)


GRANTS = pytest.mark.parametrize("grant", ["client_credentials", "refresh_token"])


@GRANTS
def test_who_waits_for_a_permit_keeps_nobody_from_renewing(redis_url: str, tmp_path: Path, grant: str) -> None:
    """The limit of one is paused, and the request of the other does not count."""

    async def main() -> None:
        async with renewing(redis_url, tmp_path, server, grant) as all_of_them:
            waits, goes = all_of_them.tokens(), all_of_them.tokens(counts=False)
            waiting = asyncio.create_task(waits.ready())
            await until(lambda: all_of_them.waiting, "one waits for a permit", START_SECONDS)
            async with asyncio.timeout(0.8 * START_SECONDS):  # by then a lock that is not renewed would lapse
                await goes.ready()
            all_of_them.opened.set()
            await waiting
            assert waits.access == goes.access != ""
            assert all_of_them.limit.counters.unused == 1

    with OAuth() as server:
        asyncio.run(main())
        assert len(server.asked) == 1
        assert not any(allowed.revoked for allowed in server.grants)


@GRANTS
def test_of_many_who_wait_for_a_permit_one_asks(redis_url: str, tmp_path: Path, grant: str) -> None:
    async def main() -> None:
        async with renewing(redis_url, tmp_path, server, grant) as all_of_them:
            many = [all_of_them.tokens() for _ in range(3)]
            waiting = [asyncio.create_task(each.ready()) for each in many]
            await until(lambda: all_of_them.waiting == 3, "all wait for a permit", 3 * START_SECONDS)
            all_of_them.later = 2 * PATIENCE_SECONDS  # the limit was paused for longer than a token server is asked
            all_of_them.opened.set()
            await asyncio.gather(*waiting)
            assert len({each.access for each in many}) == 1

    with OAuth(says=[(503, {})]) as server:
        asyncio.run(main())
        assert len(server.asked) == 2
        assert not any(allowed.revoked for allowed in server.grants)


def test_a_permit_that_is_void_lets_no_token_request_go(redis_url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with renewing(redis_url, tmp_path, server, "client_credentials") as all_of_them:
            all_of_them.voided = 2
            all_of_them.opened.set()
            await all_of_them.tokens().ready()
            assert all_of_them.waiting == 3

    with OAuth() as server:
        asyncio.run(main())
        assert len(server.asked) == 1


def test_only_the_latest_token_is_replaced_and_by_whoever_has_the_lock(redis_url: str, tmp_path: Path) -> None:
    client, vault = connect(redis_url), Vault(KEY, tmp_path)
    ours, theirs = (Store(client, vault, "t", owner=owner) for owner in ("a", "b"))
    assert ours.take(5.0)[0]
    theirs.free()
    assert not theirs.take(5.0)[0]
    assert not theirs.intend(0, 5.0)
    assert ours.intend(0, 5.0)
    assert ours.put(0, Token("first"), why="start", first="f")
    first = ours.look()

    assert not theirs.intend(0, 5.0)
    assert not theirs.put(0, Token("late"), why="start", first="f")
    assert theirs.look().access == "first"
    assert theirs.take(5.0)[0]
    assert theirs.put(first.generation, Token("second"), why="expiry", first="f")
    assert forget(client, "t")
    assert ours.put(0, Token("third"), why="start", first="f")
    assert ours.look().generation >= first.generation > 1_000_000_000  # it rises even where all was forgotten


def test_whoever_asks_a_slow_token_server_holds_the_lock_until_it_has_answered(redis_url: str, tmp_path: Path) -> None:
    """Or else the next one asks too, at the latest when the lock lapses that it took to begin."""
    client = connect(redis_url)

    async def main() -> None:
        async with renewing(redis_url, tmp_path, server, "client_credentials") as all_of_them:
            asks = asyncio.create_task(all_of_them.tokens(counts=False, timeout_seconds=60).ready())
            await until(lambda: server.asked, "it asks")
            left: Any = client.pttl(f"{PREFIX}{{{digest_of('t')}}}:lock")
            assert left > 60_000
            await asks

    with OAuth(hold_seconds=0.5) as server:
        asyncio.run(main())


@pytest.mark.slow
@GRANTS
def test_a_token_server_that_needs_long_is_asked_once(redis_url: str, tmp_path: Path, grant: str) -> None:
    async def main() -> None:
        async with renewing(redis_url, tmp_path, server, grant) as all_of_them:
            many = [all_of_them.tokens(counts=False, timeout_seconds=60) for _ in range(3)]
            await asyncio.gather(*(each.ready() for each in many))
            assert len({each.access for each in many}) == 1

    with OAuth(hold_seconds=START_SECONDS + 3) as server:
        asyncio.run(main())
        assert len(server.asked) == 1


def test_a_token_request_that_counts_may_arrive_late(redis_url: str, tmp_path: Path) -> None:
    """Later than a row's request ever may. Rows go on meanwhile, with the token that there is."""
    with OAuth(lifetime=10.0, queue_seconds=1.2) as server:
        auth = oauth2(server, counts=True, timeout_seconds=5)
        limit, request = {"requests": 3, "in_flight": 3}, {"timeout_seconds": 0.4}
        path = definition(tmp_path, server.url + "/rows", auth, limit=limit, request=request)
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 36))

    assert (stopped, ended.counts[RowState.DONE]) == ("", 36)
    assert len(server.moments) >= 2
    assert worst([*server.moments, *server.arrived], 1.0) <= 3
