"""When schedules come: the one judge of their rules, for definitions, the Schedules page and the HTTP API.

Rules are judged by what runs them: cron by the reader that Prefect brings along, calendar rules by dateutil. Beyond
that, a rule is refused that never comes, that comes without an end at one instant, or that is so hard to find that
Prefect, which looks for its next times every minute, would be busy with little else.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flows.errors import RowrelayError

LONGEST_SECONDS = 366 * 86_400.0
LONGEST_CRON = 500  # characters; all minutes, one by one, are 170
LONGEST_RRULE = 6_000  # Prefect's own bound, less the beginning that it puts in front
SEEK_SECONDS = 60.0  # by the clock, on a machine that has other things to do; the search itself is bounded by its work
CRON_FIELDS = "five fields: minute hour day month weekday"
RRULE_HINT = "E.g. FREQ=MONTHLY;BYDAY=1MO;BYHOUR=6;BYMINUTE=0;BYSECOND=0: the first Monday of a month, at 06:00."
OVER = "names no time to come: all of its times have passed"
HARD = "never comes, or is too hard to find for Prefect, which looks for it every minute"
_SEEK = Path(__file__).with_name("seek.py")


class RuleRefused(RowrelayError):
    """There can be no such schedule.

    `key` is what is at fault: cron, interval_seconds, rrule or timezone. `fault` is what is said of its value, as in
    "never comes". `over`: it is a sound rule, but all of its times have passed.
    """

    def __init__(self, key: str, value: object, fault: str, *, hint: str = "", over: bool = False) -> None:
        super().__init__(f"{str(value)[:80]!r} {fault}.", hint=hint)
        self.key, self.fault, self.over = key, fault, over


@dataclass(frozen=True, slots=True)
class Rule:
    """When a schedule starts something: one of `cron`, `interval_seconds` and `rrule` (an iCalendar rule)."""

    cron: str | None = None
    interval_seconds: float | None = None
    rrule: str | None = None
    timezone: str = "UTC"

    def judge(self) -> None:
        """Raises RuleRefused where Prefect could not run it, or would come to harm by it."""
        _judge_zone(self.timezone)
        stated = [each for each in ("cron", "interval_seconds", "rrule") if getattr(self, each) is not None]
        if len(stated) != 1:
            raise RuleRefused("", " and ".join(stated), "is not one rule", hint="State cron, an interval, or an rrule.")
        if self.cron is not None:
            _judge_cron(self.cron)
        elif self.rrule is not None:
            _judge_rrule(self.rrule, self.timezone)
        elif not 1 <= (self.interval_seconds or 0) <= LONGEST_SECONDS:
            fault = f"is no interval: from 1 second to {LONGEST_SECONDS:.0f} seconds"
            raise RuleRefused("interval_seconds", self.interval_seconds, fault)


def refusal(planned: Mapping[str, Any]) -> str:
    """Why Prefect should not run a schedule that it has, given as its JSON; nothing where it may."""
    rule = Rule(planned.get("cron"), None, planned.get("rrule"), planned.get("timezone") or "UTC")
    if rule.cron is None and rule.rrule is None:
        return ""  # Prefect itself refuses intervals that are none
    try:
        rule.judge()
    except RuleRefused as exc:
        return "" if exc.over else exc.message
    return ""


def _judge_zone(name: str) -> None:
    import pytz  # type: ignore[import-untyped]  # Prefect takes the zones of this list, and needs it itself

    try:
        ZoneInfo(name)
        known = name in pytz.all_timezones_set
    except (KeyError, ValueError, OSError):
        known = False
    if not known:
        raise RuleRefused("timezone", name, "is no time zone", hint="Write it like Europe/Berlin.")


@lru_cache(maxsize=1)
def _croniter() -> Any:
    """The reader of cron rules that is part of Prefect, without Prefect: that would take seconds to import."""
    found = importlib.util.find_spec("prefect")
    assert found is not None
    assert found.submodule_search_locations is not None
    folder = Path(found.submodule_search_locations[0]) / "_vendor" / "croniter"
    spec = importlib.util.spec_from_file_location(
        "rowrelay_croniter", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _judge_cron(text: str) -> None:
    if len(text.split()) != 5:
        raise RuleRefused("cron", text, f"must have {CRON_FIELDS}", hint="For example 0 6 * * 1-5.")
    if len(text) > LONGEST_CRON:
        raise RuleRefused("cron", text, f"is longer than {LONGEST_CRON} characters")
    if re.search(r"(?<![a-z])[rh](?![a-z])", text, re.IGNORECASE):
        raise RuleRefused("cron", text, "is no cron expression that Prefect takes: it would be drawn by lot")
    if fault := _cron_fault(text):
        raise RuleRefused("cron", text, fault, hint=f"It has {CRON_FIELDS}, e.g. 0 6 * * 1-5.")


@lru_cache(maxsize=256)
def _cron_fault(text: str) -> str:
    croniter = _croniter()
    try:
        croniter.croniter(text, datetime.now()).get_next(datetime)
    except croniter.CroniterBadDateError:
        return "never comes"
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as exc:
        why = str(exc).rpartition("is not acceptable")[2].strip(" .,") or "it cannot be read"
        return f"is no cron expression: {why}"
    return ""


def _judge_rrule(text: str, zone: str) -> None:
    if len(text) > LONGEST_RRULE:
        raise RuleRefused("rrule", text, f"is longer than {LONGEST_RRULE:,} characters")
    found = _seek(text, f"{datetime.now(ZoneInfo(zone)):%Y-%m-%d}")
    if found.get("over"):
        raise RuleRefused("rrule", text, OVER, hint=RRULE_HINT, over=True)
    if "fault" in found:
        raise RuleRefused("rrule", text, found["fault"], hint=RRULE_HINT)


@lru_cache(maxsize=256)
def _seek(text: str, since: str) -> dict[str, Any]:
    """What a search for the next times comes to. In a process of its own: no other way ends one that has no end."""
    asked = json.dumps({"rrule": text, "now": since})
    command = [sys.executable, "-P", str(_SEEK)]
    try:
        ended = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=SEEK_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {"fault": HARD}
    if ended.returncode < 0:
        return {"fault": HARD}
    try:
        return dict(json.loads(ended.stdout))
    except ValueError:
        raise RuntimeError(f"The calendar rule could not be judged: {ended.stderr[-500:]}") from None
