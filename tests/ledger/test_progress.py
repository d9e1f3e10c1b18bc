"""How a run's progress is put into words."""

from __future__ import annotations

from pathlib import Path

from deployments.commands.progress import Moment, Rate, line, waits_for
from flows.ledger.connection import connect
from flows.limit.status import status
from flows.records import RowState
from tests.harness.sent import sent


def test_a_rate_counts_from_the_first_row_that_ended() -> None:
    rate = Rate()

    seen = [rate.note(now, ended) for now, ended in ((0, 3), (50, 3), (60, 53), (70, 53), (90, 53))]

    assert seen == [None, None, 5.0, 2.5, None]


def test_the_line_says_what_is_waited_for(redis_url: str, tmp_path: Path) -> None:
    run = sent(redis_url, tmp_path)
    run.end(1, RowState.DONE, status=201)
    client, now = connect(redis_url), 4_000_000_000.0
    client.hset("rowrelay:limit:{api}:state", mapping={"sure": int((now + 100) * 1e6), "sure_why": "new"})

    moment = Moment(run.run, status(client, "api"), 0.5, "", now)

    assert line(moment).startswith("50 % of 6 · 1 done · 0 failed · 0 unknown · 2 rejected · 0.5/s, 1 min 46 s left")
    assert waits_for(moment) == (
        "waiting to be sure for 1 min 40 s: this limit is new here: what was sent before is not known"
        " (`rowrelay limits trust api` skips the wait, if nothing else was sent under this limit)"
    )
