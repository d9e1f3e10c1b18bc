"""Several limits at once, three processes, jitter and kills: a receiver counts each of them by itself."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from deployments.embedded.redis_server import RedisServer
from flows.records import LimitTerms
from tests.harness.limits import long_known
from tests.harness.proxy import Proxy
from tests.harness.receiver import Receiver, over
from tests.harness.sender_process import Sender
from tests.harness.wait import wait_until

JITTER = 0.2


def terms(name: str, requests: int, seconds: float, **more: Any) -> LimitTerms:
    return LimitTerms(name, ((requests, seconds),), min(requests, 200), 1.0, 1.0, **more)


ACCOUNT, ENDPOINT = terms("account", 7, 1.0), terms("endpoint", 3, 1.0)
ALL, CHAT = terms("all", 30, 1.0), terms("chat {chat}", 1, 1.0)
POINTS = terms("points", 1000, 10.0, units=True)


class Case(NamedTuple):
    """What each of three processes asks for, and how fast all may go at most: requests (or units) a second."""

    sets: tuple[tuple[LimitTerms, ...], ...]
    rate: float
    values: int = 0
    costs: int = 0
    workers: int = 8


CASES = {
    "an account and an endpoint, two pipelines": Case(((ACCOUNT, ENDPOINT), (ACCOUNT,), (ACCOUNT, ENDPOINT)), 7.0),
    "two hundred chats": Case(((ALL, CHAT),) * 3, 30.0, values=200, workers=80),
    "units": Case(((POINTS,),) * 3, 100.0, costs=50, workers=40),
}
FORMS = [
    pytest.param(12.0, id="short", marks=pytest.mark.slow),
    pytest.param(120.0, id="full", marks=[pytest.mark.prove, pytest.mark.timeout(400)]),
]


def counted(case: Case, arrivals: Sequence[tuple[float, str, str]]) -> dict[tuple[str, str], list[float]]:
    """The arrivals under each limit and each value, a unit an arrival, as the receiver saw them."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for at, tag, id in arrivals:
        _, value, cost = id.split(":")
        for limit in case.sets[int(tag[1:]) % len(case.sets)]:
            units = int(cost) if limit.units else 1
            found[limit.name, value if limit.is_family else ""] += [at] * units
    return found


@pytest.mark.parametrize("seconds", FORMS)
@pytest.mark.parametrize("what", CASES)
def test_each_of_several_limits_holds_as_the_receiver_counts_it(tmp_path: Path, what: str, seconds: float) -> None:
    """One of three processes is killed half way, and another one takes its place."""
    case = CASES[what]
    known = {limit.name: limit for each in case.sets for limit in each}
    with ExitStack() as stack:
        server = RedisServer(tmp_path / "redis").start()
        stack.callback(server.stop)
        client = stack.enter_context(redis.Redis.from_url(server.url))
        for name in known:
            long_known(client, name)
        receiver = stack.enter_context(Receiver())
        port = stack.enter_context(Proxy(receiver.port, jitter=(0.0, JITTER))).port
        senders: list[Sender] = []

        def begin(number: int, lasts: float) -> None:
            first, *more = case.sets[number % 3]
            sender = Sender(
                tmp_path, f"s{number}", redis_url=server.url, port=port, terms=first, more=more, seconds=lasts,
                workers=case.workers, values=case.values, costs=case.costs,
            )  # fmt: skip
            senders.append(sender)
            stack.callback(lambda: sender.process.poll() is None and sender.kill())

        for number in range(3):
            begin(number, seconds)
        wait_until(lambda: len(receiver.tags()) == 3, seconds=60, what="every sender to get through")
        time.sleep(seconds / 2)
        senders[0].kill()
        begin(3, seconds / 2)
        said = [sender.result(seconds + 60) for sender in senders[1:]]
        arrivals, strays = receiver.arrivals(), receiver.strays(set().union(*(each.sent for each in senders)))

    under = counted(case, arrivals)
    broken = {
        (name, value): over(times, known[name].windows[0][0], known[name].windows[0][1])
        for (name, value), times in under.items()
    }
    trip = sum(each["trip"] * each["granted"] for each in said) / sum(each["granted"] for each in said)
    tightest = next(name for name in known if known[name].windows[0][0] / known[name].windows[0][1] == case.rate)
    times, (units, window) = under[tightest, ""], known[tightest].windows[0]
    steady = [at for at in times if times[0] + 1 < at < times[-1] - 1]
    share = len(steady) / (steady[-1] - steady[0]) / (units / (window + trip))
    visits = sum(each["visits"] for each in said) / sum(each["granted"] for each in said)
    found = {
        "arrivals": len(arrivals),
        "limits": len(under),
        "over": sum(broken.values()),
        "share": round(share, 3),
        "trip": round(trip, 3),
        "visits a request": round(visits, 2),
    }
    print(what, found, flush=True)
    assert strays == []
    assert sum(broken.values()) == 0, {which: count for which, count in broken.items() if count}
    assert len(arrivals) >= 20
    if seconds > 60:
        assert share >= 0.95
