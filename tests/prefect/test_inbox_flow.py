"""The inbox as Prefect runs it: its form, odd names, one look at a time, and runs that were missed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.utilities.callables import parameter_schema

from dashboard.prefect_api import server
from flows.deliver import deliver
from flows.inbox import inbox
from flows.intake.fate import Fate
from flows.intake.turn import turn
from flows.ledger.connection import connect
from tests.harness.flow_runs import LIMIT, QUICK, begun, ended
from tests.harness.stack import RunningStack
from tests.harness.world import World, world

NAME = "inboxflow"


@pytest.fixture
def flows(stack: RunningStack, tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, stack.addresses.redis_url, limit=LIMIT | {"name": NAME}, knobs=QUICK, name=NAME) as w:
        _ = w.pipeline
        yield w


def process(w: World, stack: RunningStack, module: str, **given: Any) -> dict[str, Any]:
    environment = {
        **os.environ,
        **stack.environment,
        "ROWRELAY_PIPELINES": str(w.pipeline),
        "ROWRELAY_DATA": str(w.folder / "data"),
        "ROWRELAY_SETTLE_SECONDS": "0.2",
    }
    return ended(begun(w, module, environment, **given))


def put(w: World, folder: str, name: str, rows: int, **more: Any) -> Path:
    path = w.folder / "data" / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    w.file(rows, name=name, **more).rename(path)
    os.utime(path, (time.time() - 60, time.time() - 60))
    return path


@pytest.mark.parametrize("flow", [inbox, deliver], ids=["inbox", "deliver"])
def test_every_field_of_the_form_says_what_it_is_for(flow: Any) -> None:
    properties = parameter_schema(flow).properties

    assert all(len(field.get("description", "")) > 20 for field in properties.values()), properties


def test_a_name_with_braces_is_delivered_and_names_its_run(flows: World, stack: RunningStack) -> None:
    put(flows, f"inbox/{NAME}", "a{b} {0} {.csv", 3)

    found = process(flows, stack, "look_flow_process", pipeline=NAME)

    assert (found["type"], found["message"]) == ("COMPLETED", "1 delivered")
    assert (flows.folder / "data" / "inbox" / NAME / "done" / "a{b} {0} {.csv").exists()
    (run,) = (run for run in flows.view.runs(0, 20) if run.pipeline == NAME and run.facts.name.startswith("a{b}"))
    flow_run = httpx.get(f"{stack.addresses.prefect_api_url}/flow_runs/{flows.view.flows(run.id)[0]}").json()
    assert flow_run["name"] == f"{NAME} · a{{b}} {{0}} {{.csv"


def test_a_look_that_comes_while_another_is_under_way_is_skipped(flows: World, stack: RunningStack) -> None:
    path = put(flows, f"inbox/{NAME}", "later.csv", 3)

    with turn(connect(stack.addresses.redis_url), NAME, str(path.parent.resolve())):
        found = process(flows, stack, "look_flow_process", pipeline=NAME)

    assert (found["type"], found["name"], found["tags"]) == ("COMPLETED", "Completed", ["skipped"])
    assert found["message"].startswith("Skipped: another look")
    assert path.exists()


def test_a_look_that_had_to_stop_fails_and_says_why(flows: World, stack: RunningStack) -> None:
    put(flows, f"inbox/{NAME}", "stopped.csv", 90)
    flows.control(faults={"error": 1.0})

    found = process(flows, stack, "look_flow_process", pipeline=NAME)

    assert (found["type"], found["tags"]) == ("FAILED", ["stopped"])
    assert "stopped.csv stays where it is" in found["message"]
    assert "requests in a row failed" in found["message"]


def test_of_all_the_deliveries_that_a_downtime_made_late_one_sends(flows: World, stack: RunningStack) -> None:
    put(flows, "uploads", "nightly.csv", 4)
    parameters = {"pipeline": NAME, "file": "nightly.csv"}

    found = process(flows, stack, "late_process", late_seconds=[300, 200, 100], parameters=parameters)

    assert [message.partition(":")[0] for _, message in found["ends"]] == ["4 done of 4", "Skipped", "Skipped"]
    assert {name for name, _ in found["ends"]} == {"Completed"}
    assert "before a run with the same parameters began" in found["ends"][1][1]
    assert flows.report()["arrivals"] == 4


def test_rows_that_were_delivered_before_are_left_out_if_the_flow_is_told_so(flows: World, stack: RunningStack) -> None:
    put(flows, f"inbox/{NAME}", "early.csv", 2)
    refused = process(flows, stack, "look_flow_process", pipeline=NAME, skip_delivered=True)
    assert (refused["type"], "has no `key`" in refused["message"]) == ("FAILED", True)

    flows.more["key"] = ["userId"]
    assert process(flows, stack, "look_flow_process", pipeline=NAME)["message"] == "1 delivered"
    put(flows, f"inbox/{NAME}", "late.csv", 5)

    found = process(flows, stack, "look_flow_process", pipeline=NAME, skip_delivered=True)

    assert (found["type"], found["message"]) == ("COMPLETED", "1 delivered")
    assert flows.report()["arrivals"] == 5
    (run,) = (run for run in flows.view.runs(0, 20) if run.pipeline == NAME and run.facts.name == "late.csv")
    assert (run.skipped, run.shown_as) == (2, "finished")


def test_what_a_look_took_and_passed_over_is_told_with_the_reason_and_the_place(
    flows: World, stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(flows, f"inbox/{NAME}", "first.csv", 2)
    content = first.read_bytes()
    process(flows, stack, "look_flow_process", pipeline=NAME)
    (first.parent / "again.csv").write_bytes(content)
    (first.parent / "odd.csv").write_text("")
    put(flows, f"inbox/{NAME}", "wrong.csv", 2, bad=1, first=100)

    look = process(flows, stack, "look_flow_process", pipeline=NAME)

    monkeypatch.setenv("PREFECT_API_URL", stack.addresses.prefect_api_url)
    taken = {each.name: each for each in server.taken_by(look["id"])}
    assert {name: each.fate for name, each in taken.items()} == {
        "again.csv": Fate.SKIPPED, "odd.csv": Fate.REFUSED, "wrong.csv": Fate.TROUBLED,
    }  # fmt: skip
    assert "has the content of first.csv" in taken["again.csv"].note
    places = {name: Path(each.where).relative_to(first.parent).as_posix() for name, each in taken.items()}
    assert places == {"again.csv": "done/again.csv", "odd.csv": "failed/odd.csv", "wrong.csv": "failed/wrong.csv"}
    assert all(Path(each.where).exists() for each in taken.values())
    assert taken["wrong.csv"].run
    assert server.taken_by(str(uuid4())) == []
