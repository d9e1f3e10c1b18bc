"""Parcels of several rows in doubt, steps under way, keys that one row holds, and what is found out about rows."""

from __future__ import annotations

import itertools
import time

import pytest
import redis
from msgspec.structs import replace

from flows.ledger import keys
from flows.ledger.connection import connect
from flows.ledger.keys import run_key
from flows.ledger.ledger import Ledger
from flows.ledger.moves import TRANSITIONS, Claim, Found
from flows.ledger.view import View
from flows.records import RowState, RunState
from tests.harness.rows import NAMES, RUN, begin, claim, claim_parcels, outcome

W, S, A = RowState.WAITING, RowState.SENDING, RowState.ACCEPTED
D, F, U = RowState.DONE, RowState.FAILED, RowState.UNKNOWN
KEY = keys.run_key(RUN)


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    """A client of an empty database."""
    return connect(redis_url)


def states(view: View, rows: range | list[int]) -> list[RowState]:
    """The states of these rows; what the counters and the index say of all rows must agree with the records."""
    run = view.run(RUN)
    records = view.records(RUN, list(range(1, run.total + 1)), names=NAMES, created=0)
    for state in RowState:
        found = [record.row for record in records if record.state is state]
        assert (run.counts[state], view.select(RUN, [state], run.total).tolist()) == (len(found), found)
    assert sum(run.counts.values()) == run.total
    return [records[row - 1].state for row in rows]


def doubtful(view: View, row: int) -> bool:
    return view.records(RUN, [row], names=NAMES, created=0)[0].doubtful


def asked(ledger: Ledger, epoch: int, rows: list[int], request: str = "r1") -> int:
    return ledger.resend(RUN, epoch, ledger.request(RUN, request), rows)


def grown_old(client: redis.Redis) -> None:
    """The attempts under way can no longer be answered."""
    for row in client.zrange(KEY + ":sending", 0, -1):
        client.zadd(KEY + ":sending", {row: 0})


def taken_over(client: redis.Redis, ledger: Ledger) -> int:
    """The epoch of another process, after the rows of the dead one were settled."""
    client.hset(KEY, "lease", "0")
    grown_old(client)
    epoch = ledger.take(RUN, "heir", resume=True)
    ledger.renew(RUN, epoch)
    ledger.open(RUN, epoch)
    return epoch


def test_a_parcel_of_which_nothing_is_known_goes_again_as_it_was(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim_parcels(ledger, epoch, ((3, 1, 2), 1), ((4, 5), 2))
    heir = taken_over(client, ledger)

    assert states(view, range(1, 7)) == [U, U, U, U, U, W]
    assert view.doubtful_parcels(RUN, [1, 4, 6]) == {1: [3, 1, 2], 4: [4, 5]}
    others = ((1, 2, 3), 3), ((3, 1), 4), ((4, 5, 6), 5), ((4,), 6)
    assert all(max(answers) < 0 for answers in claim_parcels(ledger, heir, *others, memory=3600))
    assert claim_parcels(ledger, heir, ((3, 1, 2), 7), ((4, 5), 8), memory=3600) == [[0, 0, 0], [0, 0]]
    assert states(view, range(1, 7)) == [S, S, S, S, S, W]


@pytest.mark.parametrize("known", [D, F, A])
def test_rows_of_a_parcel_of_which_something_is_known_travel_elsewhere_once_a_person_asks(
    client: redis.Redis, known: RowState
) -> None:
    ledger, view, epoch = begin(client)
    claim_parcels(ledger, epoch, ((1, 2, 3), 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, known), outcome(2, epoch, 1, U), outcome(3, epoch, 1, U)])

    assert view.doubtful_parcels(RUN, [2, 3]) == {}
    assert claim_parcels(ledger, epoch, ((1, 2, 3), 2), memory=3600)[0][1:] == [-2, -2]
    assert claim_parcels(ledger, epoch, ((2, 3), 3), ((2,), 4), memory=3600) == [[-1, -1], [-1]]

    assert asked(ledger, epoch, [2, 3]) == 2
    assert states(view, [1, 2, 3]) == [known, W, W]
    assert claim_parcels(ledger, epoch, ((2, 4), 5), ((3,), 6)) == [[0, 0], [0]]
    assert doubtful(view, 2)
    assert not doubtful(view, 4)


def test_rows_of_a_whole_parcel_stay_together_also_when_a_person_asks(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim_parcels(ledger, epoch, ((1, 2), 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, U), outcome(2, epoch, 1, U)])
    asked(ledger, epoch, [1])

    assert claim_parcels(ledger, epoch, ((1,), 2), ((1, 3), 3)) == [[-1], [-1, -2]]
    assert view.doubtful_parcels(RUN, [1]) == {1: [1, 2]}
    asked(ledger, epoch, [2], "r2")
    assert claim_parcels(ledger, epoch, ((1, 2), 4)) == [[0, 0]]


def test_a_parcel_is_broken_by_what_is_found_out_of_one_of_its_rows(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim_parcels(ledger, epoch, ((1, 2), 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, U), outcome(2, epoch, 1, U)])
    asked(ledger, epoch, [2])
    assert claim_parcels(ledger, epoch, ((2,), 2)) == [[-1]]

    assert ledger.resolve(RUN, epoch, [found(1, epoch, 1, D)]) == [True]

    assert claim_parcels(ledger, epoch, ((2,), 3)) == [[0]]
    assert states(view, [1, 2]) == [D, S]


def test_outcomes_of_a_parcel_count_as_one_request(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim_parcels(ledger, epoch, ((1, 2, 3), 1))
    first, *others = (outcome(row, epoch, 1, state) for row, state in ((1, D), (2, F), (3, A)))
    ledger.answer(RUN, [first, *(replace(each, sent_second=None) for each in others)])

    counted: dict[str, int] = {}
    for second in view.chart(RUN).values():
        for kind, n in second.items():
            counted[kind] = counted.get(kind, 0) + n
    assert counted == {"sent": 1, "done": 1, "failed": 1, "accepted": 1}
    assert states(view, [1, 2, 3]) == [D, F, A]


def with_steps(client: redis.Redis) -> tuple[Ledger, View, int]:
    ledger, view, epoch = begin(client)
    ledger.facts(RUN, epoch=epoch, steps=True)
    return ledger, view, epoch


def goes(ledger: Ledger, epoch: int, row: int, serial: int, *, writes: bool, known: bytes = b"known") -> bool:
    return ledger.progress(RUN, epoch, row, serial, writes=writes, known=known, patience_seconds=60)


def test_only_a_write_under_way_leaves_a_row_of_a_dead_process_unknown(client: redis.Redis) -> None:
    ledger, view, epoch = with_steps(client)
    claim(ledger, epoch, *((row, row) for row in range(1, 5)))
    assert goes(ledger, epoch, 2, 2, writes=False)  # 1: none; 2: a read; 3: a write; 4: a write that was answered
    assert goes(ledger, epoch, 3, 3, writes=True)
    assert goes(ledger, epoch, 4, 4, writes=True)
    assert goes(ledger, epoch, 4, 4, writes=False)

    heir = taken_over(client, ledger)

    assert states(view, range(1, 5)) == [W, W, U, W]
    assert [doubtful(view, row) for row in range(1, 5)] == [False, False, True, False]
    assert claim(ledger, heir, *((row, 10 + row) for row in range(1, 5))) == [0, 0, -1, 0]


def test_a_row_in_doubt_stays_so_whatever_its_later_steps_do(client: redis.Redis) -> None:
    ledger, view, epoch = with_steps(client)
    claim(ledger, epoch, (1, 1))
    goes(ledger, epoch, 1, 1, writes=True)
    heir = taken_over(client, ledger)
    asked(ledger, heir, [1])
    claim(ledger, heir, (1, 2))
    goes(ledger, heir, 1, 2, writes=False)

    taken_over(client, ledger)

    assert states(view, [1]) == [U]


def test_a_write_of_an_earlier_claim_is_not_one_of_the_present_claim(client: redis.Redis) -> None:
    ledger, view, epoch = with_steps(client)
    claim(ledger, epoch, (1, 1))
    goes(ledger, epoch, 1, 1, writes=True)
    ledger.answer(RUN, [outcome(1, epoch, 1, W, idle=True)])
    claim(ledger, epoch, (1, 2))

    taken_over(client, ledger)

    assert states(view, [1]) == [W]


def test_without_steps_every_attempt_may_have_acted(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    taken_over(client, ledger)

    assert states(view, [1]) == [U]


def test_no_step_goes_of_a_row_that_is_another_s(client: redis.Redis) -> None:
    ledger, _, epoch = with_steps(client)
    claim(ledger, epoch, (1, 1), (2, 2), (3, 3))
    ledger.answer(RUN, [outcome(2, epoch, 2, D)])

    assert goes(ledger, epoch, 1, 1, writes=True)
    assert not goes(ledger, epoch, 1, 2, writes=True)  # another claim
    assert not goes(ledger, epoch, 2, 2, writes=True)  # it has ended
    assert not goes(ledger, epoch, 4, 4, writes=True)  # nobody has it
    ledger.cancel(RUN, "me")
    assert not goes(ledger, epoch, 3, 3, writes=True)
    heir = taken_over(client, ledger)
    assert not goes(ledger, epoch, 3, 3, writes=True)
    assert heir > epoch


def test_a_step_keeps_a_row_under_way_for_as_long_as_it_may_take(client: redis.Redis) -> None:
    ledger, _, epoch = with_steps(client)
    claim(ledger, epoch, (1, 1), patience=1)
    before = client.zscore(KEY + ":sending", 1)
    goes(ledger, epoch, 1, 1, writes=False)

    after = client.zscore(KEY + ":sending", 1)
    assert before is not None
    assert after is not None
    assert after - before > 50_000


def test_what_is_known_of_steps_is_kept_until_the_row_is_done(client: redis.Redis) -> None:
    ledger, _, epoch = with_steps(client)
    claim(ledger, epoch, (1, 1))
    goes(ledger, epoch, 1, 1, writes=True, known=b"first")
    goes(ledger, epoch, 1, 1, writes=True, known=b"second")
    stored = client.hget(KEY + ":steps", "1")
    assert isinstance(stored, bytes)
    assert stored[keys.STEPS.size :] == b"second"
    ledger.answer(RUN, [outcome(1, epoch, 1, F)])
    assert client.hexists(KEY + ":steps", "1")
    asked(ledger, epoch, [1])
    claim(ledger, epoch, (1, 2))
    ledger.answer(RUN, [outcome(1, epoch, 2, D)])
    assert not client.hexists(KEY + ":steps", "1")


def held(ledger: Ledger, epoch: int, *claims: tuple[int, int, str], patience: float = 60, run: str = RUN) -> list[int]:
    """What claims of (row, serial, key) are answered."""
    made = [Claim((row,), serial, key) for row, serial, key in claims]
    why, answers = ledger.claim(run, epoch, made, patience_seconds=patience, idempotency_seconds=0)
    assert why == "ok"
    return [answer for (answer,) in answers]


@pytest.mark.parametrize("state", [D, F, U, W, A])
def test_a_key_is_one_row_s_at_a_time_and_free_when_that_has_its_outcome(client: redis.Redis, state: RowState) -> None:
    ledger, view, epoch = begin(client)

    assert held(ledger, epoch, (1, 1, "a"), (2, 2, "a"), (3, 3, "b"), (4, 4, "")) == [0, -2, 0, 0]
    assert states(view, range(1, 5)) == [S, W, S, S]
    assert held(ledger, epoch, (1, 1, "a")) == [0], "the reply to this very claim was lost"
    assert held(ledger, epoch, (2, 5, "a")) == [-2]

    ledger.answer(RUN, [outcome(1, epoch, 1, state)])

    assert held(ledger, epoch, (2, 6, "a")) == [0]
    assert client.hget(KEY + ":held", "1") is None


def test_a_key_is_held_over_all_runs_of_the_pipeline(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)
    _, _, other = begin(client, run="run-2")
    ledger.create("run-3", definition={"name": "else"}, by="test", pipeline="else", file="f.csv")
    third = ledger.take("run-3", "me", resume=False)
    ledger.begin("run-3", third, total=3, rejected=0)
    ledger.open("run-3", third)

    assert held(ledger, epoch, (1, 1, "a")) == [0]
    assert held(ledger, other, (1, 1, "a"), run="run-2") == [-2]
    assert held(ledger, third, (1, 1, "a"), run="run-3") == [0]
    ledger.answer(RUN, [outcome(1, epoch, 1, D)])
    assert held(ledger, other, (1, 1, "a"), run="run-2") == [0]


def test_a_key_is_free_when_its_row_can_no_longer_be_answered(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)
    held(ledger, epoch, (1, 1, "a"), patience=0)
    assert held(ledger, epoch, (2, 2, "a")) == [-2]  # its deliverer still has the run, and may still send it
    client.hset(run_key(RUN), "lease", 0)

    assert held(ledger, epoch, (2, 3, "a")) == [0]
    ledger.answer(RUN, [outcome(1, epoch, 1, D)])  # late: the key is another's by now
    assert held(ledger, epoch, (3, 4, "a"), patience=60) == [-2]


def test_a_settled_row_lets_its_key_go(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)
    held(ledger, epoch, (1, 1, "a"))
    heir = taken_over(client, ledger)

    assert held(ledger, heir, (2, 2, "a")) == [0]


def test_a_step_holds_the_key_on(client: redis.Redis) -> None:
    ledger, _, epoch = with_steps(client)
    held(ledger, epoch, (1, 1, "a"), patience=0)
    goes(ledger, epoch, 1, 1, writes=False)

    assert held(ledger, epoch, (2, 2, "a")) == [-2]


def found(row: int, epoch: int, serial: int, state: RowState) -> Found:
    """What was found out about a row, as the sender packs it."""
    packed = outcome(row, epoch, serial, state)
    return Found(row, epoch, serial, state, packed.tail, packed.detail)


@pytest.mark.parametrize(("source", "target"), itertools.product([W, S, A, D, F, U], [A, D, F, U, W]))
def test_what_is_found_out_moves_only_rows_that_nobody_has_under_way(
    client: redis.Redis, source: RowState, target: RowState
) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1), (2, 2))
    if source is not S:
        ledger.answer(RUN, [outcome(1, epoch, 1, source, idle=source is W)])
    allowed = target in TRANSITIONS["resolve"].get(source, ())

    assert ledger.resolve(RUN, epoch, [found(1, epoch, 1, target), found(3, epoch, 3, target)]) == [allowed, False]

    assert states(view, [1, 2, 3]) == [target if allowed else source, S, W]
    if allowed:
        assert doubtful(view, 1) is (target is U)
        record = view.records(RUN, [1], names=NAMES, created=0)[0]
        assert record.kept.get("postId") == (101 if target is D else None)
        assert record.reason == ("" if target is D else "why")


def test_what_is_found_out_is_of_the_claim_that_was_asked_about(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, U)])
    asked(ledger, epoch, [1])
    claim(ledger, epoch, (1, 2))
    ledger.answer(RUN, [outcome(1, epoch, 2, U)])

    assert ledger.resolve(RUN, epoch, [found(1, epoch, 1, W)]) == [False]
    assert ledger.resolve(RUN, epoch - 1, [found(1, epoch, 2, W)]) == [False], "another epoch has the run"
    assert ledger.resolve(RUN, epoch, [found(1, epoch, 2, W)]) == [True]
    assert states(view, [1]) == [W]


def test_a_row_that_is_not_there_is_sent_with_any_others_under_the_same_key(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim_parcels(ledger, epoch, ((1, 2, 3), 1))
    ledger.answer(RUN, [outcome(row, epoch, 1, U) for row in (1, 2, 3)])
    ledger.resolve(RUN, epoch, [found(1, epoch, 1, W), found(2, epoch, 1, D)])

    assert states(view, [1, 2, 3]) == [W, D, U]
    assert claim_parcels(ledger, epoch, ((1, 4), 2)) == [[0, 0]]
    assert view.doubtful_parcels(RUN, [3]) == {}


def test_more_rows_than_one_call_takes_are_resolved(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client, total=1000)
    claim(ledger, epoch, *((row, row) for row in range(1, 1001)))
    ledger.answer(RUN, [outcome(row, epoch, row, A) for row in range(1, 1001)])

    assert ledger.resolve(RUN, epoch, [found(row, epoch, row, D) for row in range(1, 1001)]) == [True] * 1000
    assert view.run(RUN).counts[D] == 1000


def test_an_accepted_row_is_never_sent_again(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim(ledger, epoch, (1, 1))
    ledger.answer(RUN, [outcome(1, epoch, 1, A)])

    assert claim(ledger, epoch, (1, 2), memory=3600) == [-1]
    assert asked(ledger, epoch, [1]) == 0
    assert ledger.mark_done(RUN, [1], by="me") == 0
    assert ledger.restored(RUN, [1]) == 0
    ledger.end(RUN, epoch, RunState.STOPPED)
    heir = taken_over(client, ledger)
    assert claim(ledger, heir, (1, 3), memory=3600) == [-1]
    assert states(view, [1]) == [A]


def test_a_parcel_in_doubt_is_read_once_however_many_rows_it_has(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client, total=10_000)
    rows = tuple(range(1, 10_001))
    claim_parcels(ledger, epoch, (rows, 1))
    for first in range(0, len(rows), 2000):
        ledger.answer(RUN, [outcome(row, epoch, 1, U) for row in rows[first : first + 2000]])

    began = time.monotonic()
    assert len(view.doubtful_parcels(RUN, rows)) == len(rows)
    assert time.monotonic() - began < 5.0  # a time that grew with the square would be some 15 s

    client.config_resetstat()
    assert set(*claim_parcels(ledger, epoch, (rows, 2), memory=3600.0)) == {0}
    assert client.info("commandstats")["cmdstat_hget"]["calls"] < 1.2 * len(rows)


def test_a_parcel_that_goes_again_as_it_was_is_kept_once(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    for serial in range(1, 20):
        assert claim_parcels(ledger, epoch, ((1, 2, 3), serial)) == [[0, 0, 0]]
        ledger.answer(RUN, [outcome(row, epoch, serial, W, idle=True) for row in (1, 2, 3)])

    assert client.hgetall(KEY + ":parcels") == {f"{epoch}:19".encode(): b"1,2,3"}
    assert view.parcel(RUN, 2) == [1, 2, 3]


def test_what_another_parcel_was_is_kept_where_not_all_of_its_rows_go_anew(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    claim_parcels(ledger, epoch, ((1, 2, 3), 1))
    ledger.answer(RUN, [outcome(row, epoch, 1, state, idle=True) for row, state in ((1, W), (2, W), (3, D))])
    claim_parcels(ledger, epoch, ((1, 2), 2))

    assert view.parcel(RUN, 3) == [1, 2, 3]
    assert view.parcel(RUN, 1) == [1, 2]


def test_each_row_of_a_parcel_holds_its_key(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)

    def claimed(rows: tuple[int, ...], serial: int, key: str) -> list[int]:
        claims = [Claim(rows, serial, key)]
        (_, [answers]) = ledger.claim(RUN, epoch, claims, patience_seconds=60, idempotency_seconds=0)
        return answers

    assert claimed((1, 2), 1, "a,b") == [0, 0]
    assert claimed((3, 4), 2, "c,b") == [-2, -2]
    ledger.answer(RUN, [outcome(1, epoch, 1, D)])
    assert claimed((3, 4), 3, "c,b") == [-2, -2]
    ledger.answer(RUN, [outcome(2, epoch, 1, D)])
    assert claimed((3, 4), 4, "c,b") == [0, 0]
