"""What a run is called while it is between two states."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import uuid4

import streamlit as st
from starlette.testclient import TestClient

from dashboard import connections
from dashboard.api.app import make_api
from flows.records import RunState
from tests.dashboard.test_dashboard_inbox import CHECKED, labels
from tests.dashboard.test_dashboard_refusals import Answers, answers, begun
from tests.harness.pages import show, text
from tests.harness.seeding import seed, write_posts

__all__ = ["answers"]


def test_a_run_is_starting_from_the_click_until_its_flow_run_has_taken_it(
    answers: Answers, redis_url: str, tmp_path: Path
) -> None:
    run, flow = seed(connections.settings(), redis_url, write_posts(tmp_path / "posts.csv", 3)), str(uuid4())
    run.leave(RunState.CHECKING, CHECKED)
    epoch = run.delivery.lease.epoch
    run.ledger.facts(run.id, asked=flow, asked_at=f"{time.time():.0f}", asked_epoch=epoch)
    run.ledger.flow(run.id, flow)  # it is under way, and about to take the run
    running = {"state": {"type": "RUNNING", "name": "Running"}}
    answers["GET", f"/flow_runs/{flow}"] = (200, begun(flow) | running)

    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        assert api.get(f"/runs/{run.id}").json()["shown_as"] == "starting"
        st.cache_data.clear()
        page = show("run", id=run.id)
        assert labels(page) == ["Cancel"]
        assert "checked, not sent" not in text(page) + text(show("runs"))
        assert "This file is being sent." in text(show("check", run=run.id))

        run.ledger.end(run.id, run.ledger.take(run.id, "w", resume=True), RunState.STOPPED, "HTTP 500")

        assert api.get(f"/runs/{run.id}").json()["shown_as"] == "stopped"  # though its flow run is still about to end
        st.cache_data.clear()
        page = show("run", id=run.id)
        assert "Resume: 3 rows" in labels(page)
        assert "starting" not in text(page)
