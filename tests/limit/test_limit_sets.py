"""Several limits over one request, units, values and the calendar against brute force and moved clocks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flows.limit.calendar import begins
from flows.limit.places import Place, Places, bounding, value_name
from flows.limit.script import Alike, Form, Keys, Report, Visit
from flows.records import LimitTerms
from tests.limit.test_limit_rule import GAP, HISTORIES, MOVED, SECOND, redis_client

__all__ = ["redis_client"]

ACCOUNT = LimitTerms("account", ((4, 0.5),), 40, 0.5, 0.5)
ENDPOINT = LimitTerms("endpoint", ((3, 0.4), (12, 3.0)), 5, 0.5, 0.2)
POINTS = LimitTerms("points", ((20, 0.8),), 40, 0.5, 0.5, units=True)
DEAR = LimitTerms("points", ((20, 0.8), (90, 70.0)), 40, 0.5, 0.5, units=True)
CHAT = LimitTerms("chat {chat}", ((1, 0.3), (3, 2.0)), 2, 0.5, 0.5)
MINUTE = LimitTerms("minute", (), 40, 0.5, 0.5, calendar=((9, "minute UTC"),))
DAY = LimitTerms("day", ((3, 0.5),), 40, 0.5, 0.5, units=True, calendar=((40, "day Europe/Berlin"),))
SETS = (
    (ACCOUNT, ENDPOINT),
    (ACCOUNT, CHAT),
    (POINTS,),
    (ACCOUNT, DEAR, CHAT),
    (MINUTE, ACCOUNT),
    (DAY,),
    (CHAT,),
    (ENDPOINT, MINUTE, POINTS),
)
CHATS = ("ann", "bob", "cid")


@dataclass(eq=False)
class Sent:
    """A request that may go: `until` is the latest moment at which the receiver can count it, by limit."""

    id: str
    start: int
    places: Places
    terms: tuple[LimitTerms, ...]
    until: dict[str, int]
    done: bool = False

    def cost(self, limit: str, value: str) -> int:
        """What it costs under a limit; 0 where it has no place under it."""
        return sum(
            place.cost for place in self.places if self.terms[place.limit].name == limit and place.value == value
        )


@dataclass(eq=False)
class Asker:
    """A process that asks for places under all of its limits at once."""

    terms: tuple[LimitTerms, ...]
    token: str
    offset: int | None = None
    trusted: int = 0
    jumped: bool = False
    before: int = 0  # the offset of the clock before it jumped
    next_id: int = 1
    reports: list[Report] = field(default_factory=list)
    open: list[Sent] = field(default_factory=list)


class World:
    """True time, a Redis with a clock of its own, and all that was ever sent. Times in µs."""

    def __init__(self, client: redis.Redis, sets: Sequence[tuple[LimitTerms, ...]], loss: int) -> None:
        client.flushall()
        self.client, self.loss = client, loss
        self.sha = client.script_load(MOVED.replace(GAP, "0"))
        self.now, self.offset, self.run = 1_700_000_000 * SECOND, 0, 0
        self.tokens = itertools.count()
        self.askers = [Asker(each, f"t{next(self.tokens)}.") for each in sets]
        self.sent: list[Sent] = []
        self.flights_known_since = self.now
        self.paused: dict[tuple[str, str], int] = {}

    def places(self, asker: Asker, chat: int, cost: int) -> Places:
        """Those of a request."""
        return tuple(
            Place(at, value_name(CHATS[chat]) if each.is_family else "", cost if each.units else 1)
            for at, each in enumerate(asker.terms)
        )

    def visit(self, asker: Asker, wanted: int, demands: Sequence[tuple[int, int]]) -> list[Sent]:
        """Ask, check every grant, and return what may be sent. `demands`: (chat, cost) of each request."""
        theirs = self.now + self.offset
        server = {"s": theirs // SECOND, "us": theirs % SECOND, "info": f"# Server\r\nrun_id:run{self.run}\r\n"}
        self.client.hset("test:server", mapping=server)
        places = [self.places(asker, chat, cost) for chat, cost in demands]
        reports = [(report, report.number(self.now / SECOND)) for report in asker.reports]
        for report in asker.reports:
            for place in report.places if report.kind == "p" else ():
                at = asker.terms[place.limit].name, place.value
                self.paused[at] = max(self.paused.get(at, 0), round(report.moment * SECOND))
        if asker.jumped:
            self.flights_known_since = self.now
        asker.reports = []
        visit = Visit(
            wanted=wanted,
            prefix=asker.token,
            first=asker.next_id,
            jumped=asker.jumped,
            trusted=(self.now + asker.before if asker.jumped else asker.trusted) / SECOND,
            away=0.0,
            own_earlier=0.0,
            moment=theirs / SECOND,
            demands=[Alike(1, each) for each in places],
            reports=reports,
        )
        keys, args = Form(asker.terms, asker.token).filled(visit, self.loss)
        raw: Any = self.client.evalsha(self.sha, len(keys), *keys, *args)
        asker.jumped = False
        starts = raw[-1]
        assert len(starts) == len(demands)
        assert sum(start >= 0 for start in starts) <= wanted
        granted = [
            (f"{asker.token}{asker.next_id + at}", start, places[at]) for at, start in enumerate(starts) if start >= 0
        ]
        asker.next_id += len(demands)
        if asker.offset is not None and abs(self.offset - asker.offset) > 2000:
            asker.jumped, asker.before, asker.offset = True, asker.offset, self.offset
            asker.reports += [Report("u", id, places=each) for id, _, each in granted]
            asker.token = f"t{next(self.tokens)}."
            return []
        asker.offset, asker.trusted = self.offset, theirs
        return [self.grant(asker, id, self.now + start, each) for id, start, each in granted]

    def grant(self, asker: Asker, id: str, start: int, places: Places) -> Sent:
        """Count it, if brute force agrees that nothing can overflow under any of its limits."""
        for place in places:
            terms = asker.terms[place.limit]
            name = terms.name
            assert start >= self.paused.get((name, place.value), 0) - 2, "granted in a pause"
            mine = [(each, each.cost(name, place.value)) for each in self.sent]
            for most, seconds in self.windows(name):
                young = sum(cost for each, cost in mine if cost and each.until[name] > start - seconds * SECOND)
                assert young + place.cost <= most, f"{name}: {young} + {place.cost} in {seconds} s, {most} may"
            for most, period in terms.calendar:
                self.hold_period(
                    mine, place.cost, start, start + round(terms.lapse_seconds * SECOND), most, period, name
                )
            flying = sum(
                1
                for each, _ in mine
                if any(each.terms[at.limit].name == name and at.value == place.value for at in each.places)
                and not each.done
                and each.start + round((terms.lapse_seconds + terms.max_timeout_seconds) * SECOND) > self.now
            )
            if self.now - self.flights_known_since > 5 * SECOND:
                assert flying < terms.in_flight, f"{name}: {flying + 1} fly at once, {terms.in_flight} may"
        until = {each.name: start + round(each.lapse_seconds * SECOND) for each in asker.terms}
        sent = Sent(id, start, places, asker.terms, until)
        self.sent.append(sent)
        asker.open.append(sent)
        return sent

    def windows(self, name: str) -> set[tuple[int, float]]:
        """Those of everybody who uses the limit: nobody here stays away for long enough to be forgotten."""
        here = [each for asker in self.askers for each in asker.terms if each.name == name]
        return {window for each in here for window in each.windows}

    def hold_period(
        self, mine: list[tuple[Sent, int]], cost: int, start: int, until: int, most: int, period: str, name: str
    ) -> None:
        """In every period that it can arrive in, the receiver's clock up to 5 s off, no more can have arrived."""
        bounds = [each - self.offset for each in begins(period, (start + self.offset) / SECOND)]
        for begin, end in itertools.pairwise([*bounds, 1 << 62]):
            if start >= end + 5 * SECOND or until < begin - 5 * SECOND:
                continue
            there = sum(
                each_cost for each, each_cost in mine
                if each_cost and each.start < end - 5 * SECOND and each.until[name] >= begin - 5 * SECOND
            )  # fmt: skip
            if start < end - 5 * SECOND and until >= begin - 5 * SECOND:
                assert there + cost <= most, f"{name}: {there} + {cost} in the {period}, {most} may"

    def settle(self, asker: Asker, index: int, how: str) -> None:
        """One open request is answered, lost, given up, or was not sent."""
        ready = [each for each in asker.open if (self.now <= each.start + 50_000) == (how == "unused")]
        if not ready:
            return
        sent = ready[index % len(ready)]
        asker.open.remove(sent)
        if how == "unused":
            self.sent.remove(sent)
            asker.reports.append(Report("u", sent.id, places=sent.places))
            return
        if how == "answered":
            if self.now > sent.start + 500_000:
                return
            sent.until = {name: min(until, self.now) for name, until in sent.until.items()}
            asker.reports.append(Report("a", sent.id, self.now / SECOND, sent.places))
        elif how == "given up":
            sent.until = {
                each.name: max(sent.until[each.name], self.now + round(each.grace_seconds * SECOND))
                for each in sent.terms
            }
            asker.reports.append(Report("g", sent.id, self.now / SECOND, sent.places))
            self.visit(asker, 0, [])
        sent.done = True
        asker.reports.append(Report("f", sent.id, places=sent.places))

    def kill(self, index: int) -> None:
        """kill -9, and a new process in its place."""
        for sent in self.askers[index].open:
            sent.done = True
        self.askers[index] = Asker(self.askers[index].terms, f"t{next(self.tokens)}.")

    def step(self, seconds: int) -> None:
        """Redis's clock is set; everybody with a history sees it, and of each limit there is somebody."""
        witnesses = [each for each in self.askers if each.offset is not None]
        seen = {terms.name for each in witnesses for terms in each.terms}
        if any(terms.name not in seen for each in self.askers for terms in each.terms):
            return
        self.offset += seconds * SECOND
        self.paused.clear()
        self.flights_known_since = self.now
        for each in witnesses:
            self.visit(each, 0, [])
            self.visit(each, 0, [])

    def restart(self, *, wipe: bool) -> None:
        """Redis dies and comes back, maybe empty."""
        self.run += 1
        if wipe:
            self.client.delete(*self.client.keys("rowrelay:*") or ["none"])
            self.flights_known_since = self.now
            self.paused.clear()


Story = list[tuple[Any, ...]]
which = st.integers(0, 2)
demand = st.tuples(st.integers(0, 2), st.integers(1, 20))
asks = st.tuples(st.just("ask"), which, st.integers(1, 6), st.lists(demand, min_size=1, max_size=8))
action = st.one_of(
    asks,
    asks,
    asks,
    st.tuples(st.just("wait"), st.sampled_from([3_000, 40_000, 150_000, 400_000, 1_000_000])),
    st.tuples(st.just("wait"), st.integers(1, 2_500_000)),
    *(
        st.tuples(st.just(how), which, st.integers(0, 9))
        for how in ("answered", "answered", "unused", "lost", "given up")
    ),
    st.tuples(st.just("pause"), which, st.integers(0, 2), st.sampled_from([0.05, 0.8, 3.0])),
)
harm = st.one_of(
    st.tuples(st.just("kill"), which),
    st.tuples(st.just("step"), st.sampled_from([-7, -1, 1, 5, 30])),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([6_000_000, 61_000_000, 3_600_000_000])),
)


def play(world: World, story: Story) -> None:
    for kind, *rest in story:
        if kind == "wait":
            world.now += rest[0]
        elif kind == "step":
            world.step(rest[0])
        elif kind == "restart":
            world.restart(wipe=rest[0])
        else:
            index = rest[0] % len(world.askers)
            asker = world.askers[index]
            if kind == "ask":
                world.visit(asker, rest[1], rest[2])
            elif kind == "kill":
                world.kill(index)
            elif kind == "pause":
                place = world.places(asker, rest[1], 1)[rest[1] % len(asker.terms)]
                asker.reports.append(Report("p", "429", world.now / SECOND + rest[2], (place,)))
            else:
                world.settle(asker, rest[1], kind)
        # Whoever is here stays here, so that its numbers remain in force.
        if kind == "wait" and rest[0] > 5 * SECOND:
            for each in world.askers:
                world.visit(each, 0, [])


def busy(seconds: float, askers: int = 1, cost: int = 3, pace: float = 0.1) -> Story:
    """Everybody asks all the time, for all chats, and is answered after `pace` seconds."""
    asked = [(chat % 3, cost) for chat in range(6)]
    turn = [step for n in range(askers) for step in (*[("answered", n, 0)] * 4, ("ask", n, 4, asked))]
    return [*turn, ("wait", round(pace * SECOND))] * round(seconds / pace)


crowds = st.lists(st.sampled_from(SETS), min_size=1, max_size=3)


@given(
    story=st.lists(st.one_of(action, action, action, harm), max_size=120), sets=crowds, loss=st.sampled_from([0, 5, -1])
)
@example(story=busy(12, 2), sets=[SETS[0], SETS[1]], loss=0)
@example(story=busy(12, 2, cost=7), sets=[SETS[3], SETS[2]], loss=0)
@example(story=[*busy(3), ("wait", 3_600_000_000), *busy(70, cost=5)], sets=[SETS[4]], loss=0)
@example(story=[*busy(90, cost=5), ("restart", True), *busy(90, cost=5)], sets=[SETS[3]], loss=-1)
@example(story=[*busy(5), ("step", -30), *busy(5), ("step", 30), *busy(5)], sets=[SETS[1], SETS[6]], loss=0)
@example(story=[*busy(5), ("step", -30), *busy(70), ("step", 30), *busy(70)], sets=[SETS[4], SETS[5]], loss=0)
@example(story=[*busy(4), *[("ask", 0, 6, [(0, 20)]), ("wait", 100_000)] * 30], sets=[SETS[2]], loss=0)
@example(story=[("kill", 0), ("step", 1), ("ask", 0, 1, [(0, 1)])], sets=[SETS[0], SETS[2]], loss=0)
@settings(max_examples=HISTORIES, suppress_health_check=list(HealthCheck))
def test_no_grant_can_overflow_any_of_its_limits(
    redis_client: redis.Redis, story: Story, sets: list[tuple[LimitTerms, ...]], loss: int
) -> None:
    world = World(redis_client, sets, loss)
    play(world, busy(8, len(sets)))
    play(world, story)


def warm(redis_client: redis.Redis, *terms: LimitTerms) -> tuple[World, Asker]:
    """A world where these limits have been known for long enough."""
    world = World(redis_client, [terms], 0)
    (asker,) = world.askers
    play(world, [("ask", 0, 1, [(0, 1)]), ("wait", 30 * SECOND), ("wait", 30 * SECOND), ("wait", 30 * SECOND)])
    world.sent.clear()
    asker.open.clear()
    return world, asker


def test_a_request_gets_all_of_its_places_or_none(redis_client: redis.Redis) -> None:
    """The endpoint is full after three: of the account no place is taken for the others."""
    world, asker = warm(redis_client, ACCOUNT, ENDPOINT)

    assert len(world.visit(asker, 6, [(0, 1)] * 6)) == 3

    held = [redis_client.zcard(Keys.of(name).log) - 1 for name in ("account", "endpoint")]
    assert held == [3, 3]


def test_a_request_starts_when_the_last_of_its_limits_allows_it(redis_client: redis.Redis) -> None:
    """Of the account a place is free; the endpoint's window ends 0.4 s after the answers."""
    world, asker = warm(redis_client, ACCOUNT, ENDPOINT)
    world.visit(asker, 3, [(0, 1)] * 3)
    world.now += 200_000
    for _ in range(3):
        world.settle(asker, 0, "answered")
    answered = world.now
    world.now += 310_000

    (fourth,) = world.visit(asker, 1, [(0, 1)])

    assert answered + 402_000 <= fourth.start <= answered + 402_100


def test_one_value_that_is_full_does_not_hold_up_the_others(redis_client: redis.Redis) -> None:
    world, asker = warm(redis_client, CHAT)

    sent = world.visit(asker, 9, [(0, 1), (0, 1), (1, 1), (0, 1), (2, 1), (1, 1)])

    assert [CHATS.index(chat) for each in sent for chat in CHATS if each.places[0].value == value_name(chat)] == [
        0,
        1,
        2,
    ]


def test_what_one_visit_grants_is_under_way_at_once_and_in_the_next_one(redis_client: redis.Redis) -> None:
    """The windows would let four of ann's requests start now; two may be under way."""
    world, asker = warm(redis_client, LimitTerms("chat {chat}", ((4, 1.0),), 2, 0.5, 0.5))

    sent = world.visit(asker, 9, [(0, 1)] * 4 + [(1, 1)])

    assert [each.places[0].value for each in sent] == [value_name(CHATS[at]) for at in (0, 0, 1)]
    assert world.visit(asker, 1, [(0, 1)]) == []


def test_a_new_value_waits_for_nothing_where_its_limit_is_known(redis_client: redis.Redis) -> None:
    world, asker = warm(redis_client, CHAT)

    (sent,) = world.visit(asker, 1, [(2, 1)])

    assert sent.start == world.now


def test_what_is_known_of_a_value_is_gone_when_it_is_idle(redis_client: redis.Redis) -> None:
    world, asker = warm(redis_client, CHAT)
    world.visit(asker, 1, [(2, 1)])

    log, flights, _ = Keys.of(CHAT.name).slot(value_name("cid"))
    hours = [redis_client.pttl(key) / 3_600_000 for key in (log, flights)]  # type: ignore[operator]

    assert all(1 <= each < 1.1 for each in hours)


def test_a_pause_of_one_value_leaves_the_others_alone(redis_client: redis.Redis) -> None:
    world, asker = warm(redis_client, ACCOUNT, CHAT)
    asker.reports.append(Report("p", "429", world.now / SECOND + 2, (Place(1, value_name("ann")),)))

    sent = world.visit(asker, 2, [(0, 1), (1, 1)])

    assert [each.places[1].value for each in sent] == [value_name("bob")]
    world.now += 2_100_000
    assert len(world.visit(asker, 1, [(0, 1)])) == 1


def test_a_dear_request_waits_for_its_units_and_is_not_overtaken(redis_client: redis.Redis) -> None:
    world, asker = warm(redis_client, POINTS)
    assert len(world.visit(asker, 3, [(0, 8), (0, 8), (0, 8)])) == 2

    assert world.visit(asker, 2, [(0, 8), (0, 1)]) == [], "the cheap one stands behind"

    assert len(world.visit(asker, 1, [(0, 4)])) == 1


def test_the_answer_to_a_dear_request_is_what_its_units_count_from(redis_client: redis.Redis) -> None:
    world, asker = warm(redis_client, POINTS)
    world.visit(asker, 1, [(0, 20)])
    world.now += 100_000
    world.settle(asker, 0, "answered")
    world.now += 820_000

    assert len(world.visit(asker, 1, [(0, 20)])) == 1


def test_a_clock_that_was_set_back_holds_no_value_up_for_as_long(redis_client: redis.Redis) -> None:
    world, asker = warm(redis_client, CHAT)
    world.visit(asker, 1, [(0, 1)])
    world.step(-60)
    began = world.now
    while not world.visit(asker, 1, [(0, 1)]):
        world.now += SECOND // 4
        assert world.now < began + 10 * SECOND


def test_a_request_dearer_than_others_numbers_allow_is_refused(redis_client: redis.Redis) -> None:
    """Another pipeline states fewer units under the same name: both hold."""
    few = LimitTerms("points", ((5, 0.8),), 40, 0.5, 0.5, units=True)
    world = World(redis_client, [(POINTS,), (few,)], 0)
    play(world, busy(4, 2, cost=1))

    assert world.visit(world.askers[0], 1, [(0, 6)]) == []


def test_a_period_of_the_calendar_begins_anew(redis_client: redis.Redis) -> None:
    """Nine a minute, all at once; then none until the next minute has surely begun, by whoever's clock."""
    world, asker = warm(redis_client, MINUTE)
    minute = 60 * SECOND
    world.now = (world.now // minute + 2) * minute + 6 * SECOND
    play(world, [("wait", 0)])
    assert len(world.visit(asker, 12, [(0, 1)] * 12)) == 9
    for each in list(asker.open):
        world.now = max(world.now, each.start + 51_000)
        world.settle(asker, 0, "answered")
    begin = world.now // minute * minute
    for seconds in (30, 59, 62, 64):
        world.now = begin + seconds * SECOND
        assert world.visit(asker, 1, [(0, 1)]) == []

    world.now = begin + 65 * SECOND

    assert len(world.visit(asker, 12, [(0, 1)] * 12)) == 9


QUOTA = LimitTerms("quota", (), 40, 0.5, 0.5, calendar=((5, "day UTC"),))
MIDNIGHT = 1_700_179_200 * SECOND


@pytest.mark.parametrize(
    ("used", "set_at", "by", "left"),
    [
        (-7200, 3600, 30, 5),  # yesterday by either clock
        (-7200, 3600, -30, 5),
        (1800, 3600, 30, 0),  # today
        (1800, 3600, -30, 0),
        (-40, 3600, 60, 0),  # today by the clock as it has been set, which is the right one
        (-40, 3600, -60, 5),
        (-7200, 3600, 3 * 3600, 0),
    ],
)
def test_a_step_of_the_clock_charges_a_quota_with_its_own_day(
    redis_client: redis.Redis, used: int, set_at: int, by: int, left: int
) -> None:
    world, asker = warm(redis_client, QUOTA)
    for hours in (-36, -24, -12):
        world.now = MIDNIGHT + hours * 3600 * SECOND
        world.visit(asker, 0, [])
    world.now = MIDNIGHT + used * SECOND
    for _ in range(5):
        assert len(world.visit(asker, 1, [(0, 1)])) == 1
        world.now = asker.open[0].start + 60_000
        world.settle(asker, 0, "answered")
    world.visit(asker, 0, [])
    world.now = MIDNIGHT + set_at * SECOND
    world.visit(asker, 0, [])

    world.step(by)
    world.now += 10 * SECOND

    assert len(world.visit(asker, 9, [(0, 1)] * 9)) == left


def test_the_begins_of_days_are_those_of_the_zone() -> None:
    """The clocks of Berlin were put back on 2026-10-25: that day has 25 hours."""
    noon = 1_792_926_000.0  # 2026-10-25 09:00 in Berlin

    found = [moment / SECOND for moment in begins("day Europe/Berlin", noon)]

    assert [later - earlier for earlier, later in itertools.pairwise(found)] == [86_400, 90_000, 86_400]
    assert [moment / SECOND for moment in begins("month UTC", noon)][1] == 1_790_812_800  # 2026-10-01
    assert [moment / SECOND for moment in begins("week UTC", noon)][1] % 604_800 == 345_600  # a Monday


def test_a_budget_that_was_told_is_spread_over_its_time(redis_client: redis.Redis) -> None:
    """Ten more within 30 s: one every 3 s, for everybody; after that the limit alone counts."""
    world, asker = warm(redis_client, ACCOUNT)
    began = world.now
    world.visit(asker, 1, [(0, 1)])
    asker.reports.append(Report("r", "10", world.now / SECOND + 30))
    while world.now < began + 30 * SECOND:
        world.now += 50_000
        world.visit(asker, 1, [(0, 1)])
        for each in list(asker.open):
            if world.now > each.start + 50_000:
                world.settle(asker, asker.open.index(each), "answered")
    starts = [each.start - began for each in world.sent if each.start < began + 29.9 * SECOND]

    assert starts == pytest.approx([each * 3 * SECOND for each in range(len(starts))], abs=100_000)
    assert len(starts) == 10
    world.now = began + 33 * SECOND
    assert len(world.visit(asker, 3, [(0, 1)] * 3)) >= 2


def test_a_budget_never_makes_it_quicker(redis_client: redis.Redis) -> None:
    world, asker = warm(redis_client, ACCOUNT)
    asker.reports.append(Report("r", "1000000", world.now / SECOND + 1))

    assert len(world.visit(asker, 9, [(0, 1)] * 9)) == 4


def test_what_several_limits_allow_together() -> None:
    both = bounding([ACCOUNT, ENDPOINT])

    assert (both.windows, both.in_flight) == (((3, 0.4), (4, 0.5), (12, 3.0)), 5)
    assert bounding([POINTS], [3]).windows == ((6, 0.8),)
    assert bounding([CHAT, ACCOUNT]).windows == ((4, 0.5),)
    assert bounding([DAY], [1]).windows == ((3, 0.5), (40, 86_400.0))
    assert bounding([ACCOUNT]) is ACCOUNT


def test_a_pause_of_a_value_is_not_cut_short_by_a_shorter_one(redis_client: redis.Redis) -> None:
    world, asker = warm(redis_client, ACCOUNT, CHAT)
    place = (Place(1, value_name("ann")),)
    asker.reports += [Report("p", "429", world.now / SECOND + seconds, place) for seconds in (30, 1)]
    world.visit(asker, 0, [])
    world.now += 2 * SECOND

    assert world.visit(asker, 1, [(0, 1)]) == []


def test_a_budget_does_not_quicken_what_another_one_has_slowed(redis_client: redis.Redis) -> None:
    world, asker = warm(redis_client, ACCOUNT)
    asker.reports.append(Report("r", "0", world.now / SECOND + 60))
    world.visit(asker, 0, [])
    asker.reports.append(Report("r", "10", world.now / SECOND + 2))
    world.visit(asker, 0, [])
    world.now += 3 * SECOND

    assert world.visit(asker, 3, [(0, 1)] * 3) == []


def test_the_slower_of_two_budgets_is_the_pace(redis_client: redis.Redis) -> None:
    world, asker = warm(redis_client, ACCOUNT)
    for left, seconds in (("10", 60), ("100", 2)):
        asker.reports.append(Report("r", left, world.now / SECOND + seconds))
        world.visit(asker, 0, [])
    assert len(world.visit(asker, 1, [(0, 1)])) == 1
    world.now += 1 * SECOND

    assert world.visit(asker, 3, [(0, 1)] * 3) == []


def test_a_dear_request_is_not_starved_by_the_cheap_ones_of_others(redis_client: redis.Redis) -> None:
    """Ten units in 0.8 s: one process asks for nine at once, another one for one again and again."""
    few = LimitTerms("points", ((10, 0.8),), 40, 0.5, 0.5, units=True)
    world = World(redis_client, [(few,), (few,)], 0)
    play(world, [("ask", 0, 1, [(0, 1)]), ("wait", 30 * SECOND), ("wait", 30 * SECOND)])
    starts = [0, 0]
    for _ in range(400):
        for index, (asker, cost) in enumerate(zip(world.askers, (9, 1), strict=True)):
            starts[index] += len(world.visit(asker, 2, [(0, cost)] * 2))
            for _ in range(4):
                world.settle(asker, 0, "answered")
        world.now += 50_000

    assert starts[0] >= 5, starts
    assert starts[1] >= 20, starts


def test_a_request_of_all_units_is_not_starved_by_a_crowd_that_takes_each_as_it_comes(
    redis_client: redis.Redis,
) -> None:
    most = LimitTerms("points", ((60, 0.8),), 400, 0.5, 0.5, units=True)
    world = World(redis_client, [(most,)] * 4, 0)
    play(world, [("ask", 0, 1, [(0, 1)]), ("wait", 30 * SECOND), ("wait", 30 * SECOND)])
    starts = [0] * 4
    for _ in range(200):  # ten seconds
        for index, asker in enumerate(world.askers):
            starts[index] += len(world.visit(asker, 20, [(0, 1)] * 20 if index else [(0, 60)]))
            for _ in range(8):
                world.settle(asker, 0, "answered")
        world.now += 50_000

    assert starts[0] >= 4, starts
    assert sum(starts[1:]) >= 100, starts


def test_a_longer_window_of_values_waits_until_nothing_unknown_can_count(redis_client: redis.Redis) -> None:
    """The log of a value ends some time after the longest window that was in force: of a longer one it knows less."""
    world, asker = warm(redis_client, CHAT)
    world.visit(asker, 1, [(0, 1)])
    asker.terms = (LimitTerms(CHAT.name, (*CHAT.windows, (4, 7200.0)), 2, 0.5, 0.5),)
    world.visit(asker, 0, [])
    began = world.now
    while world.now < began + 7300 * SECOND:
        world.now += 60 * SECOND
        if world.visit(asker, 1, [(1, 1)]):
            break

    assert world.now - began >= 7200 * SECOND


def test_a_longer_window_does_not_rely_on_what_was_known_of_values_that_were_idle(redis_client: redis.Redis) -> None:
    """What is known of a value ends an hour after its windows, so that a longer window may have missed its last one."""
    minute = LimitTerms(CHAT.name, ((3, 60.0),), 2, 0.5, 0.5)
    world, asker = warm(redis_client, minute)
    (last,) = world.visit(asker, 1, [(0, 1)])
    redis_client.delete(*Keys.of(CHAT.name).slot(value_name(CHATS[0])))  # as Redis does by itself
    world.now += 5000 * SECOND
    asker.terms = (LimitTerms(CHAT.name, (*minute.windows, (1, 7200.0)), 2, 0.5, 0.5),)
    world.visit(asker, 0, [])

    world.now = last.start + 7100 * SECOND
    while world.now < last.until[CHAT.name] + 7200 * SECOND:
        assert world.visit(asker, 1, [(0, 1)]) == []
        world.now += SECOND


def test_what_can_never_fit_holds_up_nobody(redis_client: redis.Redis) -> None:
    world, asker = warm(redis_client, POINTS)

    assert len(world.visit(asker, 2, [(0, 21), (0, 1)])) == 1
