"""Looks for the next times of one calendar rule, as a program: {"rrule": …, "now": …} in, what was found out.

The kernel ends it after SECONDS of work. It imports nothing of this package, to be quick.
"""

import json
import re
import resource
import sys
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from dateutil.rrule import MINUTELY, SECONDLY, rrule, rruleset, rrulestr  # type: ignore[import-untyped]  # it has none

SECONDS = 2  # of the processor: an hourly rule needs a quarter of one
TIMES = 5
ANCHOR = datetime(2020, 1, 1)  # where Prefect begins to count a rule that does not say
MINUTE = timedelta(minutes=1)


def seek(text: str, now: datetime) -> dict[str, Any]:
    """Its `fault`, or that it is `over`, or nothing. `now` is on the clock of the rule's zone."""
    for found in re.findall(r"INTERVAL\s*=\s*([^;\s]*)", text, re.IGNORECASE):
        if not found.isdecimal() or int(found) < 1:  # dateutil would go round for ever, or backwards
            return {"fault": f"is no iCalendar rule: INTERVAL={found[:20]} is not 1 or more"}
    try:
        rule = _read(text, now)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as exc:
        return {"fault": f"is no iCalendar rule: {str(exc)[:200]}"}
    if any(each is not None and each < MINUTE for each in map(_step, _parts(rule))):
        return {"fault": "comes more often than once a minute, which an interval does better"}
    try:
        times = list(rule.xafter(now, count=TIMES, inc=True))
        if not times and next(iter(rule), None) is None:
            return {"fault": "never comes"}
    except (ValueError, TypeError, OverflowError) as exc:
        return {"fault": f"is no iCalendar rule: {str(exc)[:200]}"}
    if not times:
        return {"over": True}
    if any(later - sooner < timedelta(seconds=1) for sooner, later in pairwise(times)):
        return {"fault": "comes more often than once a second"}
    return {}


def _read(text: str, now: datetime) -> Any:
    """The rule as Prefect reads it, on a clock without a zone."""
    made = rrulestr(text, dtstart=ANCHOR)
    if isinstance(made, rrule):
        step = _step(made)
        if step and "DTSTART" not in text.upper() and made._count is None:  # noqa: SLF001  Prefect itself reads it
            return made.replace(dtstart=ANCHOR + (now - ANCHOR) // step * step)  # Prefect lets these begin of late
        return _plain(made)
    for name in ("_rrule", "_exrule"):
        setattr(made, name, [_plain(each) for each in getattr(made, name)])
    for name in ("_rdate", "_exdate"):
        setattr(made, name, [each.replace(tzinfo=None) for each in getattr(made, name)])
    return made


def _plain(rule: Any) -> Any:
    until = {"until": rule._until.replace(tzinfo=None)} if rule._until else {}  # noqa: SLF001
    return rule.replace(dtstart=rule._dtstart.replace(tzinfo=None), **until)  # noqa: SLF001


def _parts(rule: Any) -> list[Any]:
    return list(rule._rrule) if isinstance(rule, rruleset) else [rule]  # noqa: SLF001


def _step(rule: Any) -> timedelta | None:
    """From one turn to the next, of a rule that counts in minutes or seconds."""
    seconds = {MINUTELY: 60, SECONDLY: 1}.get(rule._freq)  # noqa: SLF001
    return timedelta(seconds=seconds * rule._interval) if seconds else None  # noqa: SLF001


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    asked = json.load(sys.stdin)
    sys.stdout.write(json.dumps(seek(asked["rrule"], datetime.fromisoformat(asked["now"]))))
