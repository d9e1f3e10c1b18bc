"""`rowrelay serve` in a real Prefect: schedules that really run, definitions that change, refusals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prefect.schedules import Schedule
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

from deployments.runners.serve import AHEAD_SECONDS
from flows.flow_runs.schedule import schedules
from flows.pipeline.definition import Definition
from flows.pipeline.reading import load
from tests.harness.serving import Serving
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import ROOT, World, world

LIMIT: dict[str, Any] = {"name": "serve", "requests": 100, "window_seconds": 1, "in_flight": 10, "grace_seconds": 0.3}
QUICK = {"delay_min_seconds": 0.005, "delay_max_seconds": 0.01}
NAME = "inposts"
EVERY_SECONDS = 10  # a look takes seconds on a busy machine: at 5 they would queue up


class Served(Serving):
    """A folder of definitions as `rowrelay serve` takes it, and the inbox of one of them."""

    flow = "inbox"

    def __init__(self, w: World, stack: RunningStack) -> None:
        super().__init__(w, stack, NAME, ROWRELAY_PIPELINES=str(w.folder))
        self.inbox = stack.settings.inbox / NAME
        self.inbox.mkdir(parents=True, exist_ok=True)

    def stop(self) -> None:
        process = self.processes.pop()
        process.send_signal(signal.SIGINT)
        process.wait(30)

    def define(self, **more: Any) -> None:
        self.world.more = {"name": NAME, **more}
        _ = self.world.pipeline

    def put(self, name: str, rows: int, *, first: int, age: float = 60.0) -> None:
        made = self.world.file(rows, name=name, first=first)
        os.utime(made, (time.time() - age, time.time() - age))
        made.rename(self.inbox / name)

    def flow_runs(self, flow: str = "", *, states: list[str] | None = None) -> list[dict[str, Any]]:
        """Runs, oldest first: those that had their turn, unless other states are named."""
        wanted = states or ["COMPLETED", "FAILED", "CRASHED", "CANCELLED", "RUNNING"]
        query = {
            "deployments": {"id": {"any_": [self.deployment(flow)["id"]]}},
            "sort": "EXPECTED_START_TIME_ASC",
            "limit": 200,
            "flow_runs": {"state": {"type": {"any_": wanted}}},
        }
        return list(self.ask("/flow_runs/filter", query).json())


@pytest.fixture
def served(stack: RunningStack, tmp_path: Path) -> Iterator[Served]:
    with world(tmp_path, stack.addresses.redis_url, limit=LIMIT, knobs=QUICK) as w:
        made = Served(w, stack)
        try:
            yield made
        finally:
            made.end()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_schedules_really_run_and_survive_downtime_changes_and_people(served: Served) -> None:
    plan = [{"interval_seconds": EVERY_SECONDS, "timezone": "Europe/Berlin"}]
    served.define(schedules=plan)
    served.put("b.csv", 3, first=1, age=200)
    served.put("a.csv", 3, first=101, age=100)
    served.serve()

    # a scheduled run really appears and delivers, oldest first
    done = served.inbox / "done"
    wait_until(
        lambda: (done / "a.csv.report.json").exists() and not list(served.inbox.glob("*.csv")),
        seconds=60,
        what="both files",
    )
    tags = [int(arrival["tag"]) for arrival in served.world.arrivals()]
    assert sorted(tags) == [1, 2, 3, 101, 102, 103]
    assert max(tags[:3]) == 3

    def first_look() -> dict[str, Any] | None:
        return next((each for each in served.flow_runs() if each["state"]["message"] == "2 delivered"), None)

    first = wait_until(first_look, seconds=20, what="the end of the first look")
    assert first is not None
    assert first["auto_scheduled"]
    run = json.loads((done / "a.csv.report.json").read_text())["run"]
    assert served.world.run(run).by == "schedule"

    # refused before a run exists
    for flow, wrong in (
        ("inbox", {"folder": 7}),
        ("inbox", {"pipeline": "other"}),
        ("deliver", {"file": "x.csv", "pipeline": 3}),
        ("deliver", {"file": "x.csv", "rows": "all"}),
        ("deliver", {"file": ""}),
        ("deliver", {}),
    ):
        answer = served.ask(f"/deployments/{served.deployment(flow)['id']}/create_flow_run", {"parameters": wrong})
        assert answer.status_code == 409, answer.text
    assert {run["state"]["name"] for run in served.flow_runs("deliver")} == set()

    # a person's schedule, and a definition that becomes wrong, then right again
    by_hand = {
        "schedule": {"cron": "0 6 1 1 *", "timezone": "Asia/Tokyo"},
        "active": True,
        "parameters": {"folder": ""},
    }
    assert served.ask(f"/deployments/{served.deployment()['id']}/schedules", [by_hand]).status_code == 201
    path = served.world.folder / "posts.yaml"
    good = path.read_text()
    path.write_text(good.replace('"limit"', '"limmit"'))
    wait_until(lambda: "Refused" in served.log.read_text(), seconds=15, what="the refusal")
    assert "posts.yaml" in served.log.read_text()
    assert len(served.deployment()["schedules"]) == 2
    served.define(schedules=plan, description="Now with a description.")
    wait_until(
        lambda: served.deployment("deliver")["description"] == "Now with a description.", seconds=15, what="the change"
    )
    kept = wait_until(lambda: len(s := served.deployment()["schedules"]) == 2 and s, seconds=5, what="both schedules")
    assert {each["schedule"].get("cron") or each["schedule"].get("interval") for each in kept} == {
        "0 6 1 1 *",
        EVERY_SECONDS,
    }

    # downtime: Prefect starts every missed run; one of them does the work
    served.stop()
    served.put("late.csv", 3, first=201)
    time.sleep(2.5 * EVERY_SECONDS)
    due = {each["id"] for each in served.flow_runs(states=["SCHEDULED"]) if moment(each) < time.time()}
    assert len(due) >= 2
    served.serve()
    wait_until(lambda: (done / "late.csv").exists(), seconds=60, what="the file that came meanwhile")

    def missed() -> list[dict[str, Any]]:
        return [each for each in served.flow_runs() if each["id"] in due and each["state"]["type"] != "RUNNING"]

    wait_until(lambda: len(missed()) == len(due), seconds=120, what="the missed runs to be over")
    skipped = sum("skipped" in each["tags"] for each in missed())
    assert len(due) - 1 <= skipped <= len(due)
    assert {each["state"]["name"] for each in missed()} == {"Completed"}
    assert [each["state"]["message"] for each in served.flow_runs()].count("1 delivered") == 1
    assert len({arrival["tag"] for arrival in served.world.arrivals()}) == len(served.world.arrivals()) == 9

    # paused by a person: stays so over a restart
    own = next(each for each in served.deployment()["schedules"] if each["slug"])
    served.ask(f"/deployments/{served.deployment()['id']}/schedules/{own['id']}", {"active": False}, method="PATCH")
    paused_at = time.time()
    served.stop()
    served.serve()
    wait_until(
        lambda: own["id"] not in {e["id"] for e in served.deployment()["schedules"]}, seconds=30, what="the restart"
    )
    again = next(each for each in served.deployment()["schedules"] if each["slug"])
    assert (again["slug"], again["active"]) == (own["slug"], False)
    time.sleep(1.5 * EVERY_SECONDS)
    # One whose time came before the pause may have waited for its turn; serve takes each a second before its time.
    begun_by = paused_at + AHEAD_SECONDS
    anything = ["SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED"]
    planned_for = [moment(each) for each in served.flow_runs(states=anything) if each["auto_scheduled"]]
    assert [each for each in planned_for if begun_by < each < paused_at + 1000] == []  # the person's comes once a year


def moment(flow_run: dict[str, Any]) -> float:
    return datetime.fromisoformat(flow_run["expected_start_time"]).timestamp()


@pytest.mark.slow
def test_what_comes_while_a_look_is_under_way_waits_for_its_turn_and_finds_nothing_new(served: Served) -> None:
    served.define()
    served.put("long.csv", 400, first=1)
    served.serve()
    path = f"/deployments/{served.deployment()['id']}/create_flow_run"
    first, second = (served.ask(path, {"parameters": {}}).json()["id"] for _ in range(2))

    def names(flow_run: str) -> list[str]:
        found = served.ask(f"/flow_run_states/?flow_run_id={flow_run}", method="GET").json()
        return [state["name"] for state in found]

    wait_until(
        lambda: {"Completed"} <= set(names(first)) & set(names(second)), seconds=90, what="both looks to be over"
    )
    assert ("AwaitingConcurrencySlot" in names(first)) != ("AwaitingConcurrencySlot" in names(second))
    assert len(served.world.arrivals()) == 400


@pytest.mark.slow
def test_a_wrong_definition_spoils_no_other_and_one_that_goes_takes_its_schedules_along(served: Served) -> None:
    served.define(schedules=[{"cron": "0 6 * * *"}])
    (served.world.folder / "bad.yaml").write_text("name: bad\n")
    served.serve()
    wait_until(lambda: served.deployment("deliver"), seconds=60, what="the other deployment")
    assert "bad.yaml" in served.log.read_text()
    assert "Traceback" not in served.log.read_text()

    served.put("fine.csv", 3, first=1)
    served.ask(f"/deployments/{served.deployment()['id']}/create_flow_run", {"parameters": {}})
    wait_until(lambda: (served.inbox / "done" / "fine.csv").exists(), seconds=60, what="the file")

    definition = (served.world.folder / "posts.yaml").rename(served.world.folder / "away")
    (served.world.folder / "bad.yaml").write_text("name: still bad\n")
    wait_until(lambda: served.log.read_text().count("Refused") >= 2, seconds=15, what="the second refusal")
    assert served.deployment()["schedules"]  # which pipeline the bad file is of, nobody knows
    (served.world.folder / "bad.yaml").unlink()
    wait_until(lambda: served.deployment()["paused"], seconds=15, what="the withdrawal")
    assert served.deployment()["schedules"] == []

    definition.rename(served.world.folder / "posts.yaml")
    wait_until(lambda: not served.deployment()["paused"], seconds=15, what="its return")
    assert len(served.deployment()["schedules"]) == 1


def dates(stated: dict[str, Any], start: str, count: int, tmp_path: Path) -> list[str]:
    """When a stated schedule comes, in its own time zone."""
    rule = planned(tmp_path, stated)
    zone = ZoneInfo(stated["timezone"])
    if rule.cron is not None:
        there: Any = CronSchedule(cron=rule.cron, timezone=rule.timezone)
    elif rule.rrule is not None:
        there = RRuleSchedule(rrule=rule.rrule, timezone=rule.timezone)
    else:
        there = IntervalSchedule(interval=rule.interval, timezone=rule.timezone, anchor_date=rule.anchor_date)
    found = asyncio.run(there.get_dates(count, start=datetime.fromisoformat(start).replace(tzinfo=zone)))
    return [f"{each.astimezone(zone):%d %H:%M}" for each in found]


def planned(tmp_path: Path, *stated: dict[str, Any]) -> Schedule:
    return schedules(definition(tmp_path, *stated))[0]


def definition(tmp_path: Path, *stated: dict[str, Any]) -> Definition:
    path = tmp_path / "planned.yaml"
    path.write_text(
        json.dumps(
            {
                "name": "planned",
                "columns": {"a": {"type": "str"}},
                "request": {"url": "http://127.0.0.1:1/x"},
                "limit": {"name": "planned", "requests": 1, "window_seconds": 1},
                "schedules": list(stated),
            }
        )
    )
    return load(path)


BERLIN = {"timezone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("stated", "start", "expected"),
    [
        # clocks go forward on 29 March 2026 from 2:00 to 3:00, back on 25 October from 3:00 to 2:00
        ({"cron": "0 9 * * *", **BERLIN}, "2026-03-28T00:00", ["28 09:00", "29 09:00", "30 09:00"]),
        ({"cron": "0 9 * * *", **BERLIN}, "2026-10-24T00:00", ["24 09:00", "25 09:00", "26 09:00"]),
        (
            {"rrule": "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0", **BERLIN},
            "2026-03-28T00:00",
            ["28 09:00", "29 09:00", "30 09:00"],
        ),
        # at a time that does not exist: an hour earlier; at one that comes twice: once
        ({"cron": "30 2 * * *", **BERLIN}, "2026-03-28T00:00", ["28 02:30", "29 01:30", "30 02:30"]),
        ({"cron": "30 2 * * *", **BERLIN}, "2026-10-24T00:00", ["24 02:30", "25 02:30", "26 02:30"]),
        (
            {"rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0", **BERLIN},
            "2026-03-28T00:00",
            ["28 02:30", "29 01:30", "30 02:30"],
        ),
        # every hour: the hour that comes twice is used once, unless the time zone is UTC
        ({"cron": "0 * * * *", **BERLIN}, "2026-10-25T01:30", ["25 02:00", "25 03:00", "25 04:00"]),
        ({"cron": "0 * * * *", **BERLIN}, "2026-03-29T00:30", ["29 01:00", "29 03:00", "29 04:00"]),
        ({"interval_seconds": 3600, **BERLIN}, "2026-10-25T01:30", ["25 02:00", "25 03:00", "25 04:00"]),
        ({"interval_seconds": 3600, **BERLIN}, "2026-03-29T00:30", ["29 01:00", "29 03:00", "29 04:00"]),
        ({"interval_seconds": 86400, **BERLIN}, "2026-10-24T00:00", ["24 02:00", "25 02:00", "26 02:00"]),
        (
            {"rrule": "FREQ=WEEKLY;BYDAY=SU;BYHOUR=9;BYMINUTE=0;BYSECOND=0", **BERLIN},
            "2026-10-20T00:00",
            ["25 09:00", "01 09:00"],
        ),
        ({"interval_seconds": 86400, **BERLIN}, "2026-03-28T00:00", ["28 01:00", "29 01:00", "30 01:00"]),
        ({"interval_seconds": 3600, "timezone": "UTC"}, "2026-01-01T00:10", ["01 01:00", "01 02:00"]),
    ],
)
def test_schedules_keep_their_time_of_day_when_clocks_change(
    stated: dict[str, Any], start: str, expected: list[str], tmp_path: Path
) -> None:
    assert dates(stated, start, len(expected), tmp_path) == expected


def test_a_changed_schedule_is_another_one_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    nine = {"cron": "0 9 * * *", **BERLIN}
    slugs = {
        planned(tmp_path, given).slug
        for given in (
            nine,
            dict(nine),
            {**nine, "cron": "0 8 * * *"},
            {**nine, "active": False},
            {**nine, "inbox": "x"},
        )
    }
    assert len(slugs) == 4


def test_a_schedule_says_where_its_files_come_from(tmp_path: Path) -> None:
    made = planned(tmp_path, {"cron": "0 9 * * *", "inbox": "s3://bucket/arrivals", "active": False})
    assert made.parameters == {"pipeline": "planned", "folder": "s3://bucket/arrivals"}
    assert (made.timezone, made.active) == ("UTC", False)


def test_serve_refuses_a_folder_that_is_not_there_before_it_starts(tmp_path: Path) -> None:
    environment = {**os.environ, "ROWRELAY_PIPELINES": str(tmp_path / "none"), "ROWRELAY_DATA": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "-m", "deployments.commands", "serve"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "ROWRELAY_PIPELINES" in done.stderr
    assert "Traceback" not in done.stderr
