"""Schedules in the database of a Prefect server that is about to start, before it looks at them itself."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

log = logging.getLogger("rowrelay.stack")


def pause_refused(database: Path) -> list[str]:
    """Pause those that no longer pass: a rule without an end would take all of the server's time and memory.

    Returns what was paused, in words. A database that cannot be read is left to the server.
    """
    if not database.exists():
        return []
    from flows.pipeline.timing import refusal  # only where there is something to judge

    try:
        with closing(sqlite3.connect(database, timeout=10)) as connection:
            rows = connection.execute("SELECT id, schedule FROM deployment_schedule WHERE active").fetchall()
            refused = {id: why for id, schedule in rows if (why := refusal(json.loads(schedule)))}
            connection.executemany("UPDATE deployment_schedule SET active = 0 WHERE id = ?", [(id,) for id in refused])
            connection.commit()
    except (sqlite3.Error, ValueError, AttributeError) as exc:
        log.warning("Prefect's schedules could not be looked at: %s", exc)
        return []
    for why in refused.values():
        log.warning("a schedule is paused, as it cannot be run: %s", why)
    return list(refused.values())
