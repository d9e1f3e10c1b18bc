"""The rule in limiter.lua against brute force: random histories, a clock moved by hand, and a Redis that misbehaves."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deployments.embedded.redis_server import RedisServer
from flows.limit.places import ONE as ONE_PLACE
from flows.limit.script import SCRIPT, Alike, Form, Report, Visit, fresh_seconds
from flows.limit.status import open_limit, trust
from flows.records import LimitTerms
from tests.harness.examples import examples

SECOND = 1_000_000
Story = list[tuple[str, Any, Any]]
MOVED = SCRIPT
for ours, theirs in {
    "redis.call('TIME')": "redis.call('HMGET', 'test:server', 's', 'us')",
    "redis.call('INFO', 'server')": "redis.call('HGET', 'test:server', 'info')",
}.items():
    assert MOVED.count(ours) == 1
    MOVED = MOVED.replace(ours, theirs)
GAP = "0.8 * length / n"
assert MOVED.count(GAP) == 1
BOTH = LimitTerms("x", ((3, 1.0), (8, 5.0)), 50, 1.0, 1.0)
WIDE = LimitTerms("x", ((4, 1.0), (30, 90.0)), 50, 2.0, 0.5)
LATE = LimitTerms("x", ((3, 1.0), (20, 90.0)), 50, 1.0, 1.0, late_seconds=0.3)
ONE = LimitTerms("x", ((2, 0.4),), 50, 0.5, 0.5)
TIGHT = LimitTerms("x", ((6, 0.4),), 3, 0.5, 0.5)


@dataclass(eq=False)
class Sent:
    """A permit as the world knows it: `until` is the latest moment at which the receiver can count it."""

    id: str
    start: int
    until: int
    deadline: int
    done: bool = False


@dataclass
class Asker:
    """What flows.limit.limiter does in a process, without the waiting."""

    terms: LimitTerms
    token: str
    offset: int | None = None  # of Redis's clock, as it saw it last
    trusted: int = 0
    jumped: bool = False
    before: int = 0  # the offset of the clock before it jumped
    next_id: int = 1
    reports: list[Report] = field(default_factory=list)
    open: list[Sent] = field(default_factory=list)
    seen: int | None = None
    up: int = 0  # how long it takes from here to Redis …
    down: int = 0  # … and back; it knows their sum


class World:
    """True time, a Redis with a clock of its own, askers, and all that was ever sent. Times in µs."""

    def __init__(
        self,
        client: redis.Redis,
        terms: list[LimitTerms],
        loss: int,
        *,
        even: bool = False,
        ways: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.client, self.loss = client, loss
        client.flushall()
        # Safety must not rest on even starts, which would hide what is missing.
        self.sha = client.script_load(MOVED if even else MOVED.replace(GAP, "0"))
        self.now, self.offset, self.run = 1_700_000_000 * SECOND, 0, 0
        self.tokens = itertools.count()
        self.askers = [Asker(each, f"t{next(self.tokens)}.") for each in terms]
        for asker, (up, down) in zip(self.askers, ways, strict=False):
            asker.up, asker.down = up, down
        self.sent: list[Sent] = []
        self.snapshots: list[tuple[int, dict[str, bytes]]] = []
        self.since_wipe = self.flights_known_since = self.paused = self.now
        self.latched = False

    def visit(self, asker: Asker, wanted: int) -> list[Sent]:
        """Ask for `wanted` starts, check every grant by brute force, and return what may be sent."""
        asked, away = self.now, asker.up + asker.down
        self.wait(asker.up)
        theirs = self.now + self.offset
        server = {"s": theirs // SECOND, "us": theirs % SECOND, "info": f"# Server\r\nrun_id:run{self.run}\r\n"}
        self.client.hset("test:server", mapping=server)
        reports = [(report, report.number(asked / SECOND)) for report in asker.reports]
        self.paused = max(self.paused, *(round(each.moment * SECOND) for each in asker.reports if each.kind == "p"), 0)
        if asker.jumped:
            self.forget_flights()
        asker.reports = []
        visit = Visit(
            wanted=wanted,
            prefix=asker.token,
            first=asker.next_id,
            jumped=asker.jumped,
            trusted=(self.now + asker.before if asker.jumped else asker.trusted) / SECOND,
            away=away / SECOND,
            own_earlier=away / SECOND,
            moment=theirs / SECOND,
            demands=[Alike(wanted, ONE_PLACE)],
            reports=reports,
        )
        keys, args = Form([asker.terms], asker.token).filled(visit, self.loss)
        raw: Any = self.client.evalsha(self.sha, len(keys), *keys, *args)
        asker.jumped = False
        starts = [start for start in raw[-1] if start >= 0]
        assert starts == raw[-1][: len(starts)], "granted out of order"
        ids = [f"{asker.token}{asker.next_id + i}" for i in range(len(starts))]
        asker.next_id += wanted
        asker.seen = self.now
        if raw[4][0][5] in (b"new", b"restart", b"clock"):
            asker.token = f"t{next(self.tokens)}."
        if asker.offset is not None and abs(self.offset - asker.offset) > 2000:
            asker.jumped, asker.before, asker.offset = True, asker.offset, self.offset
            asker.reports += [Report("u", each) for each in ids]
            asker.token = f"t{next(self.tokens)}."
            return []
        asker.offset, asker.trusted = self.offset, theirs
        starts = [self.now + start + asker.down for start in starts]
        return [self.grant(asker, each, start) for each, start in zip(ids, starts, strict=True)]

    def grant(self, asker: Asker, id: str, start: int) -> Sent:
        """Count the grant, if brute force agrees that no window in force can overflow, however the network behaves."""
        assert start >= self.now
        assert start >= self.paused - 2, "granted in a pause"
        assert not self.latched, "granted after a ban"
        self.count_flights(asker.terms)
        for requests, seconds in self.in_force(asker):
            young = [each for each in self.sent if each.until > start - seconds * SECOND]
            assert len(young) < requests, f"{len(young) + 1} arrivals can fall into {seconds} s, {requests} may"
        terms = asker.terms
        late = terms.lapse_seconds
        if terms.late_seconds is not None:
            late = min(late, terms.late_seconds + fresh_seconds(terms) + (asker.up + asker.down) / SECOND)
        granted = start - asker.down - asker.up  # at the earliest that the reply can have meant
        sent = Sent(id, start, round(granted + late * SECOND), round(granted + terms.max_timeout_seconds * SECOND))
        self.sent.append(sent)
        asker.open.append(sent)
        return sent

    def count_flights(self, terms: LimitTerms) -> None:
        """Another request may fly, as far as Redis can know: it forgets flights when it loses its data or its clock."""
        longest = round((terms.lapse_seconds + terms.max_timeout_seconds) * SECOND)
        flying = [each for each in self.sent if not each.done and each.start + longest > self.now]
        if self.now - self.flights_known_since > longest:
            assert len(flying) < terms.in_flight, f"{len(flying) + 1} fly at once, {terms.in_flight} may"

    def forget_flights(self) -> None:
        self.flights_known_since = self.now

    def in_force(self, asker: Asker) -> set[tuple[int, float]]:
        """The windows of this asker and of all who were here in the last ten seconds, as far as Redis can know."""
        since = max(self.now - 10 * SECOND, self.since_wipe)
        here = [each for each in self.askers if each is asker or (each.seen is not None and each.seen >= since)]
        return {window for each in here for window in each.terms.windows}

    def wait(self, micros: int) -> None:
        self.now += micros

    def settle(self, asker: Asker, index: int, how: str) -> None:
        """One open request of the asker is answered, lost, or was not sent."""
        ready = [each for each in asker.open if (self.now <= each.start + 50_000) == (how == "unused")]
        if not ready:
            return
        sent = ready[index % len(ready)]
        asker.open.remove(sent)
        if how == "unused":
            self.sent.remove(sent)
            asker.reports.append(Report("u", sent.id))
        elif how == "answered" and self.now <= sent.deadline:
            sent.until = min(sent.until, self.now)
            asker.reports.append(Report("a", sent.id, self.now / SECOND))
        elif how == "given up" and asker.terms.late_seconds is None:
            sent.until = max(sent.until, self.now + round(asker.terms.grace_seconds * SECOND))
            asker.reports.append(Report("g", sent.id, self.now / SECOND))
        if how != "unused":
            sent.done = True
            asker.reports.append(Report("f", sent.id))

    def give_up(self, asker: Asker, index: int) -> None:
        """A process that was frozen, however long, closes a connection, and the kernel sends what was written before.

        It says so before anybody visits: what is granted between the two is the gap that the README states.
        """
        self.settle(asker, index, "given up")
        self.visit(asker, 0)

    def ban(self, asker: Asker, wanted: int) -> None:
        """The API bans us; everybody still asks, until a person has found out why."""
        asker.reports.append(Report("l", '{"reason": "403"}'))
        self.latched = True
        for each in (asker, *self.askers):
            assert not self.visit(each, wanted)
        self.latched = False
        assert open_limit(self.client, "x", by="a person")

    def kill(self, index: int) -> None:
        """kill -9 of a process, and a new one in its place."""
        for sent in self.askers[index].open:
            sent.done = True
        dead = self.askers[index]
        self.askers[index] = Asker(dead.terms, f"t{next(self.tokens)}.", up=dead.up, down=dead.down)

    def step(self, micros: int) -> None:
        """Redis's clock is set. Somebody with a history is there to see it; a first visitor could not."""
        witness = next((each for each in self.askers if each.offset is not None), None)
        if witness is None:
            return
        self.offset += micros
        self.snapshots.clear()
        self.paused = self.now  # where the clock was set forward, nothing tells how long a pause had still to last
        self.forget_flights()
        self.visit(witness, 2)
        self.visit(witness, 0)

    def keep(self) -> None:
        """Remember what Redis holds, for a restart that loses the rest."""
        keys: list[str] = list(self.client.keys("rowrelay:*"))
        self.snapshots.append((self.now, {key: self.client.dump(key) for key in keys}))  # type: ignore[misc]

    def restart(self, wipe: bool) -> None:
        """Redis dies and comes back: empty, or without what it had not yet synced."""
        self.run += 1
        reach = {0: 0, 5: 5 * SECOND, -1: 10**15}[self.loss]
        lost = [held for at, held in self.snapshots if at >= self.now - reach]
        if wipe or (self.loss and lost):
            self.client.delete(*self.client.keys("rowrelay:*") or ["none"])
            self.since_wipe = self.flights_known_since = self.paused = self.now
        if not wipe and self.loss and lost:
            for key, dump in lost[0].items():
                self.client.restore(key, 0, dump)
        self.snapshots.clear()


which = st.integers(0, 2)
action = st.one_of(
    st.tuples(st.just("ask"), which, st.integers(1, 6)),
    st.tuples(st.just("ask"), which, st.integers(1, 6)),
    st.tuples(st.just("wait"), st.sampled_from([3_000, 40_000, 150_000, 400_000, 1_000_000]), st.none()),
    st.tuples(st.just("wait"), st.integers(1, 2_500_000), st.none()),
    st.tuples(st.just("answered"), which, st.integers(0, 9)),
    st.tuples(st.just("answered"), which, st.integers(0, 9)),
    st.tuples(st.just("unused"), which, st.integers(0, 9)),
    st.tuples(st.just("lost"), which, st.integers(0, 9)),
    st.tuples(st.just("pause"), which, st.sampled_from([0.05, 0.8, 3.0])),
    st.tuples(st.just("give up"), which, st.integers(0, 9)),
)
harm = st.one_of(
    st.tuples(st.just("kill"), which, st.none()),
    st.tuples(st.just("step"), st.sampled_from([-7, -1, 1, 5, 30]), st.none()),
    st.tuples(st.just("restart"), st.booleans(), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([6_000_000, 20_000_000, 91_000_000]), st.none()),
    st.tuples(st.just("keep"), st.none(), st.none()),
    st.tuples(st.just("ban"), which, st.integers(1, 6)),
)


def play(world: World, story: Story) -> None:
    for kind, one, two in story:
        if kind == "ask":
            world.visit(world.askers[one % len(world.askers)], two)
        elif kind == "wait":
            world.wait(one)
        elif kind == "kill":
            world.kill(one % len(world.askers))
        elif kind == "step":
            world.step(one * SECOND)
        elif kind == "restart":
            world.restart(one)
        elif kind == "trust":
            world.visit(world.askers[one], 0)
            assert not world.sent
            trust(world.client, "x", by="a person")
        elif kind == "keep":
            world.keep()
        elif kind == "give up":
            world.give_up(world.askers[one % len(world.askers)], two)
        elif kind == "ban":
            world.ban(world.askers[one % len(world.askers)], two)
        elif kind == "pause":
            asker = world.askers[one % len(world.askers)]
            asker.reports.append(Report("p", "429", world.now / SECOND + two))
        else:
            world.settle(world.askers[one % len(world.askers)], two, kind)


def busy(seconds: float, askers: int = 2, pace: float = 0.1) -> Story:
    """Everybody asks all the time and is answered after `pace` seconds."""
    turn = [(kind, n, 4 if kind == "ask" else 0) for n in range(askers) for kind in ("answered",) * 4 + ("ask",)]
    return [*turn, ("wait", round(pace * SECOND), None)] * round(seconds / pace)


HISTORIES = int(os.environ.get("ROWRELAY_HISTORIES") or examples(80))


def crash(before: float, lost: float, after: float = 30.0) -> Story:
    """Redis comes back without the last `lost` seconds."""
    keep, restart = ("keep", None, None), ("restart", False, None)
    return [*busy(before, 1, 0.5), keep, *busy(lost, 1), restart, *busy(after, 1)]


AHEAD: Story = [("ask", 0, 1), ("wait", 1_850_000, None), ("ask", 0, 2)]  # the first start of ONE, 52 ms before it
FROZEN: Story = [
    ("ask", 0, 3),
    ("wait", 20_000_000, None),
    *[("give up", 0, 0)] * 3,
]  # slots long free
SURE = 92.8  # when WIDE begins: its longest window has passed in quarantine

stories = st.lists(st.one_of(action, action, action, action, harm), max_size=120)
ways = st.lists(
    st.sampled_from([(0, 0), (0, 0), (10_000, 30_000), (100_000, 100_000), (20_000, 250_000)]), min_size=3, max_size=3
)
NEAR = [(0, 0)] * 3
FAR = [(100_000, 100_000), (20_000, 250_000), (0, 0)]
crowds = st.lists(st.sampled_from([BOTH, WIDE, LATE, ONE, TIGHT]), min_size=1, max_size=3)


@given(story=stories, terms=crowds, loss=st.sampled_from([0, 5, -1]), warm=st.sampled_from([0, 8, 100]), ways=ways)
@example(story=[*busy(65, 1, 0.5), ("step", 30, None), *busy(30, 1)], terms=[WIDE], loss=0, warm=100, ways=NEAR)
@example(story=[*busy(5, 1), ("step", -30, None), *busy(100, 1, 0.5)], terms=[WIDE], loss=0, warm=100, ways=NEAR)
@example(story=crash(20, 0.4), terms=[BOTH], loss=5, warm=0, ways=NEAR)
@example(story=crash(SURE, 4), terms=[WIDE], loss=5, warm=0, ways=NEAR)
@example(story=crash(SURE, 20), terms=[WIDE], loss=-1, warm=0, ways=NEAR)
@example(story=crash(SURE, 8, 120), terms=[WIDE], loss=0, warm=0, ways=NEAR)
@example(
    story=[*busy(SURE, 1, 0.5), *busy(8, 1), ("restart", True, None), *busy(30, 1)],
    terms=[WIDE],
    loss=0,
    warm=0,
    ways=NEAR,
)
@example(story=[*busy(10, 1), *busy(20)], terms=[ONE, BOTH], loss=0, warm=0, ways=NEAR)
@example(story=[("trust", 0, None), *busy(30, 1), *busy(60)], terms=[BOTH, WIDE], loss=0, warm=0, ways=NEAR)
@example(story=[*busy(10), ("pause", 0, 3.0), *busy(6)], terms=[ONE, TIGHT], loss=0, warm=0, ways=NEAR)
@example(story=[*busy(10, 3, 0.05)], terms=[TIGHT], loss=0, warm=0, ways=NEAR)
@example(story=[*busy(10), ("ban", 0, 3), *busy(3)], terms=[ONE, TIGHT], loss=0, warm=0, ways=NEAR)
@example(story=[*FROZEN, *busy(3, 1)], terms=[BOTH], loss=0, warm=8, ways=NEAR)
@example(story=[*AHEAD, ("restart", True, None), *busy(3, 1, 0.02)], terms=[ONE], loss=0, warm=0, ways=NEAR)
@example(story=busy(10, 3, 0.03), terms=[ONE, ONE, ONE], loss=0, warm=8, ways=FAR)
@example(story=[*busy(3, 2, 0.03), *busy(8, 1, 0.03)] * 2, terms=[BOTH, BOTH], loss=0, warm=8, ways=FAR)
@example(story=[*busy(3, 2, 0.03), *busy(8, 1, 0.03)] * 2, terms=[ONE, ONE], loss=0, warm=8, ways=FAR)
@example(story=busy(10, 3, 0.03), terms=[LATE, LATE, BOTH], loss=0, warm=8, ways=FAR)
@settings(max_examples=HISTORIES, suppress_health_check=list(HealthCheck))
def test_no_grant_can_overflow_any_window_in_force_whatever_happens(
    redis_client: redis.Redis,
    story: Story,
    terms: list[LimitTerms],
    loss: int,
    warm: int,
    ways: list[tuple[int, int]],
) -> None:
    world = World(redis_client, terms, loss, ways=ways)
    play(world, busy(warm, len(terms), pace=0.1 if warm < 20 else 0.5))
    play(world, story)


@pytest.fixture(scope="module")
def redis_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """A server that syncs nothing to disk: thousands of histories go through it."""
    server = RedisServer(tmp_path_factory.mktemp("rule"), appendfsync="no").start()
    with redis.Redis.from_url(server.url) as client:
        yield client
    server.stop()


def test_a_window_is_kept_a_little_longer_than_stated(redis_client: redis.Redis) -> None:
    """Two clocks never run alike, and an arrival on each edge counts."""
    world = World(redis_client, [ONE], 0)
    (asker,) = world.askers
    play(world, [("ask", 0, 1), ("wait", 5_000_000, None)])
    assert len(world.visit(asker, 2)) == 2
    world.wait(100_000)
    answered = world.now
    play(world, [("answered", 0, 0), ("answered", 0, 0), ("wait", 390_000, None)])

    (next_one,) = world.visit(asker, 1)

    assert answered + 402_000 <= next_one.start <= answered + 402_100


def test_the_tighter_of_two_caps_holds_for_everybody(redis_client: redis.Redis) -> None:
    world = World(redis_client, [ONE, TIGHT], 0)
    loose, _ = world.askers
    loose.terms = replace(TIGHT, in_flight=50)
    play(world, [*[("ask", n, 1) for n in (0, 1)], ("wait", 5_000_000, None)])

    assert len(world.visit(loose, 6)) == TIGHT.in_flight


def test_who_has_its_answer_makes_room_for_another(redis_client: redis.Redis) -> None:
    world = World(redis_client, [TIGHT], 0)
    (asker,) = world.askers
    play(world, [("ask", 0, 1), ("wait", 5_000_000, None)])
    assert len(world.visit(asker, 6)) == TIGHT.in_flight
    world.wait(100_000)
    assert world.visit(asker, 6) == []

    world.settle(asker, 0, "answered")

    assert len(world.visit(asker, 6)) == 1


def test_whoever_has_not_heard_of_a_latch_is_granted_nothing(redis_client: redis.Redis) -> None:
    world = World(redis_client, [ONE, ONE], 0)
    one, other = world.askers
    play(world, [*[("ask", n, 1) for n in (0, 1)], ("wait", 5_000_000, None)])
    one.reports.append(Report("l", "403"))
    world.visit(one, 0)

    assert world.visit(other, 1) == []


def test_flights_of_the_dead_end_when_their_time_is_over(redis_client: redis.Redis) -> None:
    world = World(redis_client, [TIGHT], 0)
    play(world, [("ask", 0, 1), ("wait", 5_000_000, None)])
    assert len(world.visit(world.askers[0], 6)) == TIGHT.in_flight
    world.kill(0)
    world.wait(500_000)
    assert world.visit(world.askers[0], 6) == []

    world.wait(round((TIGHT.lapse_seconds + TIGHT.max_timeout_seconds) * SECOND))

    assert len(world.visit(world.askers[0], 6)) == TIGHT.in_flight


def test_an_answer_after_the_latest_arrival_costs_no_pace(redis_client: redis.Redis) -> None:
    """With `late_seconds` the slot was free before; the answer must not take it again."""
    world = World(redis_client, [LimitTerms("x", ((1, 1.0),), 50, 5.0, 0.5, late_seconds=0.1)], 0)
    (asker,) = world.askers
    play(world, [("ask", 0, 1), ("wait", 9_000_000, None)])
    assert len(world.visit(asker, 1)) == 1
    play(world, [("wait", 2_000_000, None), ("answered", 0, 0)])

    (next_one,) = world.visit(asker, 1)

    assert next_one.start == world.now


def test_a_clock_that_was_set_back_holds_nobody_up_for_as_long(redis_client: redis.Redis) -> None:
    """Also where all who saw the clock before are gone, so that the script alone can find out."""
    world = World(redis_client, [ONE], 0)
    play(world, busy(5, 1))
    world.offset -= 3600 * SECOND
    world.forget_flights()
    world.kill(0)
    before = len(world.sent)

    play(world, busy(1.7, 1))
    assert len(world.sent) == before, "lapse, what is granted ahead, and the window: 1.9 s to be sure"
    play(world, busy(0.5, 1))

    assert len(world.sent) > before


def test_what_was_granted_ahead_counts_after_a_restart_too(redis_client: redis.Redis) -> None:
    """Redis has forgotten two permits that start after its restart and are never answered."""
    world = World(redis_client, [ONE], 0)
    play(world, AHEAD)
    assert [each.start > world.now for each in world.sent] == [True, True]

    play(world, [("restart", True, None), *[("ask", 0, 2), ("wait", 5_000, None)] * 400])

    assert len(world.sent) > 2


def test_the_numbers_of_who_left_hold_for_ten_seconds_more(redis_client: redis.Redis) -> None:
    """Its requests may still be on their way, and it may come back."""
    world = World(redis_client, [ONE, BOTH], 0)
    play(world, busy(10))
    before = len(world.sent)

    play(world, busy(9.5, 1))

    assert before < len(world.sent)


def test_a_redis_far_away_costs_one_sender_no_pace(redis_client: redis.Redis) -> None:
    """Its own requests it knows by its own clock; what others sent counts as late as it may have been."""
    ends = []
    for askers in (1, 2):
        world = World(redis_client, [ONE] * askers, 0, ways=[(50_000, 100_000), (0, 0)])
        play(world, [("ask", 0, 1), ("wait", 5_000_000, None)])
        assert len(world.visit(world.askers[-1], 2)) == 2
        world.wait(350_000)
        answered = world.now
        world.settle(world.askers[-1], 0, "answered")
        world.settle(world.askers[-1], 0, "answered")
        world.visit(world.askers[-1], 0)
        world.wait(50_000 if askers == 1 else 110_000)  # until the next start is near enough to be granted

        (next_one,) = world.visit(world.askers[0], 1)

        ends.append(next_one.start - answered)
    assert ends == [pytest.approx(402_000, abs=100), pytest.approx(402_000 + 100_000, abs=100)]


def test_starts_come_evenly_and_one_late_start_is_made_up_for(redis_client: redis.Redis) -> None:
    """At ten a second starts are 80 ms apart; whoever asks late finds the start that was left, and no burst."""
    world = World(redis_client, [LimitTerms("x", ((10, 1.0),), 50, 1.0, 0.5)], 0, even=True)
    (asker,) = world.askers
    play(world, [("ask", 0, 1), ("wait", 9_000_000, None)])

    begin = [sent.start - world.now for sent in world.visit(asker, 6)]
    world.wait(240_000)
    late = [sent.start - world.now for sent in world.visit(asker, 6)]
    world.wait(80_000)
    in_time = [sent.start - world.now for sent in world.visit(asker, 6)]

    assert (begin, late, in_time) == ([0, 0, 80_000], [0, 0, 80_000], [80_000])
