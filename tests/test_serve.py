"""`python -m deployments.serve` in a real Prefect: schedules that really run, definitions that change, refusals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from prefect.schedules import Schedule
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

from flows.definition import Definition, load
from flows.schedule import schedules
from tests.conftest import wait_until
from tests.stack_fixture import RunningStack
from tests.world import ROOT, World, world

LIMIT: dict[str, Any] = {"name": "serve", "requests": 100, "window_seconds": 1, "in_flight": 10, "grace_seconds": 0.3}
QUICK = {"delay_min_seconds": 0.005, "delay_max_seconds": 0.01}
NAME = "inposts"
EVERY_SECONDS = 5


class Served:
    """A served world: start and stop `deployments.serve`, ask its Prefect."""

    def __init__(self, w: World, stack: RunningStack) -> None:
        self.world, self.stack = w, stack
        self.log = w.folder / "serve.log"
        self.process: subprocess.Popen[str] | None = None
        self.inbox = stack.settings.inbox / NAME
        self.inbox.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        environment = {
            **os.environ,
            **self.stack.environment,
            "ROWRELAY_PIPELINES": str(self.world.folder / "posts.yaml"),
            "ROWRELAY_SETTLE_SECONDS": "0.2",
        }
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deployments.serve"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                text=True,
            )
        self.world.engines.append(self.process)

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    def define(self, **more: Any) -> None:
        self.world.more = {"name": NAME, **more}
        _ = self.world.pipeline

    def put(self, name: str, rows: int, *, first: int, age: float = 60.0) -> None:
        made = self.world.file(rows, name=name, first=first)
        os.utime(made, (time.time() - age, time.time() - age))
        made.rename(self.inbox / name)

    def ask(self, path: str, body: Any = None, *, method: str = "POST") -> httpx.Response:
        url = self.stack.addresses.prefect_api_url
        if method == "GET":
            return httpx.get(url + path, timeout=20)
        token = httpx.get(f"{url}/csrf-token", params={"client": "test"}).json()["token"]
        headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
        return httpx.request(method, url + path, json=body, headers=headers, timeout=20)

    def deployment(self, flow: str = "inbox") -> dict[str, Any]:
        found = self.ask(f"/deployments/name/{flow}/{NAME}", method="GET")
        return dict(found.json()) if found.status_code == 200 else {}

    def flow_runs(self) -> list[dict[str, Any]]:
        """The runs of the inbox that had their turn, oldest first."""
        query = {
            "deployments": {"id": {"any_": [self.deployment()["id"]]}},
            "sort": "EXPECTED_START_TIME_ASC",
            "limit": 200,
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED", "RUNNING"]}}},
        }
        return list(self.ask("/flow_runs/filter", query).json())


@pytest.fixture
def served(stack: RunningStack, tmp_path: Path) -> Iterator[Served]:
    with world(tmp_path, stack.addresses.redis_url, limit=LIMIT, knobs=QUICK) as w:
        made = Served(w, stack)
        try:
            yield made
        finally:
            if made.process is not None and made.process.poll() is None:
                made.stop()
            if there := made.deployment():  # or its schedule goes on in the other tests' server
                made.ask(f"/deployments/{there['id']}", method="DELETE")


def test_schedules_really_run_and_survive_downtime_changes_and_people(served: Served) -> None:
    plan = [{"interval_seconds": EVERY_SECONDS, "timezone": "Europe/Berlin"}]
    served.define(schedules=plan)
    served.put("b.csv", 3, first=1, age=200)
    served.put("a.csv", 3, first=101, age=100)
    served.start()

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

    try:
        first = wait_until(first_look, seconds=20, what="the end of the first look")
    finally:
        for e in served.flow_runs():
            print(
                "XX",
                e["expected_start_time"],
                e["start_time"],
                e["end_time"],
                e["state"]["name"],
                e["state"]["message"],
            )
    assert first is not None
    assert first["auto_scheduled"]
    run = json.loads((done / "a.csv.report.json").read_text())["run"]
    assert served.world.run(run).by == "schedule"

    # refused before a run exists
    for flow, wrong in (
        ("inbox", {"folder": 7}),
        ("inbox", {"pipeline": "other"}),
        ("deliver", {"rows": "all"}),
        ("deliver", {"pipeline": 3}),
    ):
        answer = served.ask(f"/deployments/{served.deployment(flow)['id']}/create_flow_run", {"parameters": wrong})
        assert answer.status_code == 409, answer.text

    # a person's schedule, and a definition that becomes wrong, then right again
    by_hand = {
        "schedule": {"cron": "0 6 * * 1-5", "timezone": "Asia/Tokyo"},
        "active": True,
        "parameters": {"folder": ""},
    }
    assert served.ask(f"/deployments/{served.deployment()['id']}/schedules", [by_hand]).status_code == 201
    path = served.world.folder / "posts.yaml"
    good = path.read_text()
    path.write_text(good.replace('"limit"', '"limmit"'))
    wait_until(lambda: "The change is refused" in served.log.read_text(), seconds=15, what="the refusal")
    assert "posts.yaml" in served.log.read_text()
    assert len(served.deployment()["schedules"]) == 2
    served.define(schedules=plan, description="Now with a description.")
    wait_until(
        lambda: served.deployment("deliver")["description"] == "Now with a description.", seconds=15, what="the change"
    )
    kept = wait_until(lambda: len(s := served.deployment()["schedules"]) == 2 and s, seconds=5, what="both schedules")
    assert {each["schedule"].get("cron") or each["schedule"].get("interval") for each in kept} == {
        "0 6 * * 1-5",
        EVERY_SECONDS,
    }

    # downtime: Prefect starts every missed run; one of them does the work
    served.stop()
    seen = {each["id"] for each in served.flow_runs()}
    served.put("late.csv", 3, first=201)
    time.sleep(3 * EVERY_SECONDS)
    back = time.time()
    served.start()
    try:
        wait_until(lambda: (done / "late.csv").exists(), seconds=60, what="the file that came meanwhile")
    finally:
        query = {
            "deployments": {"id": {"any_": [served.deployment()["id"]]}},
            "sort": "EXPECTED_START_TIME_ASC",
            "limit": 40,
        }
        for e in served.ask("/flow_runs/filter", query).json():
            print(
                "ZZ",
                e["expected_start_time"],
                e["start_time"],
                e["end_time"],
                e["state"]["name"],
                e["state"]["message"],
                e["state"]["timestamp"],
            )
        print("back", time.gmtime(back))
        print(served.log.read_text()[-3000:])

    def missed() -> list[dict[str, Any]]:
        found = [each for each in served.flow_runs() if each["id"] not in seen]
        return [each for each in found if datetime.fromisoformat(each["expected_start_time"]).timestamp() < back]

    wait_until(
        lambda: len(m := missed()) >= 2 and all(e["state"]["type"] != "RUNNING" for e in m),
        seconds=30,
        what="the missed runs",
    )
    for e in missed():
        print("YY", e["expected_start_time"], e["start_time"], e["end_time"], e["state"]["name"], e["state"]["message"])
    names = Counter(each["state"]["name"] for each in missed())
    assert names["Completed"] <= 1
    assert set(names) <= {"Completed", "Skipped", "Cancelled"}
    assert len({arrival["tag"] for arrival in served.world.arrivals()}) == len(served.world.arrivals()) == 9

    # paused by a person: stays so over a restart
    own = next(each for each in served.deployment()["schedules"] if each["slug"])
    served.ask(f"/deployments/{served.deployment()['id']}/schedules/{own['id']}", {"active": False}, method="PATCH")
    served.stop()
    served.start()
    wait_until(
        lambda: own["id"] not in {e["id"] for e in served.deployment()["schedules"]}, seconds=30, what="the restart"
    )
    again = next(each for each in served.deployment()["schedules"] if each["slug"])
    assert (again["slug"], again["active"]) == (own["slug"], False)


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


def test_serve_refuses_wrong_definitions_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\n")
    environment = {**os.environ, "ROWRELAY_PIPELINES": str(tmp_path), "ROWRELAY_DATA": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "-m", "deployments.serve"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "bad.yaml" in done.stderr
    assert "Traceback" not in done.stderr
