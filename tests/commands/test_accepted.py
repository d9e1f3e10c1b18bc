"""Rows that the API took for later: one state in the counts, the words, the lists, the exports and the metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployments.commands.progress import Moment, line
from deployments.commands.sending import exit_code
from flows.metrics import Collector, lines
from flows.records import RowState, RunState
from tests.harness.command import Run, here, rowrelay
from tests.harness.sent import POSTS, Sent, sent

__all__ = ["here", "rowrelay"]

ROWS = "userId,title,price\n1,first,1\n2,second,2\n3,third,3\n"
POLLED = POSTS + (
    "answers: [{status: 202, means: accepted, keep: {job: id}}]\n"
    'poll: {request: {method: GET, url: "http://127.0.0.1:1/jobs/{job}"}, answers: [{when: done, means: done}]}\n'
)


@pytest.fixture
def waiting(here: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """A finished run of three rows: one done, two accepted."""
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)
    monkeypatch.setenv("ROWRELAY_STORAGE", str(here))
    made = sent(redis_url, here, text=ROWS, yaml=POLLED)
    made.end(1, RowState.DONE, status=201)
    made.end(2, RowState.ACCEPTED, status=202)
    made.end(3, RowState.ACCEPTED, status=202)
    made.ledger.end(made.id, made.epoch, RunState.FINISHED, "")
    return made


def test_a_finished_run_with_accepted_rows_is_of_a_kind_of_its_own(waiting: Sent) -> None:
    run = waiting.run

    assert (run.kind, run.shown_as) == ("accepted", "sent, waiting for the API")
    assert not run.ended_well
    assert (run.finished_rows, run.decided_rows) == (3, 1)
    assert exit_code(run, interrupted=False) == 1


def test_show_and_runs_tell_of_them_and_of_how_to_ask(waiting: Sent, rowrelay: Run) -> None:
    shown, listed = rowrelay("show", "last")[1], rowrelay("runs")[1]

    assert "sent, waiting for the API" in shown
    assert "2  accepted  the API took it for later" in shown
    assert "--rows accepted --wait" in shown
    assert "accepted" in listed.splitlines()[0]
    assert json.loads(rowrelay("show", "last", "--json")[1])["counts"]["accepted"] == 2


def test_runs_of_pipelines_that_accept_nothing_have_no_column_for_it(
    here: Path, redis_url: str, rowrelay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)
    sent(redis_url, here, text=ROWS)

    assert "accepted" not in rowrelay("runs")[1]
    assert "accepted" not in rowrelay("show", "last")[1]


def test_they_are_exported_by_their_state(waiting: Sent, rowrelay: Run) -> None:
    _, out, _ = rowrelay("export", "last", "--rows", "accepted")

    assert [(row["row"], row["result"]) for row in json.loads(out)["result"]] == [(2, "accepted"), (3, "accepted")]


def test_a_line_of_progress_counts_them(waiting: Sent) -> None:
    assert line(Moment(waiting.run)).startswith("100 % of 3 · 1 done · 2 accepted · 0 failed")


def test_the_metrics_count_them(waiting: Sent) -> None:
    told = lines(Collector(waiting.ledger.client)).decode()

    assert 'rowrelay_outcomes_total{outcome="accepted",pipeline="posts"} 2.0' in told
    assert 'rowrelay_rows{pipeline="posts",state="accepted"}' in told
