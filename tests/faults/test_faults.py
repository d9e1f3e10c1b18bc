"""The fault suite: its judge can fail, its series can be repeated, and a short form of it holds."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.draw import APIS, KILLS, NETWORKS, TROUBLES, WHOLE_EVERY, draw
from tests.faults.judge import Evidence, Seen, judge
from tests.faults.play import Result
from tests.faults.table import table
from tests.harness.world import ROOT

MS = 1_000_000
COUNTS = {"rejected": 1, "waiting": 0, "sending": 0, "done": 8, "failed": 1, "unknown": 2}


def good(**changes: object) -> Evidence:
    """A run of 12 rows under 3 in 100 ms: row 12 rejected, 10 refused by the API, 9 and 11 unknown, the rest done."""
    arrivals = [Seen(row * 50 * MS, row, key=f"k{row}", digest=f"d{row}") for row in range(1, 12)]
    arrivals[2] = replace(arrivals[2], answer=429, acted=False)
    arrivals.insert(11, replace(arrivals[2], at=600 * MS, answer=201, acted=True))  # row 3 again, as it may
    arrivals[8] = replace(arrivals[8], answer="hang")
    arrivals[9] = replace(arrivals[9], answer=422, acted=False)
    arrivals[10] = replace(arrivals[10], answer="", row=0, digest="", acted=False)  # cut off: its body never came
    evidence = Evidence(
        requests=3,
        window_seconds=0.1,
        total=12,
        rejected=1,
        idempotent=False,
        arrivals=arrivals,
        states={
            "rejected": {12},
            "waiting": set(),
            "sending": set(),
            "done": set(range(1, 9)),
            "failed": {10},
            "unknown": {9, 11},
        },
        counts=dict(COUNTS),
        run_state="finished",
        sums={(tuple(COUNTS.items()), 12): 5},
        done_at={row: row * 50 * MS + 20 * MS for row in (1, 2, 4)},
        journaled={5: "done", 9: "unknown"},
    )
    return replace(evidence, **changes)  # type: ignore[arg-type]


def arrived(*more: Seen) -> Evidence:
    return good(arrivals=[*good().arrivals, *more])


def moved(row: int, there: str, to: str) -> Evidence:
    """A row in another state, its counts right."""
    evidence = good()
    evidence.states[there].discard(row)
    evidence.states[to].add(row)
    evidence.counts.update({state: len(rows) for state, rows in evidence.states.items()})
    return evidence


def summed(**changes: int) -> Evidence:
    evidence = good()
    evidence.sums[(tuple({**COUNTS, **changes}.items()), 12)] = 1
    return evidence


def test_a_run_that_kept_its_promises_is_found_right() -> None:
    assert judge(good()) == []


def test_a_row_that_was_asked_for_may_come_once_more() -> None:
    again = replace(good().arrivals[8], at=900 * MS)
    assert judge(arrived(again)) != []
    assert judge(replace(arrived(again), asked=[{9}])) == []
    assert judge(replace(arrived(again, replace(again, at=990 * MS)), asked=[{9}])) != []


def test_an_idempotent_api_may_get_a_row_again_under_the_same_key() -> None:
    again = replace(good().arrivals[8], at=900 * MS, acted=False)
    assert judge(replace(arrived(again), idempotent=True)) == []
    assert judge(replace(arrived(replace(again, key="another")), idempotent=True)) != []


DOCTORED: dict[str, Callable[[], Evidence]] = {
    # 1: the limit
    "limit: a window of one more": lambda: arrived(*(Seen(2000 * MS + n * 33 * MS, 0, f"x{n}") for n in range(4))),
    # 2: one known state, and an end
    "state: a row in none": lambda: good(states={**good().states, "unknown": {9}}),
    "state: a row in two": lambda: good(states={**good().states, "failed": {10, 9}}),
    "state: a count that is not what lies there": lambda: good(counts={**COUNTS, "done": 7, "unknown": 3}),
    "state: a good row rejected": lambda: moved(1, "done", "rejected"),
    "end: a row that waits": lambda: moved(9, "unknown", "waiting"),
    "end: a run that does not end": lambda: good(run_state="stopped"),
    "truth: done, and never arrived": lambda: good(arrivals=good().arrivals[1:]),
    "truth: done, and the API did not act": lambda: moved(10, "failed", "done"),
    "truth: failed, and the API acted": lambda: moved(8, "done", "failed"),
    "truth: rejected, and arrived": lambda: arrived(Seen(990 * MS, 12, "k12", "d12")),
    "truth: a row of another file": lambda: arrived(Seen(990 * MS, 13, "k13", "d13")),
    # 3: nothing twice
    "truth: failed after one was asked for, and the API acted on another": lambda: replace(
        moved(8, "done", "failed"), asked=[{7}]
    ),
    "twice: a row that hung": lambda: arrived(replace(good().arrivals[8], at=900 * MS)),
    "twice: a row whose body never came": lambda: arrived(replace(good().arrivals[10], at=900 * MS)),
    "key: two bodies": lambda: arrived(replace(good().arrivals[0], at=900 * MS, digest="other")),
    "key: two keys for a row": lambda: arrived(replace(good().arrivals[0], at=900 * MS, key="other")),
    "done: a row that was recorded": lambda: replace(
        arrived(replace(good().arrivals[0], at=900 * MS)), idempotent=True
    ),
    # 4: the counts
    "sum: one too few": lambda: summed(waiting=0, done=7),
    "sum: one too many": lambda: summed(sending=1),
    "sum: less than none": lambda: summed(waiting=-1, sending=1),
    # 5: nothing lost
    "lost: a recorded outcome": lambda: good(done_at={**good().done_at, 9: 500 * MS}),
    "lost: for a while": lambda: good(undone={4}),
    "lost: an outcome that was on disk": lambda: good(journaled={9: "done"}),
    # besides
    "unknown: more than were under way": lambda: good(most_unknown=1),
    "ban: more than were under way": lambda: replace(
        arrived(*(Seen(2 * n * 1000 * MS, 0, f"b{n}", answer=403, acted=False) for n in (1, 2))), most_banned=1
    ),
}


@pytest.mark.parametrize("fault", DOCTORED)
def test_the_judge_names_what_is_wrong(fault: str) -> None:
    kind = fault.partition(":")[0]
    assert any(text.startswith(f"{kind}:") for text in judge(DOCTORED[fault]())), judge(DOCTORED[fault]())


def test_a_failure_is_named_with_the_command_that_repeats_it() -> None:
    trial = draw(7, 3)
    lines = "\n".join(table([Result(draw(7, 2), []), Result(trial, ["twice: row 3"])]))
    assert "python -m tests.faults --seed 7 --only 3\n  twice: row 3" in lines
    assert "--only 2" not in lines
    assert lines.endswith("2 trials, 1 failed")


def test_a_series_is_the_same_each_time_and_covers_the_product() -> None:
    series = [draw(1, number) for number in range(1, 201)]
    assert series == [draw(1, number) for number in range(1, 201)]
    assert series != [draw(2, number) for number in range(1, 201)]
    small = [trial for trial in series if not trial.whole]
    pairs = Counter((trial.kill, trial.api) for trial in small)
    assert len(pairs) == len(KILLS) * len(APIS)
    assert min(pairs.values()) >= 2
    assert {trial.network for trial in small} == set(NETWORKS)
    assert {trial.trouble for trial in small} == set(TROUBLES)
    assert len(series) - len(small) == 200 // WHOLE_EVERY


def run(*words: str, seconds: float) -> str:
    found = subprocess.run(
        [sys.executable, "-m", "tests.faults", *words], cwd=ROOT, capture_output=True, text=True, timeout=seconds
    )
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
    return found.stdout


@pytest.mark.slow
def test_eight_trials_hold() -> None:
    assert "8 trials, 0 failed" in run("--trials", "8", "--seed", "8", "--jobs", "4", seconds=170)


@pytest.mark.prove
@pytest.mark.timeout(3000)
def test_a_series_that_nobody_has_seen_before_holds() -> None:
    """`make prove` calls the runner itself, to show its table."""
    print(run("--trials", "200", seconds=2900))
