"""When schedules come: what is refused, in bounded time, and that the times shown are those of Prefect itself."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

from dashboard.prefect_api import schedules
from deployments.embedded.stored_schedules import pause_refused
from flows.errors import DefinitionError
from flows.pipeline import seek
from flows.pipeline.pipelines import shipped
from flows.pipeline.reading import from_resolved, load
from flows.pipeline.timing import HARD, Rule, RuleRefused

EVERY_SECOND = ",".join(map(str, range(60)))
REFUSED: Sequence[tuple[Rule, str, str]] = (
    (Rule(cron="0 0 30 2 *"), "cron", "never comes"),
    (Rule(cron="0 0 31 2,4 *"), "cron", "never comes"),
    (Rule(cron="0 0 LW * *"), "cron", "is no cron expression"),
    (Rule(cron="0 0 * * 5L"), "cron", "is no cron expression"),
    (Rule(cron="99 6 * * *"), "cron", "is no cron expression: out of range"),
    (Rule(cron="*/0 * * * *"), "cron", "is no cron expression"),
    (Rule(cron="@daily"), "cron", "five fields"),
    (Rule(cron="R(0-30) * * * *"), "cron", "drawn by lot"),
    (Rule(cron="H 6 * * *"), "cron", "drawn by lot"),
    (Rule(cron=",".join("1" * 400) + " * * * *"), "cron", "is longer than 500"),
    (Rule(rrule="FREQ=DAILY;INTERVAL=0"), "rrule", "INTERVAL=0 is not 1 or more"),
    (Rule(rrule="freq=daily;interval=00"), "rrule", "INTERVAL=00 is not 1 or more"),
    (Rule(rrule="FREQ=DAILY;INTERVAL=-1"), "rrule", "INTERVAL=-1 is not 1 or more"),
    (Rule(rrule="FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30"), "rrule", HARD),
    (Rule(rrule="FREQ=MONTHLY;BYMONTHDAY=30;BYMONTH=2"), "rrule", "never comes"),
    (Rule(rrule="RRULE:FREQ=DAILY\nEXRULE:FREQ=DAILY"), "rrule", HARD),
    (Rule(rrule=f"FREQ=DAILY;BYMINUTE={EVERY_SECOND};BYSECOND={EVERY_SECOND}"), "rrule", HARD),
    (Rule(rrule="FREQ=SECONDLY"), "rrule", "more often than once a minute"),
    (Rule(rrule="every Monday"), "rrule", "is no iCalendar rule"),
    (Rule(rrule="FREQ=DAILY;COUNT=3"), "rrule", "all of its times have passed"),
    (Rule(interval_seconds=0.5), "interval_seconds", "is no interval"),
    (Rule(interval_seconds=float("nan")), "interval_seconds", "is no interval"),
    (Rule(interval_seconds=1e12), "interval_seconds", "is no interval"),
    (Rule(cron="0 6 * * *", timezone="Factory"), "timezone", "is no time zone"),
    (Rule(cron="0 6 * * *", timezone="../etc"), "timezone", "is no time zone"),
)


@pytest.mark.parametrize(("rule", "key", "says"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_what_prefect_could_not_run_or_would_come_to_harm_by_is_refused_in_words(
    rule: Rule, key: str, says: str
) -> None:
    with pytest.raises(RuleRefused) as refused:
        rule.judge()

    assert refused.value.key == key
    assert says in refused.value.message


@pytest.mark.parametrize(
    "rule",
    [
        Rule(cron="0 0 ? * *"),
        Rule(cron="0 0 29 2 *"),
        Rule(cron="0 0 * MAR THU"),
        Rule(cron=f"{EVERY_SECOND} * * * *"),
        Rule(interval_seconds=1),
        Rule(rrule="FREQ=HOURLY"),
        Rule(rrule="FREQ=MINUTELY;INTERVAL=15"),
        Rule(rrule="FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"),
        Rule(rrule="DTSTART:20200101T060000Z\nRRULE:FREQ=DAILY"),
        Rule(rrule="RRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY;BYHOUR=6\nEXDATE:20300101T000000"),
        Rule(cron="0 6 * * *", timezone="Asia/Calcutta"),
    ],
    ids=str,
)
def test_what_prefect_runs_is_taken(rule: Rule) -> None:
    rule.judge()

    assert schedules.coming(rule)


def test_two_times_at_one_instant_are_more_than_a_second_takes() -> None:
    assert seek.seek("FREQ=DAILY", datetime(2026, 11, 30)) == {}
    assert seek.seek("RDATE:20300101T000000", datetime(2026, 11, 30)) == {}
    assert "is no iCalendar rule" in seek.seek("FREQ=DAILY;BYHOUR=99", datetime(2026, 11, 30))["fault"]


def stated(folder: Path, rule: str) -> Path:
    path = folder / "stated.yaml"
    path.write_text((shipped() / "posts.yaml").read_text() + f"\nschedules:\n  - {{{rule}}}\n")
    return path


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("cron: '0 0 LW * *'", "schedules[0].cron: is no cron expression"),
        ("rrule: 'FREQ=DAILY;INTERVAL=0'", "schedules[0].rrule: is no iCalendar rule: INTERVAL=0 is not 1 or more"),
        ("rrule: 'FREQ=WEEKLY', timezone: Factory", "schedules[0].timezone: 'Factory' is no time zone"),
    ],
)
def test_a_definition_is_judged_by_the_same_rules(tmp_path: Path, rule: str, says: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        load(stated(tmp_path, rule))

    assert says in str(refused.value)


def test_a_rule_that_is_over_leaves_its_pipeline_as_it_is(tmp_path: Path) -> None:
    made = load(stated(tmp_path, "rrule: 'FREQ=DAILY;UNTIL=20200105T000000'"))

    assert len(made.schedules) == 1


def test_a_run_is_resumed_whatever_is_thought_of_its_schedules_since() -> None:
    stored = load(shipped() / "posts.yaml").resolved() | {"schedules": [{"rrule": "FREQ=DAILY;INTERVAL=0"}]}

    assert from_resolved(stored).schedules[0].rrule == "FREQ=DAILY;INTERVAL=0"


def by_prefect(planned: dict[str, Any], start: datetime) -> list[datetime]:
    kinds: tuple[Any, ...] = (CronSchedule, IntervalSchedule, RRuleSchedule)
    kind = next(kind for kind in kinds if set(planned) <= set(kind.model_fields))
    return list(asyncio.run(kind(**planned).get_dates(n=5, start=start)))


@pytest.mark.parametrize(
    ("cron", "first"),
    [
        ("0 6 1 * *", ["2027-03-01T06:00:00+01:00", "2027-04-01T06:00:00+02:00", "2027-05-01T06:00:00+02:00"]),
        ("0 6 27-31 3 *", ["2027-03-27T06:00:00+01:00", "2027-03-28T06:00:00+02:00", "2027-03-29T06:00:00+02:00"]),
        ("0 6 * 3 0", ["2027-03-07T06:00:00+01:00", "2027-03-14T06:00:00+01:00", "2027-03-21T06:00:00+01:00"]),
        ("30 6 30,31 10 *", ["2027-10-30T06:30:00+02:00", "2027-10-31T06:30:00+01:00", "2028-10-30T06:30:00+01:00"]),
    ],
)
def test_the_times_that_are_shown_are_by_the_clock_on_days_when_clocks_change_too(cron: str, first: list[str]) -> None:
    start = datetime(2027, 2, 2, tzinfo=UTC)

    times = schedules.coming(Rule(cron=cron, timezone="Europe/Berlin"), start=start)

    assert [each.isoformat() for each in times[:3]] == first


@pytest.mark.parametrize(
    ("rule", "wall"),
    [
        (Rule(rrule="FREQ=DAILY;BYHOUR=6;BYMINUTE=0;BYSECOND=0", timezone="Europe/Berlin"), "06:00"),
        (Rule(interval_seconds=86_400, timezone="Europe/Berlin"), ""),
        (Rule(interval_seconds=3600, timezone="Europe/Berlin"), ""),
        (Rule(cron="30 2 * * *", timezone="Europe/Berlin"), ""),
    ],
    ids=str,
)
def test_the_times_that_are_shown_are_prefects_own(rule: Rule, wall: str) -> None:
    for start in (datetime(2027, 3, 26, 12, tzinfo=UTC), datetime(2027, 10, 29, 12, tzinfo=UTC)):
        planned = schedules.as_prefect(rule, begun=start)

        shown = schedules.times(rule, planned, start)

        assert [each.timestamp() for each in shown] == [each.timestamp() for each in by_prefect(planned, start)]
        assert not wall or {f"{each:%H:%M}" for each in shown} == {wall}
        assert shown[-1] - shown[0] < timedelta(days=5, hours=1)
        assert shown[0].tzinfo == ZoneInfo("Europe/Berlin")


def test_a_database_that_holds_an_endless_rule_is_mended_before_its_server_looks_at_it(tmp_path: Path) -> None:
    database = tmp_path / "prefect.db"
    rules = {
        "endless": {"rrule": "DTSTART:20200101T000000\nFREQ=DAILY;INTERVAL=0", "timezone": "UTC"},
        "never": {"cron": "0 0 30 2 *", "timezone": None, "day_or": True},
        "over": {"rrule": "FREQ=DAILY;COUNT=1", "timezone": "UTC"},
        "daily": {"cron": "0 6 * * *", "timezone": "Europe/Berlin", "day_or": True},
        "hourly": {"interval": 3600.0, "anchor_date": "2024-01-01T00:00:00Z", "timezone": "UTC"},
    }
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE deployment_schedule (id, schedule, active)")
        given = [(name, json.dumps(rule)) for name, rule in rules.items()]
        connection.executemany("INSERT INTO deployment_schedule VALUES (?, ?, 1)", given)
        connection.commit()

    said = pause_refused(database)

    assert len(said) == 2
    with closing(sqlite3.connect(database)) as connection:
        paused = connection.execute("SELECT id FROM deployment_schedule WHERE NOT active").fetchall()
    assert paused == [("endless",), ("never",)]
    assert pause_refused(tmp_path / "none.db") == []
