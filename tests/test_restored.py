"""A ledger that was put back from a backup does not know what was sent since: nothing of it is sent again unasked."""

from __future__ import annotations

import signal
from pathlib import Path
from uuid import uuid4

from flows.ledger.backup import doubt, doubtful
from flows.ledger.connection import connect
from flows.records import RowState, RunState
from tests.conftest import wait_until
from tests.world import world

LIMIT = {"name": "restored", "requests": 50, "window_seconds": 1}


def test_waiting_rows_of_a_restored_ledger_are_sent_only_when_somebody_says_so(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT) as scene:
        run, over = str(uuid4()), str(uuid4())
        assert scene.deliver(over, file=scene.file(5, name="over.csv", first=1001))["state"] == RunState.FINISHED
        file = scene.file(200)
        engine = scene.start(run, file=file)
        wait_until(
            lambda: scene.view.client.exists(f"rowrelay:run:{{{run}}}") and scene.run(run).counts[RowState.DONE] >= 20,
            seconds=30,
            what="some rows",
        )
        engine.send_signal(signal.SIGTERM)
        left = scene.ended(engine)["counts"]
        sent = scene.report()["arrivals"]

        for _ in range(2):
            doubt(connect(redis_url), doubtful(scene.view), by="me")

        counts = scene.run(run).counts
        assert (counts[RowState.WAITING], counts[RowState.UNKNOWN]) == (0, left["waiting"])
        assert scene.run(over).counts[RowState.DONE] == 5
        resumed = scene.deliver(run, file=file)
        assert resumed["counts"]["unknown"] == left["waiting"]
        assert scene.report()["arrivals"] == sent

        asked = scene.deliver(run, file=file, rows="unknown", request="a person")
        assert asked["counts"]["done"] == 200
