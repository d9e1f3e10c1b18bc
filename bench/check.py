"""What a check costs: `python bench/check.py [rows]`.

Makes a file of a million rows, 1 % of them bad in known ways, checks it in fresh processes (with a spool, without, and
with a column that is unique over the file), and compares what was found with what was planted. Prints the CPU time a
row and the peak of resident memory, both of the whole process, imports included. Exit 1 if a bad row was missed or
its line is wrong, or if a million rows break a bound in the first two settings: 15 µs a row, 300 MB.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = 1_000_000
MICROSECONDS, MEGABYTES = 15.0, 300.0
DEFINITION = """
name: bench
columns:
  userId: {{type: int, min: 1{unique}}}
  title:  {{type: str, blank: false}}
  body:   {{type: str, max_length: 200}}
request: {{url: "http://127.0.0.1:9/posts"}}
limit: {{name: bench, requests: 7, window_seconds: 1}}
"""
BAD = (
    lambda row: f"x{row},a title,a body",
    lambda row: f"-{row},a title,a body",
    lambda row: f'{row},"  ",a body',
    lambda row: f"{row},a title,{'long ' * 50}",
    lambda row: f"1_{row},,a body",
    lambda row: f"{row},a title",
    lambda row: f"{row},a title,a body,more",
    lambda row: f'{row},a "title,a body',
    lambda row: f"{10**19 + row},a title,a body",
)


def make(path: Path, rows: int) -> list[list[int]]:
    """Write the file; returns [row, line] of every bad row."""
    rng = random.Random(3)
    words = [
        "lorem",
        "ipsum",
        "dolor",
        "sit",
        "amet",
        "consetetur",
        "sadipscing",
        "elitr",
        "sed",
        "diam",
        "nonumy",
        "eirmod",
    ]
    line, bad = 2, []
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("userId,title,body\r\n")
        for row in range(1, rows + 1):
            title, body = " ".join(rng.choices(words, k=4)), " ".join(rng.choices(words, k=12))
            record, height = f"{row},{title},{body}", 1
            if rng.random() < 0.01:
                record = rng.choice(BAD)(row)
                bad.append([row, line])
            elif rng.random() < 0.05:
                record, height = f'{row},"{title}, ""{row}""","{body}\r\nsecond line, Zürich"', 2
            file.write(record + "\r\n")
            line += height
    return bad


def peak_megabytes() -> float:
    """Peak of this program's resident memory; getrusage would count its parent's before the exec, too."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def measure(path: Path, folder: Path, *, spool: bool) -> None:
    """Check the file in this process and print what it took and found, as JSON."""
    from flows.delivery.check import check_file
    from flows.pipeline.reading import load
    from flows.spool.spool import Spool

    imports = time.process_time()
    found: list[tuple[int, int]] = []
    target = Spool(str(folder / "spools"), f"run-{time.time_ns()}") if spool else None
    result = check_file(
        path,
        load(folder / "bench.yaml"),
        target,
        scratch=folder,
        on_rejections=lambda rejections: found.extend((each.row, each.line) for each in rejections),
    )
    figures = {
        "cpu": time.process_time(),
        "imports": imports,
        "wall": result.seconds,
        "peak": peak_megabytes(),
        "rows": result.rows,
        "found": found,
    }
    if target:
        figures["spooled"] = sum(1 for _ in target.rejections()) + target.manifest().rows
        figures["read_ms"] = _time_reads(target)
    print(json.dumps(figures))


def _time_reads(spool: object) -> list[float]:
    """Milliseconds of reading 1,000 rows from a part that is not loaded yet, and from one that is."""
    times = []
    for start in (500, 1500):
        begin = time.perf_counter()
        spool.read(start, start + 1000)  # type: ignore[attr-defined]
        times.append((time.perf_counter() - begin) * 1000)
    return times


def main(rows: int) -> int:
    """Run all settings; returns the exit code."""
    broken = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "rows.csv"
        bad = make(path, rows)
        print(f"{rows:,} rows, {path.stat().st_size / 1e6:.0f} MB, {len(bad):,} of them bad")
        for title, spool, unique in (("with spool", 1, 0), ("without spool", 0, 0), ("unique, with spool", 1, 1)):
            (folder / "bench.yaml").write_text(DEFINITION.format(unique=", unique: true" if unique else ""))
            arguments = [sys.executable, __file__, "--child", str(path), str(folder), str(spool)]
            output = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=600).stdout
            seen = json.loads(output)
            exact = seen["found"] == bad and seen["rows"] == rows and seen.get("spooled", rows) == rows
            cost = seen["cpu"] / rows * 1e6
            held = exact and (unique or rows < ROWS or (cost <= MICROSECONDS and seen["peak"] <= MEGABYTES))
            broken |= not held
            print(
                f"{title:20} {cost:5.2f} µs CPU a row (imports: {seen['imports']:.1f} s of it in all), "
                f"{seen['wall']:.1f} s, peak {seen['peak']:.0f} MB, "
                f"{'every bad row found, exact lines' if exact else 'ROWS MISSED OR WRONG LINES'}"
                + (", 1,000 rows read in {:.1f} ms cold, {:.1f} ms warm".format(*seen["read_ms"]) if spool else "")
                + ("" if held else "  <- out of bounds")
            )
    return int(broken)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        measure(Path(sys.argv[2]), Path(sys.argv[3]), spool=sys.argv[4] == "1")
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
