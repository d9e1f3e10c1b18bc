"""The ledger against a real server: every transition, guard and counter, also in any order and repeated."""

from __future__ import annotations

import time

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from deployments.embedded.redis_server import RedisServer
from flows.errors import LedgerError, RunBusy, RunDeleted, RunNotFound, Superseded
from flows.ledger import keys
from flows.ledger.connection import connect, verify
from flows.ledger.erase import erase
from flows.ledger.ledger import Ledger
from flows.ledger.moves import TRANSITIONS, Answer, Claim, Found
from flows.ledger.view import View
from flows.records import Reason, Rejection, RowState, RunState
from tests.harness.examples import examples
from tests.harness.rows import NAMES, RUN, begin, claim, claim_parcels, outcome

W, S, A = RowState.WAITING, RowState.SENDING, RowState.ACCEPTED
D, F, U = RowState.DONE, RowState.FAILED, RowState.UNKNOWN


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    """A client of an empty database."""
    return connect(redis_url)


def state_of(view: View, row: int, run: str = RUN) -> RowState:
    """The state of one row, read both from its record and from the index; they must agree."""
    total = view.run(run).total
    recorded = view.records(run, [row], names=NAMES, created=0)[0].state
    (indexed,) = (state for state in RowState if view.bitmap(run, state, total)[row - 1])
    assert recorded is indexed
    return recorded


def test_a_row_goes_from_waiting_by_a_claim_to_done_with_what_was_kept(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)

    assert state_of(view, 3) is W
    assert claim(ledger, epoch, (3, 1)) == [0]
    assert state_of(view, 3) is S
    assert ledger.answer(RUN, [outcome(3, epoch, 1, D)]) == [D]

    record = view.records(RUN, [3], names=NAMES, created=0)[0]
    assert (record.state, record.kept, record.status, record.attempts) == (D, {"postId": 101}, 201, 1)
    assert view.run(RUN).counts == {W: 9, S: 0, A: 0, D: 1, F: 0, U: 0, RowState.REJECTED: 0}


# Every move that some call asks for, allowed or not.
MOVES = [
    *(("claim", source, S) for source in RowState),
    *(("again", source, S) for source in RowState),
    *(("answer", source, target) for source in (S, A, D, F, U) for target in (A, D, F, U, W)),
    *(("answer", W, target) for target in (A, D, F)),
    *(("settle", S, target) for target in (U, W)),
    *(("restore", source, target) for source in RowState for target in (A, D, F, U, W)),
    *(("resolve", source, target) for source in RowState for target in (A, D, F, U, W)),
    *(("resend", source, W) for source in RowState),
    *(("mark", source, D) for source in RowState),
    *(("restored", source, U) for source in RowState),
]


@pytest.mark.parametrize(("event", "source", "target"), MOVES)
def test_the_script_allows_exactly_what_the_table_allows(
    client: redis.Redis, event: str, source: RowState, target: RowState
) -> None:
    ledger, view, epoch = begin(client, rejected=(1,))
    row = 1 if source is RowState.REJECTED else 2
    if source not in (RowState.REJECTED, W):
        claim(ledger, epoch, (row, 1))
    if source in (A, D, F, U):
        ledger.answer(RUN, [outcome(row, epoch, 1, source)])
    assert state_of(view, row) is source

    match event:
        case "claim":
            claim(ledger, epoch, (row, 2))
        case "again":
            claim(ledger, epoch, (row, 2), memory=3600)
        case "answer" if source is W:
            claim(ledger, epoch, (row, 1))
            ledger.answer(RUN, [outcome(row, epoch, 1, U)])
            ledger.resend(RUN, epoch, ledger.request(RUN, "r1"), [row])
            ledger.answer(RUN, [outcome(row, epoch, 1, target)])
        case "answer":
            ledger.answer(RUN, [outcome(row, epoch, 1, target)])
        case "restore":
            ledger.answer(RUN, [outcome(row, epoch, 9, target)])
        case "settle":
            if target is W:  # of steps none that writes had begun
                ledger.facts(RUN, epoch=epoch, steps=True)
            ledger.end(RUN, epoch, RunState.STOPPED)
            client.zadd(keys.run_key(RUN) + ":sending", {row: 0})
            ledger.renew(RUN, ledger.take(RUN, "other", resume=True))
        case "resolve":
            at = (1 if source in (S, A, D, F, U) else 0, 1 if source in (S, A, D, F, U) else 0)
            ledger.resolve(RUN, epoch, [Found(row, at[0] and epoch, at[1], target, b"", b"")])
        case "resend":
            ledger.resend(RUN, epoch, ledger.request(RUN, "r1"), [row])
        case "mark":
            ledger.mark_done(RUN, [row], by="me")
        case "restored":
            ledger.restored(RUN, [row])

    allowed = target in TRANSITIONS[event].get(source, frozenset())
    also = event == "again" and source is W  # a claim that may come from unknown may come from waiting as well
    assert state_of(view, row) is (target if allowed or also else source)
    assert sum(view.run(RUN).counts.values()) == view.run(RUN).total


def test_every_move_of_the_table_is_asked_for_above() -> None:
    table = {
        (event, source, target) for event, moves in TRANSITIONS.items() for source in moves for target in moves[source]
    }
    assert table <= set(MOVES)


def test_a_parcel_goes_whole_or_not_at_all(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client, rejected=(1,))
    claim(ledger, epoch, (2, 1))
    ledger.answer(RUN, [outcome(2, epoch, 1, D)])

    answers = claim_parcels(ledger, epoch, ((1, 3), 2), ((2, 4, 5), 3), ((6, 7, 8), 4), ((9,), 5))

    assert answers == [[-1, -2], [-1, -2, -2], [0, 0, 0], [0]]
    assert view.select(RUN, [S], 10).tolist() == [6, 7, 8, 9]
    assert view.run(RUN).counts[S] == 4
    assert claim_parcels(ledger, epoch, ((6, 7, 8), 4)) == [[0, 0, 0]], "the reply to this very claim was lost"
    assert claim_parcels(ledger, epoch, ((6, 7), 6)) == [[-1, -1]]
    assert sum(view.run(RUN).counts.values()) == 10


def test_a_row_knows_the_parcel_in_which_it_went_and_one_that_went_alone_costs_nothing(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1), (2, 2))
    assert not client.exists(keys.run_key(RUN) + ":parcels")

    claim_parcels(ledger, epoch, ((3, 4), 3), ((7, 5, 6), 4))

    assert [view.parcel(RUN, row) for row in range(1, 9)] == [[1], [2], [3, 4], [3, 4], *[[7, 5, 6]] * 3, [8]]
    ledger.end(RUN, epoch, RunState.STOPPED)
    erase(ledger.client, RUN)
    assert not client.keys(keys.run_key(RUN) + "*")


@pytest.mark.parametrize("asked", [False, True], ids=["again", "a person asked"])
def test_rows_in_doubt_are_sent_again_in_the_very_parcel_in_which_they_went(client: redis.Redis, asked: bool) -> None:
    """The API knows it by the key of these rows in this order; another one would be acted on a second time."""
    ledger, view, epoch = begin(client)
    claim_parcels(ledger, epoch, ((1, 2, 3), 1), ((4,), 2))
    ledger.answer(RUN, [outcome(row, epoch, 2 if row == 4 else 1, U) for row in (1, 2, 3, 4)])
    if asked:
        ledger.resend(RUN, epoch, ledger.request(RUN, "r1"), [1, 2, 3, 4])

    others = ((1,), 3), ((2, 3), 4), ((3, 2, 1), 5), ((1, 2, 3, 4), 6), ((4, 5), 7)
    assert all(max(answers) < 0 for answers in claim_parcels(ledger, epoch, *others, memory=3600))
    assert claim_parcels(ledger, epoch, ((1, 2, 3), 8), ((4,), 9), memory=3600) == [[0, 0, 0], [0]]

    assert view.select(RUN, [S], 10).tolist() == [1, 2, 3, 4]
    ledger.answer(RUN, [outcome(row, epoch, 8, U) for row in (1, 2, 3)])
    assert claim_parcels(ledger, epoch, ((1, 2, 3), 10), memory=3600) == [[0, 0, 0]]


def test_rows_on_which_nothing_was_done_travel_in_any_other_parcel(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim_parcels(ledger, epoch, ((1, 2, 3, 4), 1))
    ledger.answer(RUN, [outcome(row, epoch, 1, W, idle=True) for row in (1, 2, 3, 4)])

    assert claim_parcels(ledger, epoch, ((1, 2), 2), ((4, 5), 3)) == [[0, 0], [0, 0]]
    assert [view.parcel(RUN, row) for row in (1, 4)] == [[1, 2], [4, 5]]


def test_more_parcels_than_one_call_takes_are_claimed_in_several(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client, total=5000)
    parcels = [(tuple(range(first, first + 7)), first) for first in range(1, 4900, 7)]

    answers = claim_parcels(ledger, epoch, *parcels)

    assert answers == [[0] * 7] * len(parcels)
    assert view.run(RUN).counts[S] == 4900


def test_two_who_believe_they_own_a_run_never_both_get_a_row(client: redis.Redis) -> None:
    ledger, _, zombie = begin(client)
    client.hset(keys.run_key(RUN), "lease", "0")  # its lease has lapsed
    heir = ledger.take(RUN, "heir", resume=True)

    assert ledger.claim(RUN, zombie, [Claim((1,), 1)], patience_seconds=1, idempotency_seconds=0) == ("superseded", [])
    assert claim(ledger, heir, (1, 2)) == [0]
    assert claim(ledger, heir, (1, 3)) == [-1]


def test_a_claim_that_comes_after_its_own_outcome_takes_nothing(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    assert claim(ledger, epoch, (1, 1)) == [0]
    ledger.answer(RUN, [outcome(1, epoch, 1, W)])

    assert claim(ledger, epoch, (1, 1)) == [-1]
    assert view.run(RUN).counts[S] == 0
    assert claim(ledger, epoch, (1, 2)) == [0]


def test_the_same_claim_asked_again_after_a_lost_reply_is_granted_again(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)

    assert claim(ledger, epoch, (1, 7)) == claim(ledger, epoch, (1, 7)) == [0]
    assert view.records(RUN, [1], names=NAMES, created=0)[0].attempts == 1


def test_the_outcome_of_the_latest_claim_is_taken_also_from_an_old_epoch(client: redis.Redis) -> None:
    ledger, view, old = begin(client)
    claim(ledger, old, (1, 1), patience=0)
    client.hset(keys.run_key(RUN), "lease", "0")
    heir = ledger.take(RUN, "heir", resume=True)
    ledger.renew(RUN, heir)
    assert state_of(view, 1) is U

    assert ledger.answer(RUN, [outcome(1, old, 1, D)]) == [D]
    assert state_of(view, 1) is D


def test_an_outcome_is_refused_where_a_newer_claim_exists(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, W)])
    claim(ledger, epoch, (1, 2))

    assert ledger.answer(RUN, [outcome(1, epoch, 1, D)]) == [None]
    assert state_of(view, 1) is S


def test_an_outcome_said_twice_counts_once(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))

    for _ in range(3):
        assert ledger.answer(RUN, [outcome(1, epoch, 1, F)]) == [F]
    assert view.run(RUN).counts[F] == 1
    assert view.chart(RUN)[1000] == {"sent": 1}


def test_a_row_that_backs_off_is_not_claimed_before_its_time(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, W, wait=60)])

    assert claim(ledger, epoch, (1, 2)) == [-2]


def test_nothing_is_claimed_of_a_run_that_somebody_wished_to_end(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)

    ledger.cancel(RUN, "ops")

    assert ledger.claim(RUN, epoch, [Claim((1,), 1)], patience_seconds=1, idempotency_seconds=0)[0] == "cancelled"


def test_a_resend_moves_each_row_once_and_gives_failed_rows_a_new_key(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)
    claim(ledger, epoch, (1, 1), (2, 2))
    ledger.answer(RUN, [outcome(1, epoch, 1, F), outcome(2, epoch, 2, U)])
    request = ledger.request(RUN, "first")
    assert ledger.request(RUN, "first") == request

    assert ledger.resend(RUN, epoch, request, [1, 2, 3]) == 2
    assert claim(ledger, epoch, (1, 3), (2, 4)) == [1, 0]
    ledger.answer(RUN, [outcome(1, epoch, 3, F)])
    assert ledger.resend(RUN, epoch, request, [1]) == 0
    assert ledger.resend(RUN, epoch, ledger.request(RUN, "second"), [1]) == 1


def test_an_unknown_row_is_not_sent_again_once_the_api_may_have_forgotten_its_key(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, U)])
    created = int(client.hget(keys.run_key(RUN), "created") or 0)
    client.hset(keys.run_key(RUN), "created", created - 3_600_000)  # as if all of it were an hour older

    assert claim(ledger, epoch, (1, 2), memory=1800) == [-1]
    assert claim(ledger, epoch, (1, 2), memory=7200) == [0]


def test_the_api_s_memory_of_a_key_counts_from_its_first_use(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, U)])
    age(client, 1000)
    assert claim(ledger, epoch, (1, 2), memory=1800) == [0]
    ledger.answer(RUN, [outcome(1, epoch, 2, U)])
    age(client, 1000)

    assert claim(ledger, epoch, (1, 3), memory=1800) == [-1]


def test_a_claim_that_is_taken_back_unheard_does_not_renew_the_memory_of_a_key(client: redis.Redis) -> None:
    """Redis never heard of the claim; that its row was not sent after all is all that it is told."""
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, U)])
    age(client, 1000)

    back = replace(outcome(1, epoch, 2, W, idle=True), sent_second=None)
    assert ledger.answer(RUN, [back]) == [U]

    assert claim(ledger, epoch, (1, 3), memory=900) == [-1]
    assert view.records(RUN, [1], names=NAMES, created=0)[0].attempts == 1


def test_an_unheard_attempt_of_a_row_in_doubt_does_not_renew_the_memory_of_a_key(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, U)])
    age(client, 1000)

    assert ledger.answer(RUN, [outcome(1, epoch, 2, U)]) == [U]

    assert claim(ledger, epoch, (1, 3), memory=900) == [-1]
    assert view.records(RUN, [1], names=NAMES, created=0)[0].attempts == 2


@pytest.mark.parametrize("state", [U, W, D, F])
def test_a_claim_that_has_had_its_outcome_takes_nothing_when_it_is_asked_again(
    client: redis.Redis, state: RowState
) -> None:
    """Who finds Redis restarted claims again what was under way a moment ago."""
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, state)])

    assert claim(ledger, epoch, (1, 1), memory=3600) == [-1]
    assert state_of(view, 1) is state


def test_so_many_rows_as_anybody_may_have_under_way_are_claimed(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client, total=10_000)

    assert claim(ledger, epoch, *((row, row) for row in range(1, 10_001))) == [0] * 10_000
    assert view.run(RUN).counts[S] == 10_000


def test_the_claim_numbers_of_a_run_last_for_a_hundred_thousand_openings(client: redis.Redis) -> None:
    ledger, _, _ = begin(client)
    first, second = ledger.serials(RUN), ledger.serials(RUN)

    assert 0 < second - first < 2**32 // 100_000  # a row's record has 32 bits for them


def test_a_run_begins_by_the_clock_of_redis(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows' times count from then on, and a machine that is an hour ahead would add that to the memory of keys."""
    monkeypatch.setattr("time.time", lambda: 4e9)
    _, view, _ = begin(client)

    seconds, _ = client.time()  # type: ignore[misc]
    assert abs(view.run(RUN).created - seconds) < 60


def test_what_is_told_twice_because_the_reply_was_lost_is_there_once(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    client.hset(keys.FLOWS, "flow-1", RUN)  # told, of which only the beginning came through
    for _ in range(2):
        ledger.flow(RUN, "flow-1")
    assert view.flows(RUN) == ["flow-1"]

    ledger.create("other", definition={}, by="test")
    epoch = ledger.take("other", "me", resume=False)
    for _ in range(2):
        ledger.reject("other", epoch, [Rejection(row, row + 1, (), ()) for row in (3, 5)])
    assert [rejection.row for rejection in view.samples("other")] == [3, 5]


def age(client: redis.Redis, seconds: int) -> None:
    """Make the run, and all that it remembers, so much older."""
    created = int(client.hget(keys.run_key(RUN), "created") or 0)
    client.hset(keys.run_key(RUN), "created", created - 1000 * seconds)


@pytest.mark.parametrize("said", [W, F])
def test_an_attempt_without_effect_does_not_end_the_doubt_about_an_earlier_one(
    client: redis.Redis, said: RowState
) -> None:
    """Else a later wish to send the failed rows would give it a new key, and the API might act twice."""
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, U)])
    claim(ledger, epoch, (1, 2), memory=3600)

    assert ledger.answer(RUN, [outcome(1, epoch, 2, said, idle=True)]) == [U]
    assert state_of(view, 1) is U


def test_a_row_in_doubt_that_a_person_sends_again_waits_on_after_an_attempt_without_effect(
    client: redis.Redis,
) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, U)])
    ledger.resend(RUN, epoch, ledger.request(RUN, "r1"), [1])
    claim(ledger, epoch, (1, 2))

    assert ledger.answer(RUN, [outcome(1, epoch, 2, W, idle=True)]) == [W]
    assert np.flatnonzero(np.unpackbits(view.asked(RUN, 10))).tolist() == [0]
    assert claim(ledger, epoch, (1, 3)) == [0]
    assert ledger.answer(RUN, [outcome(1, epoch, 3, F, idle=True)]) == [U]
    assert not view.asked(RUN, 10).any()


def test_a_definite_answer_ends_the_doubt(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, U)])
    claim(ledger, epoch, (1, 2), memory=3600)
    assert ledger.answer(RUN, [outcome(1, epoch, 2, F)]) == [F]

    ledger.resend(RUN, epoch, ledger.request(RUN, "r1"), [1])
    assert claim(ledger, epoch, (1, 3)) == [1]
    assert ledger.answer(RUN, [outcome(1, epoch, 3, W, idle=True)]) == [W]
    assert state_of(view, 1) is W


def test_an_answer_that_comes_after_a_person_asked_to_send_the_row_again_is_taken(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, U)])
    ledger.resend(RUN, epoch, ledger.request(RUN, "r1"), [1])

    assert ledger.answer(RUN, [outcome(1, epoch, 1, D)]) == [D]
    assert state_of(view, 1) is D
    assert claim(ledger, epoch, (1, 2)) == [-1]


def test_whoever_lost_the_run_changes_nothing_of_it(client: redis.Redis) -> None:
    ledger, view, zombie = begin(client)
    client.hset(keys.run_key(RUN), "lease", "0")
    heir = ledger.take(RUN, "heir", resume=True)
    ledger.end(RUN, heir, RunState.FINISHED)

    assert not ledger.facts(RUN, epoch=zombie, peak=99)
    assert not ledger.end(RUN, zombie, RunState.STOPPED)
    for write in (
        lambda: ledger.open(RUN, zombie),
        lambda: ledger.check_afresh(RUN, zombie),
        lambda: ledger.reject(RUN, zombie, [Rejection(2, 3, (), ())]),
        lambda: ledger.resend(RUN, zombie, 1, [1]),
    ):
        with pytest.raises(Superseded):
            write()
    run = view.run(RUN)
    assert (run.state, run.stored.get("peak"), run.counts[RowState.REJECTED]) == (RunState.FINISHED, None, 0)


def test_nothing_is_noted_of_a_run_that_was_deleted(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)
    ledger.end(RUN, epoch, RunState.FINISHED)
    erase(ledger.client, RUN)

    assert not ledger.facts(RUN, peak=1)
    assert not client.exists(keys.run_key(RUN))


def test_a_beginning_said_twice_counts_once(client: redis.Redis) -> None:
    """The reply to the first may have been lost."""
    ledger, view = Ledger(client), View(client)
    ledger.create(RUN, definition={}, by="test")
    epoch = ledger.take(RUN, "me", resume=False)
    for _ in range(2):
        ledger.begin(RUN, epoch, total=5, rejected=0)

    assert view.run(RUN).counts[W] == 5
    assert ledger.create(RUN, definition={"other": 1}, by="other") is False
    assert view.definition(RUN) == {}


@pytest.mark.parametrize(
    "value", [2**64, -(2**63) - 1, "half \ud83d of it", ["\ud83d"], {"a": 2**70}], ids=lambda value: ascii(value)[:20]
)
def test_whatever_an_api_answers_can_be_kept(value: object) -> None:
    tail, detail = keys.pack(("x", "y"), status=200, took_seconds=0, kept={"x": value, "y": [1]}, reason="", excerpt="")

    record = keys.unpack(1, keys._HEAD.pack(2, 1, 1, 0, 0, 1, 1) + tail, detail, names=("x", "y"), created=0)
    assert str(record.kept["x"])
    assert record.kept["y"] == [1]


def test_the_chart_by_minute_holds_the_whole_run_also_where_seconds_are_not_folded_yet(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    for row, second in ((1, 600), (2, 659), (3, 1000)):
        claim(ledger, epoch, (row, row))
        ledger.answer(RUN, [replace(outcome(row, epoch, row, D), sent_second=second)])
    ledger.trim(RUN, 1000)

    assert min(view.chart(RUN, "seconds")) == 1000
    assert {minute: counts["sent"] for minute, counts in view.chart(RUN, "minutes").items() if "sent" in counts} == {
        10: 2,
        16: 1,
    }


def test_two_that_fold_the_chart_at_once_fold_each_second_once(client: redis.Redis, redis_url: str) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, D)])

    class Meanwhile(redis.Redis):
        def hgetall(self, name: str) -> object:
            found = super().hgetall(name)
            ledger.trim(RUN, 2000)
            return found

    with Meanwhile.from_url(redis_url) as other:
        Ledger(other).trim(RUN, 2000)
    ledger.trim(RUN, 2000)

    assert view.chart(RUN, "minutes")[16] == {"sent": 1}


def test_the_chart_has_one_clock_though_machines_have_others(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    now, hour = time.time(), 3600
    sent = replace(outcome(1, epoch, 1, D), sent_second=int(now + hour - 5))
    flat = (1, epoch, 1, sent.state, len(sent.tail), len(sent.detail), sent.sent_second, 0, 0, "")
    packed, texts = msgspec.msgpack.encode([flat]), sent.tail + sent.detail

    ledger._ask(RUN, "answer", round((now + hour) * 1000), packed, texts)  # by a clock that is an hour ahead

    (at,) = (second for second, counts in view.chart(RUN).items() if "sent" in counts)
    assert now - 8 < at < now


@pytest.mark.parametrize("states", [(D, S), (S, D)])
def test_a_row_that_moves_while_its_state_is_read_is_in_one(
    client: redis.Redis, redis_url: str, states: tuple[RowState, ...]
) -> None:
    ledger, _, epoch = begin(client)
    claim(ledger, epoch, (1, 1))

    class Meanwhile(redis.Redis):
        def get(self, name: str) -> object:
            found = super().get(name)
            ledger.answer(RUN, [outcome(1, epoch, 1, D)])
            return found

    with Meanwhile.from_url(redis_url) as slow:
        assert View(slow).select(RUN, states, 10).tolist() == [1]


def test_a_lease_does_not_outlast_a_step_of_the_clock(client: redis.Redis) -> None:
    """Set back by an hour, the clock of Redis would keep a dead deliverer's run from everybody for that hour."""
    ledger, view, epoch = begin(client)
    lease = float(client.hget(keys.run_key(RUN), "lease") or 0)
    client.hset(keys.run_key(RUN), "lease", f"{lease + 3_600_000:.0f}")

    assert not view.run(RUN).busy
    assert ledger.take(RUN, "heir", resume=True) == epoch + 1
    assert view.run(RUN).busy


def test_a_live_deliverer_keeps_others_out_and_a_dead_one_is_waited_for(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)
    ledger.renew(RUN, epoch, lease_seconds=0.3)

    assert ledger.take(RUN, "heir", resume=True, lease_seconds=1) == epoch + 1
    assert ledger.renew(RUN, epoch) == (False, 0, False)


def test_a_second_start_is_told_who_delivers_the_run(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)

    class Renewing(Ledger):
        def _ask(self, run: str, what: str, *args: object) -> object:
            ledger.renew(RUN, epoch)
            return super()._ask(run, what, *args)

    with pytest.raises(RunBusy, match="already being delivered by me"):
        Renewing(client).take(RUN, "other", resume=False)


def test_a_begun_run_cannot_be_begun_again_nor_with_wrong_sums(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)
    with pytest.raises(LedgerError, match="begun by another"):
        ledger.begin(RUN, epoch, total=5, rejected=0)

    ledger.create("other", definition={}, by="test")
    with pytest.raises(redis.ResponseError, match="do not add up"):
        ledger.begin("other", ledger.take("other", "me", resume=False), total=5, rejected=2)


def test_a_deleted_run_leaves_no_key_behind(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client, total=350, rejected=(5,))
    claim(ledger, epoch, (301, 1), (2, 2))
    ledger.answer(RUN, [outcome(301, epoch, 1, F)])
    ledger.flow(RUN, "flow-1")
    ledger.event(RUN, "hello")
    ledger.same_content("abc", RUN)
    ledger.facts(RUN, digest="abc")
    with pytest.raises(RunBusy):
        erase(ledger.client, RUN)

    ledger.end(RUN, epoch, RunState.STOPPED, "enough")
    erase(ledger.client, RUN)

    assert {key.decode() for key in client.keys("*")} <= {keys.VERSION_KEY, keys.TOTALS}
    with pytest.raises(RunNotFound):
        view.run(RUN)


def test_of_a_deleted_run_it_stays_known_when_and_by_whom(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    ledger.end(RUN, epoch, RunState.STOPPED, "enough")

    erase(ledger.client, RUN, by="ops")

    (key,) = {key.decode() for key in client.keys("*")} - {keys.VERSION_KEY, keys.TOTALS}
    assert key == keys.deleted_key(RUN)
    assert 0 < client.ttl(key) <= keys.DELETED_SECONDS
    for ask in (view.run, view.resolve, view.exact):
        with pytest.raises(RunDeleted, match=f"Run {RUN} was deleted on 20.* UTC by ops"):
            ask(RUN)
    begin(client)
    assert view.run(RUN).id == view.exact(RUN) == RUN  # it may be begun anew


def test_a_run_to_act_on_is_named_in_full(client: redis.Redis) -> None:
    ledger, view, _ = begin(client)
    ledger.flow(RUN, "flow-1")

    assert view.exact(RUN) == view.exact("flow-1") == view.resolve(RUN[:3]) == view.resolve("last") == RUN
    for name in (RUN[:-1], "last", "flow", ""):
        with pytest.raises(RunNotFound, match="give its whole id"):
            view.exact(name)


def test_every_row_is_exported_once_and_in_order(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client, total=12_345, rejected=(1, 12_345))
    claim(ledger, epoch, (7000, 1))
    ledger.answer(RUN, [outcome(7000, epoch, 1, D, post_id=2**60)])

    records = [record for block in view.blocks(RUN, 12_345, names=NAMES, created=0) for record in block]

    assert [record.row for record in records] == list(range(1, 12_346))
    assert records[6999].kept == {"postId": 2**60}
    assert [record.row for record in records if record.state is RowState.REJECTED] == [1, 12_345]


def test_long_answers_do_not_unfold_the_compact_rows(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    tail, detail = keys.pack(("text",), status=200, took_seconds=1, kept={"text": "x" * 500}, reason="", excerpt="")
    ledger.answer(RUN, [Answer(1, epoch, 1, D, tail, detail, None)])

    assert view.records(RUN, [1], names=("text",), created=0)[0].kept == {"text": "x" * 500}
    assert client.object("ENCODING", keys.place(RUN, "rows", 1)[0]) == b"listpack"


def test_an_evicting_server_and_data_of_another_version_are_refused(tmp_path: object, client: redis.Redis) -> None:
    verify(client)
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(LedgerError, match="maxmemory-policy noeviction"):
            verify(client)
    finally:
        client.config_set("maxmemory-policy", "noeviction")
    client.set(keys.VERSION_KEY, 999)
    with pytest.raises(LedgerError, match="version 999"):
        verify(client)


def test_the_table_of_transitions_keeps_the_promises() -> None:
    """What the table must never say, whatever is added to it."""
    moves = {
        (event, source, target)
        for event, table in TRANSITIONS.items()
        for source, targets in table.items()
        for target in targets
    }

    assert not any(source in (D, RowState.REJECTED) for _, source, _ in moves), "done and rejected rows stay so"
    assert not any(target is RowState.REJECTED for _, _, target in moves), "only the check rejects"
    assert {(event, source) for event, source, target in moves if target is S} == {("claim", W), ("again", U)}
    assert {event for event, _, target in moves if target is W} == {"answer", "restore", "resend", "settle", "resolve"}
    assert {event for event, _, target in moves if target is D} == {"answer", "restore", "mark", "resolve"}
    assert {event for event, source, _ in moves if source is A} == {"resolve"}, "an accepted row is never sent again"
    assert {target for event, source, target in moves if event == "resolve" and source is A} == {A, D, F, U}
    assert {target for event, source, target in moves if event == "resolve" and source is U} == {D, F, W}
    assert {event for event, source, _ in moves if source is F} == {"restore", "resend"}
    assert {move for move in moves if move[0] in ("settle", "mark", "restored")} == {
        ("settle", S, U),
        ("settle", S, W),  # of steps none that writes had begun
        ("mark", U, D),
        ("restored", W, U),
    }


def test_a_renewal_leaves_the_live_deliverer_s_own_rows_alone(client: redis.Redis) -> None:
    """Whatever the clock says: it will hear of them itself."""
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1), patience=0)

    assert ledger.renew(RUN, epoch) == (True, 0, False)
    assert state_of(view, 1) is S


def test_a_dead_deliverer_s_rows_are_not_settled_while_they_may_be_answered(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1), patience=60)
    claim(ledger, epoch, (2, 2), patience=0)
    client.hset(keys.run_key(RUN), "lease", "0")
    heir = ledger.take(RUN, "heir", resume=True)

    assert ledger.renew(RUN, heir)[:2] == (True, 1)
    assert (state_of(view, 1), state_of(view, 2)) == (S, U)


def test_a_check_that_is_done_again_forgets_what_it_rejected_before(client: redis.Redis) -> None:
    ledger, view = Ledger(client), View(client)
    wrong = [Rejection(row, row + 1, (Reason("a", "must be a number", "x"),), ("x",)) for row in (1, 2, 3)]
    ledger.create(RUN, definition={}, by="test")
    epoch = ledger.take(RUN, "me", resume=False)
    ledger.reject(RUN, epoch, wrong[:2])

    ledger.check_afresh(RUN, epoch)
    ledger.reject(RUN, epoch, wrong[2:])
    ledger.begin(RUN, epoch, total=5, rejected=1)

    assert view.select(RUN, [RowState.REJECTED], 5).tolist() == [3]
    assert [rejection.row for rejection in view.samples(RUN)] == [3]


def test_the_reason_of_an_earlier_attempt_goes_with_the_next_answer(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, F)])
    assert view.records(RUN, [1], names=NAMES, created=0)[0].reason == "why"
    ledger.resend(RUN, epoch, ledger.request(RUN, "r1"), [1])
    claim(ledger, epoch, (1, 2))

    ledger.answer(RUN, [outcome(1, epoch, 2, D)])

    record = view.records(RUN, [1], names=NAMES, created=0)[0]
    assert (record.state, record.reason, record.attempts) == (D, "", 2)


def test_the_time_of_a_row_s_next_attempt_is_told(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, W, wait=60)])

    (record,) = view.records(RUN, [1], names=NAMES, created=view.run(RUN).created)

    assert record.at == pytest.approx(time.time() + 60, abs=5)


def test_a_thousand_rejections_are_all_marked_and_the_first_hundred_kept(client: redis.Redis) -> None:
    rejected = tuple(range(2, 1002))
    _, view, _ = begin(client, total=1500, rejected=rejected)

    assert view.run(RUN).counts[RowState.REJECTED] == 1000
    assert view.select(RUN, [RowState.REJECTED], 1500).tolist() == list(rejected)
    assert [rejection.row for rejection in view.samples(RUN)] == list(rejected[:100])


def test_a_run_whose_deliverer_died_can_be_deleted(client: redis.Redis) -> None:
    ledger, view, _ = begin(client)
    client.hset(keys.run_key(RUN), "lease", int(client.time()[0]) * 1000 - 1)

    erase(ledger.client, RUN)

    assert view.count() == 0


def test_the_first_and_last_row_of_a_block_are_found(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client, total=300)
    rows = (1, 100, 101, 200, 201, 300)
    claim(ledger, epoch, *((row, row) for row in rows))
    ledger.answer(RUN, [outcome(row, epoch, row, D, post_id=row) for row in rows])

    assert [record.kept for record in view.records(RUN, rows, names=NAMES, created=0)] == [
        {"postId": row} for row in rows
    ]
    assert [state_of(view, row) for row in rows] == [D] * 6


def test_a_row_that_is_being_sent_is_not_finished(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client, rejected=(1,))
    claim(ledger, epoch, (2, 1), (3, 2))
    ledger.answer(RUN, [outcome(3, epoch, 2, U)])

    assert view.run(RUN).finished_rows == 2


def test_the_beginning_of_an_id_names_a_run_only_if_it_is_the_only_one(client: redis.Redis) -> None:
    ledger, view = Ledger(client), View(client)
    for run in ("ab1", "ab2", "b1"):
        ledger.create(run, definition={}, by="test")

    assert (view.resolve("ab1"), view.resolve("b"), view.resolve("last")) == ("ab1", "b1", "b1")
    with pytest.raises(RunNotFound, match="2 runs begin with 'ab'"):
        view.resolve("ab")


def test_a_resume_clears_an_earlier_wish_to_cancel_and_a_hand_over_does_not(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)
    ledger.cancel(RUN, "ops")
    ledger.end(RUN, epoch, RunState.CANCELLED)

    epoch = ledger.take(RUN, "me", resume=False)
    assert ledger.renew(RUN, epoch)[2]
    epoch = ledger.take(RUN, "me", resume=True)
    assert not ledger.renew(RUN, epoch)[2]


class LedgerMachine(RuleBasedStateMachine):
    """Any order of claims, answers, repetitions, take-overs and resends, against a dictionary."""

    client: redis.Redis

    @initialize(total=st.integers(1, 8))
    def begin(self, total: int) -> None:
        self.client.flushall()
        self.ledger, self.view, self.epoch = begin(self.client, total=total)
        self.rows = dict.fromkeys(range(1, total + 1), W)
        self.latest: dict[int, tuple[int, int]] = {}
        self.doubt: set[int] = set()
        self.asked: set[int] = set()
        self.claims: list[tuple[int, int, int]] = []
        self.serial = 0

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(sorted(self.rows)))
        self.serial += 1
        granted = claim(self.ledger, self.epoch, (row, self.serial)) != [-1]
        assert granted == (self.rows[row] is W)
        if granted:
            self.rows[row], self.latest[row] = S, (self.epoch, self.serial)
            self.claims.append((row, self.epoch, self.serial))

    @rule(data=st.data())
    def claim_again(self, data: st.DataObject) -> None:
        """The same claim comes a second time, maybe after its outcome: nothing moves."""
        known = [c for c in self.claims if self.latest[c[0]] == c[1:] and c[1] == self.epoch]
        if not known:
            return
        row, _, serial = data.draw(st.sampled_from(known))
        granted = claim(self.ledger, self.epoch, (row, serial)) != [-1]
        assert granted == (self.rows[row] is S)

    @rule(data=st.data(), state=st.sampled_from([A, D, F, U, W]), idle=st.booleans())
    def answer(self, data: st.DataObject, state: RowState, idle: bool) -> None:
        if not self.claims:
            return
        row, epoch, serial = data.draw(st.sampled_from(self.claims))
        idle = idle and state in (F, W)
        before, newest = self.rows[row], self.latest[row] == (epoch, serial)
        taken = self.ledger.answer(RUN, [outcome(row, epoch, serial, state, idle=idle)])
        if idle and row in self.doubt and not (state is W and row in self.asked):
            state = U
        ended_otherwise = before in (A, D, F) and before is not state
        assert (taken != [None]) == (newest and not ended_otherwise)
        if newest and before in (S, U, W) and not (before is W and state is U):
            self._becomes(row, state)

    def _becomes(self, row: int, state: RowState) -> None:
        self.rows[row] = state
        if state is U:
            self.doubt.add(row)
        elif state in (A, D, F):
            self.doubt.discard(row)
        if state is not W:
            self.asked.discard(row)

    @rule(data=st.data(), state=st.sampled_from([A, D, F, U, W]), stale=st.booleans())
    def resolve(self, data: st.DataObject, state: RowState, stale: bool) -> None:
        if not self.claims:
            return
        row = data.draw(st.sampled_from(sorted(self.latest)))
        epoch, serial = self.latest[row]
        found = Found(row, epoch, serial - stale, state, b"", b"")
        moves = not stale and state in TRANSITIONS["resolve"].get(self.rows[row], ())
        assert self.ledger.resolve(RUN, self.epoch, [found]) == [moves]
        if moves:
            self._becomes(row, state)
            if state is W:
                self.doubt.discard(row)
                self.asked.add(row)

    @rule()
    def take_over(self) -> None:
        self.client.hset(keys.run_key(RUN), "lease", "0")
        self.epoch = self.ledger.take(RUN, f"owner {self.epoch}", resume=True)
        for row in self.client.zrange(keys.run_key(RUN) + ":sending", 0, -1):
            self.client.zadd(keys.run_key(RUN) + ":sending", {row: 0})
        self.ledger.renew(RUN, self.epoch)
        for row in [row for row, state in self.rows.items() if state is S]:
            self.rows[row] = U
            self.doubt.add(row)

    @rule()
    def resend(self) -> None:
        troubled = [row for row, state in self.rows.items() if state in (F, U)]
        number = self.ledger.request(RUN, f"request {self.serial}")
        self.serial += 1
        assert self.ledger.resend(RUN, self.epoch, number, self.rows) == len(troubled)
        self.rows |= dict.fromkeys(troubled, W)
        self.asked |= set(troubled)

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "rows"):
            run = self.view.run(RUN)
            assert sum(run.counts.values()) == run.total == len(self.rows)
            for state in RowState:
                expected = [row for row, now in self.rows.items() if now is state]
                assert self.view.select(RUN, [state], run.total).tolist() == expected
                assert run.counts[state] == len(expected)


@pytest.mark.hypothesis
def test_any_order_of_events_agrees_with_a_dictionary(redis_server: RedisServer) -> None:
    LedgerMachine.client = connect(redis_server.url)
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(max_examples=examples(60), stateful_step_count=30, suppress_health_check=list(HealthCheck)),
    )
