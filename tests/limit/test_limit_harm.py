"""The limit under harm: real sender processes, and a receiver with a clock of its own that judges.

Each row of the harm table has a short form for `make slow`, some also for `make test`, and a full one for `make prove`:
7 a second, about two minutes, 700 arrivals and more. That no window holds too many is asserted always; pace and
shares, which a busy machine spoils, in the full form alone.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from deployments.embedded.redis_server import RedisServer
from flows.limit.limiter import Limiter
from flows.limit.script import Keys, fresh_seconds
from flows.records import LimitTerms
from tests.harness.faketime import LIBFAKETIME, set_clock, under_faketime
from tests.harness.proxy import Proxy
from tests.harness.receiver import Receiver, over, pace, worst
from tests.harness.sender_process import Sender
from tests.harness.wait import wait_until

REQUESTS = 7
AHEAD = 0.1  # starts are granted this far ahead


@dataclass(frozen=True)
class Form:
    """How long and how strictly a row is tried."""

    name: str
    window: float
    seconds: float
    timeout: float
    grace: float

    @property
    def proof(self) -> bool:
        return self.name == "full"


SHORT = Form("short", window=0.5, seconds=3.5, timeout=0.5, grace=0.5)
FULL = Form("full", window=1.0, seconds=140.0, timeout=1.0, grace=1.0)
FULL_PARAM = pytest.param(FULL, marks=[pytest.mark.prove, pytest.mark.timeout(400)], id="full")
both_forms = pytest.mark.parametrize("form", [pytest.param(SHORT, id="short", marks=pytest.mark.slow), FULL_PARAM])
quick_form = pytest.mark.parametrize("form", [pytest.param(SHORT, id="short"), FULL_PARAM])
full_form = pytest.mark.parametrize("form", [FULL_PARAM])


@dataclass
class Trial:
    """Senders that share one limit, what lies between them, and the judge."""

    folder: Path
    form: Form
    terms: LimitTerms
    server: RedisServer
    receiver: Receiver
    port: int
    redis_url: str  # by the senders' way
    senders: list[Sender] = field(default_factory=list)
    dead: set[int] = field(default_factory=set)
    enough: float = 0.0  # when the short form is long enough

    @property
    def late(self) -> float:
        return self.terms.lapse_seconds

    def start(self, processes: int, **options: Any) -> None:
        """Let so many processes send, and wait until all do.

        In the short form they send for as long from then on: on a busy machine the first would have ended by then.
        """
        seconds = options.pop("seconds", self.form.seconds)
        for _ in range(processes):
            sender = Sender(
                self.folder, f"s{len(self.senders)}", redis_url=self.redis_url, port=self.port, terms=self.terms,
                seconds=seconds if self.form.proof else seconds + 60, **options,
            )  # fmt: skip
            self.senders.append(sender)
        tags = {f"s{number}" for number in range(len(self.senders))}
        wait_until(lambda: tags <= set(self.receiver.tags()), seconds=60, what="every sender to get through")
        self.enough = time.monotonic() + seconds

    def count(self) -> int:
        return len(self.receiver.times())

    def pass_by(self, seconds: float) -> None:
        """Nothing happens for so long: a condition cannot say that nothing should have."""
        time.sleep(seconds)

    def kill(self, number: int) -> None:
        self.senders[number].kill()
        self.dead.add(number)

    def silence(self, since: float, until: float) -> list[float]:
        """What arrived though Redis did not answer; permits granted before may still be used for a moment."""
        spent = since + AHEAD + fresh_seconds(self.terms) + 0.1
        assert until > spent
        return [at - since for at in self.receiver.times() if spent < at < until]

    def sending_again(self, since: float) -> None:
        """Somebody gets through after `since`: within `late` + 2 s, where the machine is ours."""
        wait_until(lambda: self.receiver.times()[-1] > since + 0.05, seconds=30, what="sending to go on")
        if self.form.proof:
            first = next(at for at in self.receiver.times() if at > since + 0.05)
            assert first - since <= self.late + 2.0

    def judge(self, *, at_least: int = 700) -> dict[str, Any]:
        """Wait for the end. No window may hold too many, and nothing may arrive that nobody sent, or twice."""
        if not self.form.proof:
            self.pass_by(max(0.0, self.enough - time.monotonic()))
            for each in self.senders:
                each.stop()
        said = [
            each.result(self.form.seconds + 60) for number, each in enumerate(self.senders) if number not in self.dead
        ]
        times = self.receiver.times()
        window = self.terms.windows[0][1]
        trip = sum(each["trip"] * each["granted"] for each in said) / sum(each["granted"] for each in said)
        guaranteed = REQUESTS / (window + trip)
        tags = self.receiver.tags()
        found = {
            "arrivals": len(times),
            "worst": worst(times, window),
            "over": over(times, REQUESTS, window),
            "strays": len(self.receiver.strays(set().union(*(each.sent for each in self.senders)))),
            "trip": round(trip, 4),
            "pace": round(pace(times) / guaranteed, 4),
            "shares": sorted(round(tags[f"s{i}"] / len(times), 3) for i in range(len(self.senders))),
            "stale": sum(each["stale"] for each in said),
            "lost": sum(each["lost"] for each in said),
            "jumps": [each["jumps"] for each in said],
        }
        print(os.environ.get("PYTEST_CURRENT_TEST", "").split("::")[-1].split(" ")[0], found, flush=True)
        assert found["over"] == 0, found
        assert found["strays"] == 0, found
        assert found["arrivals"] >= (at_least if self.form.proof else 10), "too few arrivals to prove anything"
        return found


@contextmanager
def trial(
    folder: Path,
    form: Form,
    *,
    jitter: float = 0.0,
    away: float = 0.0,
    setup: float = 0.0,
    redis_away: float = 0.0,
    appendfsync: str = "always",
    binary: str = "",
    terms: dict[str, Any] | None = None,
    **conduct: Any,
) -> Iterator[Trial]:
    """A server, a receiver and a jittery line, and a limit whose quarantine is over."""
    numbers: dict[str, Any] = {
        "name": "harm", "windows": ((REQUESTS, form.window),), "in_flight": REQUESTS,
        "max_timeout_seconds": form.timeout, "grace_seconds": form.grace, **(terms or {}),
    }  # fmt: skip
    with ExitStack() as stack:
        server = RedisServer(folder / "redis", appendfsync=appendfsync, binary=binary).start()
        stack.callback(lambda: server.running and server.kill())
        receiver = stack.enter_context(Receiver(**conduct))
        port = receiver.port
        if jitter or away or setup:
            way = Proxy(receiver.port, jitter=(0.0, jitter), away=away, setup=setup)
            port = stack.enter_context(way).port
        redis_url = server.url
        if redis_away:
            line = stack.enter_context(Proxy(server.port, away=redis_away))
            redis_url = redis_url.replace(f":{server.port}/", f":{line.port}/")
        made = Trial(folder, form, LimitTerms(**numbers), server, receiver, port, redis_url)
        _born_long_ago(made)
        try:
            yield made
        finally:
            for sender in made.senders:
                if sender.process.poll() is None:
                    sender.kill()


def _born_long_ago(made: Trial) -> None:
    """Spare every row the wait of a new limit."""

    async def knock() -> None:
        async with Limiter(made.server.url) as limiter:
            await limiter.limit(made.terms).latch("to be born", "nobody")

    asyncio.run(knock())
    keys = Keys.of(made.terms.name)
    with redis.Redis.from_url(made.server.url) as client:
        hour_ago = (client.time()[0] - 3600) * 1_000_000
        client.hset(keys.state, mapping={"born": hour_ago, "known": 0, "purged": hour_ago})
        client.hdel(keys.state, "latched")


def fair_and_fast(found: dict[str, Any], least_pace: float) -> None:
    assert found["pace"] >= least_pace, found
    if least_pace and len(found["shares"]) == 3:
        assert found["shares"][0] >= 0.2, found


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("jitter", [0.0, 0.02, 0.05, 0.2])
@full_form
def test_the_limit_holds_at_the_guaranteed_pace_whatever_the_jitter(
    tmp_path: Path, form: Form, jitter: float, processes: int
) -> None:
    with trial(tmp_path, form, jitter=jitter) as t:
        t.start(processes, seconds=160 if jitter == 0.2 else form.seconds)
        fair_and_fast(t.judge(), 0.96 if jitter == 0.2 else 0.97)


@pytest.mark.parametrize(
    ("form", "where"),
    [
        pytest.param(SHORT, {"away": 0.1}, id="short-API"),
        pytest.param(FULL, {"away": 0.1}, marks=FULL_PARAM.marks, id="full-API"),
        pytest.param(FULL, {"away": 0.05, "setup": 0.2}, marks=FULL_PARAM.marks, id="full-slow-to-connect"),
        pytest.param(FULL, {"redis_away": 0.1}, marks=FULL_PARAM.marks, id="full-Redis"),
    ],
)
def test_the_limit_holds_at_a_distance(tmp_path: Path, form: Form, where: dict[str, float]) -> None:
    with trial(tmp_path, form, **where) as t:  # type: ignore[arg-type]
        t.start(3)
        fair_and_fast(t.judge(at_least=500), 0.8 if form.proof else 0.0)


@pytest.mark.parametrize(("jitter", "processes"), [pytest.param(0.2, 1, marks=pytest.mark.slow), (0.05, 3)])
def test_the_limit_holds_whatever_the_jitter(tmp_path: Path, jitter: float, processes: int) -> None:
    with trial(tmp_path, SHORT, jitter=jitter) as t:
        t.start(processes)
        t.judge()


@pytest.mark.parametrize(
    ("form", "processes"),  # three are the harder case
    [
        pytest.param(SHORT, 3, id="short-3"),
        *(pytest.param(FULL, n, marks=FULL_PARAM.marks, id=f"full-{n}") for n in (1, 3)),
    ],
)
def test_the_limit_holds_while_the_senders_loops_stall(tmp_path: Path, form: Form, processes: int) -> None:
    with trial(tmp_path, form, jitter=0.005) as t:
        t.start(processes, stall=(1.0, 0.15))
        t.judge()


@both_forms
def test_the_limit_holds_while_requests_fail_in_every_way(tmp_path: Path, form: Form) -> None:
    with trial(tmp_path, form, errors=0.2, resets=0.05, hangs=0.05) as t:
        t.start(3, seconds=form.seconds * (1.2 if form.proof else 1.0))
        found = t.judge()
        assert found["lost"] > 0, "nothing failed, so this proves nothing"


@quick_form
def test_the_limit_holds_when_a_sender_is_killed(tmp_path: Path, form: Form) -> None:
    with trial(tmp_path, form) as t:
        t.start(3)
        t.pass_by(form.window)
        t.kill(0)
        at = time.monotonic()
        t.sending_again(at)
        t.judge()


@pytest.mark.parametrize("loss", ["everything", "the last 4 kB"])
@both_forms
def test_the_limit_holds_when_redis_dies_and_forgets(tmp_path: Path, form: Form, loss: str) -> None:
    with trial(tmp_path, form, appendfsync="everysec") as t:
        t.start(3, seconds=form.seconds + 3)
        for _ in range(5 if form.proof else 1):
            t.pass_by(2 * form.window)
            t.server.kill()
            killed = time.monotonic()
            if loss == "everything":
                shutil.rmtree(t.server.folder / "appendonlydir")
                t.pass_by(0.0 if not form.proof else 2.0)
            else:
                (record,) = (t.server.folder / "appendonlydir").glob("*.incr.aof")
                assert record.stat().st_size > 4096
                os.truncate(record, record.stat().st_size - 4096)
            started = time.monotonic()
            t.server.start()
            if started - killed > 1.5:
                assert t.silence(killed, started) == []
            t.sending_again(time.monotonic())
        t.judge(at_least=600)


@quick_form
def test_nothing_is_sent_while_redis_is_frozen(tmp_path: Path, form: Form) -> None:
    with trial(tmp_path, form) as t:
        t.start(3)
        for _ in range(5 if form.proof else 1):
            t.pass_by(2 * form.window)
            t.server.kill(signal.SIGSTOP)
            frozen = time.monotonic()
            t.pass_by(3.0 if form.proof else 1.5)
            thawed = time.monotonic()
            t.server.kill(signal.SIGCONT)
            assert t.silence(frozen, thawed) == []
            t.sending_again(thawed)
        t.judge(at_least=600)


@pytest.mark.parametrize("step", [5, -5])
@both_forms
def test_the_limit_holds_when_the_clock_of_redis_is_set(tmp_path: Path, form: Form, step: int) -> None:
    with trial(tmp_path, form) as t, redis.Redis.from_url(t.server.url) as client:
        t.start(3, stepped=True)
        for number in range(1, 6 if form.proof else 2):
            t.pass_by(2 * form.window)
            client.set("test:step", step * number)
            set_at = time.monotonic()
            t.sending_again(set_at + 0.3)
        found = t.judge(at_least=550)
        assert min(found["jumps"]) >= 1, "a sender did not see the clock being set"


@pytest.mark.skipif(LIBFAKETIME is None, reason="libfaketime is not here: make prove, as root, installs it")
@pytest.mark.parametrize("step", [5, -5])
@full_form
def test_the_limit_holds_when_the_real_clock_of_the_server_is_set(tmp_path: Path, form: Form, step: int) -> None:
    ahead = tmp_path / "ahead"
    ahead.write_text("+0")
    with trial(tmp_path, form, binary=under_faketime(tmp_path, ahead)) as t:
        t.start(3)
        with redis.Redis.from_url(t.server.url) as client:
            for number in range(1, 6):
                t.pass_by(5.0)
                before = client.time()[0] - time.time()
                set_clock(ahead, f"{step * number:+d}")
                set_at = time.monotonic()
                wait_until(lambda: abs(client.time()[0] - time.time() - before) > 3, what="the server's clock to step")  # noqa: B023
                t.sending_again(set_at + 0.3)
        found = t.judge(at_least=550)
        assert min(found["jumps"]) >= 1, "a sender did not see the clock being set"


@both_forms
def test_a_request_that_was_given_up_may_still_arrive(tmp_path: Path, form: Form) -> None:
    """The client gives up long before the request is counted: what lapses too early is over the limit."""
    grace = 3 * form.timeout
    with trial(tmp_path, form, terms={"grace_seconds": grace}, queue=(0.0, 2.5 * form.timeout)) as t:
        t.start(3, timeout=form.timeout / 2)
        found = t.judge(at_least=150)
        assert found["lost"] >= 3, "nothing was given up, so this proves nothing"


@both_forms
def test_the_limit_holds_when_a_sender_blocks_for_longer_than_its_permits_live(tmp_path: Path, form: Form) -> None:
    with trial(tmp_path, form) as t:
        late = t.late
        if form.proof:
            t.start(3, stall=(1.5 * late, 2 * late))
        else:  # as many occasions as a short time has
            t.start(4, stall=(0.4 * late, 1.2 * late), seconds=6.0)
        t.judge(at_least=400)


@both_forms
def test_the_limit_holds_when_a_sender_is_stopped_for_a_while(tmp_path: Path, form: Form) -> None:
    with trial(tmp_path, form, errors=0.05, resets=0.05) as t:
        t.start(3, seconds=form.seconds if form.proof else 6.0)
        for _ in range(8 if form.proof else 1):
            t.pass_by(2 * form.window)
            t.senders[0].signal(signal.SIGSTOP)
            t.pass_by(2.5 * t.late)
            t.senders[0].signal(signal.SIGCONT)
        t.judge()


@both_forms
def test_slow_answers_and_stalls_with_late_seconds(tmp_path: Path, form: Form) -> None:
    """What arrives within `late_seconds` frees its slot before it is answered."""
    late = 0.15 if form.proof else 0.6
    numbers = {"late_seconds": late, "in_flight": 30, "max_timeout_seconds": 2.0}
    with trial(tmp_path, form, jitter=0.05, terms=numbers, delay=(0.8, 1.0)) as t:
        t.start(3, workers=12, stall=(1.0, 0.15), seconds=form.seconds * 1.2)
        t.judge()
        if form.proof:
            arrivals = pace(t.receiver.times())
            assert arrivals >= 0.9 * REQUESTS / (form.window + late + 0.05), arrivals
