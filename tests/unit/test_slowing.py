"""What headers of good answers say of the pace: read in every form, never from what is absurd, and only downwards."""

from __future__ import annotations

import asyncio
import math
from email.utils import formatdate
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flows.client.client import Client
from flows.client.pause import retry_after
from flows.client.slowing import MOST_REQUESTS, MOST_SECONDS, Budget, budget_of
from flows.delivery.context import Context
from flows.delivery.journal import Journal
from flows.delivery.sender import Sender
from flows.delivery.slowing import Slowing
from flows.ledger.connection import connect
from flows.limit.limiter import Limit, Limiter
from flows.pipeline.reading import from_resolved
from flows.pipeline.slow_by import SlowBy
from flows.records import LimitTerms, Reply, Row, RowState
from tests.harness.raw_server import definition
from tests.harness.rows import RUN, begin

NOW = 1_800_000_000.0
OWN = SlowBy(remaining="X-Calls-Left", reset="X-Calls-Reset")
STANDARD = SlowBy()


def said(headers: dict[str, str], names: SlowBy = STANDARD) -> Budget | None:
    return budget_of(httpx.Headers(headers), names, now=NOW)


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("30", 30),
        (" 30.5 ", 30.5),
        (f"{NOW + 40:.0f}", 40),
        (f"{(NOW + 40) * 1000:.0f}", 40),
        (f"{(NOW + 40) * 1e6:.0f}", 40),
        (formatdate(NOW + 50, usegmt=True), 50),
        ("2027-01-15T08:01:00Z", 60),
        ("30s", 30),
        ("6m0s", 360),
        ("1m30s", 90),
        ("1500 ms", 1.5),
        ("3600", 3600),
    ],
)
def test_a_reset_is_read_in_each_form(reset: str, seconds: float) -> None:
    found = said({"X-Calls-Left": "12", "x-calls-reset": reset}, OWN)

    assert found is not None
    assert (found.remaining, found.seconds) == (12, pytest.approx(seconds))


@pytest.mark.parametrize(
    ("name", "reset", "seconds"),
    [
        ("X-Reset-Ms", "4500", 4.5),
        ("X-HubSpot-RateLimit-Interval-Milliseconds", "10000", 10),
        ("X-Reset-Ms", f"{(NOW + 40) * 1000:.0f}", 40),
        ("X-Terms", "45", 45),
    ],
)
def test_the_name_says_that_it_is_in_milliseconds(name: str, reset: str, seconds: float) -> None:
    found = said({"Left": "3", name: reset}, SlowBy(remaining="Left", reset=name))

    assert found == Budget(3, pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "budget"),
    [
        ({"RateLimit-Remaining": "5", "RateLimit-Reset": "10"}, Budget(5, 10)),
        ({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": f"{NOW + 20:.0f}"}, Budget(5, 20)),
        ({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "9999", "X-RateLimit-Reset-After": "2.5"}, Budget(5, 2.5)),
        ({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset-Ms": "2500"}, Budget(5, 2.5)),
        ({"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "9"}, Budget(0, 9)),
        ({"RateLimit": '"default";r=50;t=30'}, Budget(50, 30)),
        ({"RateLimit": '"burst";r=50;t=30, "hour";r=20;t=3000'}, Budget(20, 3000)),
        ({"RateLimit": '"a";r=0;t=30, "b";r=0;t=40'}, Budget(0, 40)),
        ({"RateLimit": '"default";r=50', "RateLimit-Policy": '"default";q=100;w=60'}, Budget(50, 60)),
        ({"RateLimit": "default;r=50;t=30;pk=:abc:"}, Budget(50, 30)),
        ({"RateLimit": "limit=100, remaining=50, reset=30"}, Budget(50, 30)),
        ({"RateLimit": '"default";r=50', "RateLimit-Policy": '"other";q=100;w=60'}, None),
        ({"RateLimit": '"default";r=50;t=30', "X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "30"}, Budget(5, 30)),
        ({"RateLimit-Policy": '"default";q=100;w=60'}, None),
        ({"X-Calls-Left": "1", "X-Calls-Reset": "30"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_common_headers_are_read(headers: dict[str, str], budget: Budget | None) -> None:
    assert said(headers) == budget


@pytest.mark.parametrize("remaining", ["-1", "nan", "inf", "1e12", "", "many", "10, 5000", "5;w=1", "0x10", "9" * 2000])
def test_an_absurd_number_of_requests_says_nothing(remaining: str) -> None:
    assert said({"X-Calls-Left": remaining, "X-Calls-Reset": "30"}, OWN) is None


@pytest.mark.parametrize(
    "reset",
    ["0", "1", "-5", "nan", "inf", "-inf", "3601", "86400", "315360000", f"{NOW - 10:.0f}", f"{NOW + 315_360_000:.0f}",
     "1e308", "10, 60", "soon", "", "99999999999999999999", "2037-01-01", "1m1m1m" * 200],
)  # fmt: skip
def test_an_absurd_reset_says_nothing(reset: str) -> None:
    assert said({"X-Calls-Left": "3", "X-Calls-Reset": reset}, OWN) is None


RUBBISH = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60) | st.sampled_from(
    [
        "-1",
        "NaN",
        "1e999",
        "0",
        "1",
        "60",
        "4102444800",
        "1,2",
        '"a";r=1;t=2',
        "limit=1, remaining=-2, reset=3",
        "5m",
        "_",
    ]
)
HEADERS = [
    "RateLimit", "RateLimit-Policy", "RateLimit-Remaining", "RateLimit-Reset", "X-RateLimit-Remaining", "Date",
    "X-RateLimit-Reset", "X-RateLimit-Reset-Ms", "X-RateLimit-Reset-After", "X-Calls-Left", "X-Calls-Reset",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(HEADERS), RUBBISH), st.sampled_from([OWN, STANDARD]))
@example({"X-Calls-Left": "1e9", "X-Calls-Reset": "1.0000001"}, OWN)
def test_whatever_headers_hold_is_a_sane_budget_or_none(headers: dict[str, str], names: SlowBy) -> None:
    found = budget_of(httpx.Headers({name: value.encode("latin-1") for name, value in headers.items()}), names, now=NOW)

    if found is not None:
        assert isinstance(found.remaining, int)
        assert 0 <= found.remaining <= MOST_REQUESTS
        assert 1 < found.seconds <= MOST_SECONDS
        assert math.isfinite(found.rate)


@given(st.integers(0, MOST_REQUESTS), st.integers(2, 3600), st.sampled_from(["in", "epoch", "ms", "date"]))
def test_what_is_meant_is_read(remaining: int, seconds: int, form: str) -> None:
    at = NOW + seconds
    reset = {"in": f"{seconds}", "epoch": f"{at:.0f}", "ms": f"{at * 1000:.0f}", "date": formatdate(at, usegmt=True)}

    assert said({"X-Calls-Left": f"{remaining}", "X-Calls-Reset": reset[form]}, OWN) == Budget(remaining, seconds)


def test_a_moment_is_read_by_the_clock_that_wrote_it() -> None:
    """Ours may be wrong by an hour."""
    headers = {"X-Calls-Left": "3", "X-Calls-Reset": f"{NOW + 3630:.0f}", "Date": formatdate(NOW + 3600, usegmt=True)}

    assert said(headers, OWN) == Budget(3, pytest.approx(30))


def test_a_pause_may_be_written_in_several_units() -> None:
    assert retry_after({"retry-after": "1m30s"}) == 90
    assert retry_after({"retry-after": "500 ms"}) == 0.5
    assert retry_after({"retry-after": "2 mins"}) == 120
    assert retry_after({"retry-after": "2 minnows"}) is None


# -- passing it on -----------------------------------------------------------------------------------------------------


class FakeLimit:
    """A limit that follows budgets as the real one is to: never faster than what stands."""

    def __init__(self, *windows: tuple[int, float]) -> None:
        self.terms = LimitTerms("api", windows, 10, 2.0, 2.0, None)
        self.now, self.asked = 100.0, cast(list[tuple[int, float]], [])

    def clock(self) -> float:
        """By hand."""
        return self.now

    async def slow(self, remaining: int, seconds: float) -> None:
        """As Limit.slow."""
        self.asked.append((remaining, seconds))


def slowing(limit: FakeLimit, slow_by: Any = "standard") -> tuple[Slowing, list[str]]:
    events: list[str] = []
    made = definition("https://api.test/", **({"slow_by": slow_by} if slow_by else {}))
    context = Context(
        run="r", epoch=1, definition=made, ledger=None, limit=limit, give_up_seconds=1.0,  # type: ignore[arg-type]
        clock=limit.clock, event=events.append, on_end=lambda: None,
    )  # fmt: skip
    return Slowing(context, limit), events


def answer(remaining: float, seconds: float, *, status: int = 200, **how: Any) -> Reply:
    headers = httpx.Headers({"RateLimit-Remaining": f"{remaining}", "RateLimit-Reset": f"{seconds}"})
    return Reply(RowState.DONE, status=status, headers=headers, **how)


def test_only_what_slows_the_pace_is_passed_on_and_people_are_told_once() -> None:
    limit = FakeLimit((7, 1.0))
    slow, events = slowing(limit)

    async def main() -> None:
        await slow.heed(answer(100, 10))  # faster than the limit states
        await slow.heed(answer(65, 10))  # hardly slower
        assert limit.asked == []
        await slow.heed(answer(30, 10))
        for left in range(29, 20, -1):  # at that pace
            limit.now += 1 / 3
            await slow.heed(answer(left, 10 - (30 - left) / 3))
        assert limit.asked == [(30, 10.0)]
        await slow.heed(answer(6, 7))  # somebody else uses it up
        await slow.heed(answer(60, 7))  # late, or wrong
        assert limit.asked == [(30, 10.0), (6, 7.0)]
        limit.now += 7
        await slow.heed(answer(50, 10))  # a new window
        await slow.heed(answer(0, 9))
        await slow.heed(answer(0, 8))

    asyncio.run(main())

    assert limit.asked == [(30, 10.0), (6, 7.0), (50, 10.0), (0, 9.0)]
    assert events == [
        "The API says that 30 requests remain for the next 10 s. Rowrelay sends no faster than that, as `slow_by` says."
        " This is told once a run"
    ]


@pytest.mark.parametrize(
    ("windows", "budget", "passed"),
    [
        ((), (1000, 2), True),  # only in_flight bounds the pace
        (((100, 60.0),), (67, 40), False),  # the same quota, evenly used
        (((100, 60.0),), (10, 40), True),
        (((7, 1.0), (10_000, 86_400.0)), (2000, 600), True),
        (((7, 1.0), (10_000, 86_400.0)), (4100, 600), False),
        (((10_000, 86_400.0),), (5000, 600), True),  # all of them may go at once
    ],
)
def test_what_the_limit_states_decides_whether_it_is_slower(
    windows: tuple[tuple[int, float], ...], budget: tuple[int, float], passed: bool
) -> None:
    limit = FakeLimit(*windows)

    asyncio.run(slowing(limit)[0].heed(answer(*budget)))

    assert bool(limit.asked) is passed


@pytest.mark.parametrize(
    ("reply", "passed"),
    [
        (answer(1, 60), True),
        (answer(1, 60, status=422), True),
        (answer(1, 60, status=429, pause_seconds=3.0), False),
        (answer(1, 60, status=403, ban=True), False),
        (answer(1, 60, status=500), False),
        (Reply(RowState.UNKNOWN), False),
    ],
)
def test_which_replies_are_heeded(reply: Reply, passed: bool) -> None:
    limit = FakeLimit((7, 1.0))

    asyncio.run(slowing(limit)[0].heed(reply))

    assert bool(limit.asked) is passed


def test_headers_say_nothing_where_the_definition_does_not_ask() -> None:
    limit = FakeLimit((7, 1.0))

    asyncio.run(slowing(limit, None)[0].heed(answer(1, 60)))
    asyncio.run(slowing(limit, {"remaining": "Other", "reset": "RateLimit-Reset"})[0].heed(answer(1, 60)))

    assert limit.asked == []


def test_it_is_stored_with_a_run_as_it_was_stated() -> None:
    for slow_by in ("standard", {"remaining": "A", "reset": "B"}):
        made = definition("https://api.test/", slow_by=slow_by)
        again = from_resolved(made.resolved())
        assert again == made
        assert again.digest() == made.digest()
    assert "slow_by" not in definition("https://api.test/").resolved()


class Slower:
    """The real limit, and what it was asked to slow down to."""

    def __init__(self, limit: Limit) -> None:
        self._limit, self.asked = limit, cast(list[tuple[int, float]], [])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._limit, name)

    async def slow(self, remaining: int, seconds: float) -> None:
        """As Limit.slow."""
        self.asked.append((remaining, seconds))


def test_a_sender_passes_on_what_its_answers_say(tmp_path: Path, redis_url: str) -> None:
    left = iter(range(40, 0, -1))

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(201, json={"id": 1}, headers={"X-Left": str(next(left)), "X-Reset-Ms": "20000"})

    made = definition(
        "https://api.test/",
        slow_by={"remaining": "X-Left", "reset": "X-Reset-Ms"},
        limit={"name": "slow", "requests": 50, "window_seconds": 1, "in_flight": 1, "grace_seconds": 0.2},
        request={"timeout_seconds": 0.5},
    )
    events: list[str] = []

    async def main() -> list[tuple[int, float]]:
        ledger, _, epoch = begin(connect(redis_url), total=6)
        client = Client(made, secrets={}, connections=2, transport=httpx.MockTransport(handler))
        async with Limiter(redis_url) as limiter, client:
            limit = Slower(limiter.limit(made.terms))
            sender = Sender(
                run=RUN, definition=made, epoch=epoch, first_serial=1, ledger=ledger, limit=cast(Limit, limit),
                client=client, journal=Journal(tmp_path / "journal", RUN), give_up_seconds=30.0, on_event=events.append,
            )  # fmt: skip
            await sender.start()
            states = await asyncio.wait_for(sender.deliver([Row(n, n + 1, {"title": "t"}) for n in range(1, 7)]), 60)
            await sender.close()
        assert states == {"done": 6}
        return limit.asked

    asked = asyncio.run(main())

    assert asked[0] == (40, 20.0)
    assert len(asked) <= 2  # 35 of them in 20 s is slower by more than a tenth
    assert [text for text in events if text.startswith("The API says that 40 requests remain for the next 20 s.")]
