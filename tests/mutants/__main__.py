"""The runner: see tests/mutants/__init__.py."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.faults import ALL, Fault

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 900  # for the tests of one fault, on a slow machine; without a fault the slowest take 80 on a fast one
GOAL = 0.95
FIRST_FAILURE = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def copied(to: Path) -> Path:
    """The tree as it is now, without what is not tracked."""
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


def judged(tree: Path, tests: Sequence[str]) -> tuple[bool, str]:
    """Whether these tests pass in this tree, and what failed first."""
    probe = "import flows, sys; sys.exit(not flows.__file__.startswith(sys.argv[1]))"
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ROWRELAY_SEPARATE_STACK": "1",
    }
    subprocess.run([sys.executable, "-c", probe, str(tree)], cwd=tree, env=environment, check=True)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "2", "--timeout", "60", "-p", "no:cacheprovider"]
    command += ["-m", "not prove", "--hypothesis-profile", "deep"]
    try:
        ended = subprocess.run(
            [*command, *(f"tests/{name}" for name in tests)],
            cwd=tree, env=environment, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False, "out of time"
    found = FIRST_FAILURE.search(ended.stdout)
    if ended.returncode and not found:
        raise RuntimeError(f"pytest could not run: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    return ended.returncode == 0, found[1].removeprefix("tests/") if found else ""


def tried(fault: Fault) -> tuple[Fault, str]:
    """What caught the fault; empty if nothing did."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = copied(Path(folder).resolve())
        path = tree / fault.path
        text = path.read_text(encoding="utf-8")
        if text.count(fault.old) != 1:
            raise ValueError(f"{fault.name}: {fault.path} holds {fault.old!r} {text.count(fault.old)} times")
        path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
        passed, by = judged(tree, fault.tests)
    return fault, "" if passed else by


def main() -> int:
    """Print the table; 1 if fewer are caught than should be, 2 if the tests fail without a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Are faults noticed by the tests?")
    parser.add_argument("--only", default="", help="faults whose name begins so")
    parser.add_argument("--jobs", type=int, default=3)
    given = parser.parse_args()
    faults = [fault for fault in ALL if fault.name.startswith(given.only)]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        passed, by = judged(copied(Path(folder).resolve()), sorted({name for fault in faults for name in fault.tests}))
    if not passed:
        print(f"The tests fail without any fault: {by}")
        return 2
    survivors = []
    with ThreadPoolExecutor(given.jobs) as pool:
        for fault, by in pool.map(tried, faults):
            print(f"{'caught  ' if by else 'SURVIVED'} {fault.name:<62} {by}", flush=True)
            survivors += [] if by else [fault]
    share = 1 - len(survivors) / len(faults)
    print(f"{len(faults)} faults, {share:.1%} caught, in {time.monotonic() - begun:.0f} s")
    return int(share < GOAL)


if __name__ == "__main__":
    sys.exit(main())
