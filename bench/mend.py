"""What mending costs: `python -m bench.mend [rows]`.

Checks a file of a million rows, with a column that is unique over the file and every tenth row rejected for one of five
values. Then mends one value, the other four, takes both back, mends all five at once, changes one row, skips a fifth.
Prints seconds, CPU seconds and resident memory of each step. Exit 1 if a count is not what was planted, if a step takes
more than 2 s of CPU, or if memory rises by more than 50 MB over what it was after the check.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROWS, EVERY = 1_000_000, 10
SECONDS, MEGABYTES = 2.0, 50.0
CODES = {"Germany": "DE", "France": "FR", "Spain": "ES", "Italy": "IT", "Poland": "PL"}
DEFINITION = """
name: contacts
columns:
  id:      {type: int}
  email:   {type: str, unique: true}
  country: {type: str, one_of: [DE, FR, ES, IT, PL]}
  age:     {type: int, min: 0}
  note:    {type: str}
request: {url: "http://127.0.0.1:9/contacts"}
limit: {name: contacts, requests: 7, window_seconds: 1}
"""


def make(path: Path, rows: int) -> Path:
    """Write the file."""
    wrong = list(CODES)
    with path.open("w", encoding="utf-8") as file:
        file.write("id,email,country,age,note\n")
        for row in range(1, rows + 1):
            country = "DE" if row % EVERY else wrong[row // EVERY % len(wrong)]
            file.write(f"{row},person{row}@example.com,{country},{20 + row % 50},some words about row {row}\n")
    return path


def resident_megabytes() -> float:
    """What this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def main(rows: int = ROWS) -> int:
    """Run all steps; 1 if one is not as it should be."""
    from deployments.embedded.redis_server import RedisServer

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "contacts.yaml").write_text(DEFINITION)
        server = RedisServer(folder / "redis").start()
        try:
            return _measure(folder, server.url, rows)
        finally:
            server.stop()


def _measure(folder: Path, redis_url: str, rows: int) -> int:
    import duckdb  # noqa: F401  # counted as before: 13 MB, once a process

    from dashboard.rows.book import Rowbook
    from dashboard.rows.groups import groups
    from flows.delivery.changes import read
    from flows.delivery.delivery import Delivery
    from flows.delivery.mending import mend
    from flows.ledger.ledger import Ledger
    from flows.ledger.view import View
    from flows.pipeline.reading import load
    from flows.settings import Settings

    os.environ |= {"ROWRELAY_DATA": str(folder / "data"), "ROWRELAY_MEMORY": str(folder / "memory")}
    settings, definition = Settings.read(), load(folder / "contacts.yaml")
    delivery = Delivery("mended", definition, settings, redis_url)
    file = make(folder / "rows.csv", rows)
    delivery.ledger.create("mended", definition=definition.resolved(), by="bench", pipeline="contacts", file=str(file))
    delivery.take(resume=False, only_check=True)
    delivery.spooling.check(file)
    delivery.put_down("checked; nothing sent yet")
    delivery.release()
    ledger, view = Ledger(delivery.client), View(delivery.client)
    before = resident_megabytes()
    print(f"{rows:,} rows, {rows // EVERY:,} rejected; {before:.0f} MB after the check")
    changes = [{"column": "country", "value": old, "becomes": new} for old, new in CODES.items()]
    part, bad = rows // EVERY // len(CODES), rows // EVERY
    steps: list[tuple[str, dict[str, Any], int]] = [
        ("one value", {"changes": changes[:1]}, bad - part),
        ("the other four", {"changes": changes[1:]}, 0),
        ("undo", {"undo": 2}, bad - part),
        ("undo", {"undo": 1}, bad),
        ("all five", {"changes": changes}, 0),
        ("undo", {"undo": 5}, bad),
        ("one row", {"changes": [{"row": EVERY, "column": "country", "becomes": "DE"}]}, bad - 1),
        ("a fifth skipped", {"changes": [{"column": "country", "value": "Spain", "skip": True}]}, bad - 1),
    ]
    wall, cpu = time.perf_counter(), time.process_time()
    found = groups(Rowbook(view, view.run("mended"), definition, settings), "rejected")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    well = [each.rows for each in found.items] == [part] * len(CODES)
    print(
        f"{'groups':>16}: {wall:5.2f} s, {cpu:5.2f} s of CPU, {resident_megabytes():4.0f} MB, {found.matching} groups"
    )
    for name, document, left in steps:
        wall, cpu, run = time.perf_counter(), time.process_time(), view.run("mended")
        mend(run, read(document), ledger=ledger, view=view, settings=settings, by="bench")
        wall, cpu, now = time.perf_counter() - wall, time.process_time() - cpu, resident_megabytes()
        rejected = view.run("mended").counts["rejected"]  # type: ignore[index]
        well = well and rejected == left and cpu <= SECONDS and now - before <= MEGABYTES
        print(f"{name:>16}: {wall:5.2f} s, {cpu:5.2f} s of CPU, {now:4.0f} MB, {rejected:,} rejected")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
