"""The runner: see tests/mutants/__init__.py."""

from __future__ import annotations

import argparse
import compileall
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from py_compile import PycInvalidationMode
from queue import Queue

from tests.mutants.caught_by import note, noted
from tests.mutants.faults import ALL, Fault
from tests.mutants.preloaded import Preloaded

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240  # for one test; without a fault the slowest take a tenth of it
GOAL = 0.95
FAILURE = re.compile(r"^(?:FAILED|ERROR) tests/(.+?)(?: - .*)?$", re.MULTILINE)
GONE = re.compile(r"^ERROR: (?:file or directory )?not found: .*?/tests/(.+)$", re.MULTILINE)


def copied(to: Path) -> Path:
    """The tree as it is now, without what is not tracked, and compiled: by content, so that nothing old is run."""
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    compileall.compile_dir(to, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return to


class NotRunError(Exception):
    """Pytest itself failed."""


class Trial:
    """Tries faults on copies of one clean tree, so many at once. `told` hears of each that is caught, by which test."""

    def __init__(self, clean: Path, jobs: int, told: Callable[[Fault, str], None]) -> None:
        self._clean, self._jobs, self._told = clean, jobs, told
        self._passing: dict[str, bool] = {}  # without any fault
        self._idle: Queue[Preloaded] = Queue()
        for _ in range(jobs):
            self._idle.put(Preloaded())

    def close(self) -> None:
        """End what ran the tests."""
        for _ in range(self._jobs):
            self._idle.get().close()

    def _asked(self, tree: Path, tests: Iterable[str], *options: str) -> tuple[list[str], list[str]]:
        """Which of these tests fail in this tree, only the first by itself; and which of them there are not.

        Where there is one that there is not, none is run. Raises NotRunError.
        """
        given = ["-x", "-q", "--timeout", str(SECONDS), "-p", "no:cacheprovider", "-m", "not prove"]
        given += ["--hypothesis-profile", "unshrunk", *options, *(f"tests/{name}" for name in tests)]
        pytest = self._idle.get()
        try:
            code, said = pytest.run(tree, given)
        finally:
            self._idle.put(pytest)
        found, gone = FAILURE.findall(said), GONE.findall(said)
        if code and not found and not gone:
            raise NotRunError(f"pytest ended with {code}: {said[-4000:]}")
        return found, gone

    def passing(self, tests: Iterable[str]) -> set[str]:
        """Those of these tests that there are, and that pass without any fault."""
        all_of_them = sorted(set(tests))
        with ThreadPoolExecutor(self._jobs) as pool:
            for some in pool.map(self._those_passing, (all_of_them[at :: self._jobs] for at in range(self._jobs))):
                self._passing |= dict.fromkeys(some, True)
        return {test for test in all_of_them if self._passing.get(test)}

    def _those_passing(self, tests: Sequence[str]) -> set[str]:
        there, failed, gone = set(tests), list[str](), [""]
        while there and gone:
            failed, gone = self._asked(self._clean, sorted(there), "--maxfail", "0")
            there.difference_update(gone)
        return {test for test in there if not any(each.startswith(test) for each in failed)}

    def caught(self, faults: Sequence[tuple[Fault, Sequence[str]]]) -> list[Fault]:
        """Try each fault on its tests. Returns those that were caught."""
        with ThreadPoolExecutor(self._jobs) as pool:
            results = list(pool.map(self._tried, faults))
        return [fault for (fault, _), by in zip(faults, results, strict=True) if by]

    def _tried(self, what: tuple[Fault, Sequence[str]]) -> str:
        """Which of these tests catches the fault; empty if none does."""
        fault, tests = what
        try:
            by, doubt = self._caught_by(fault, tests)
        except NotRunError as exc:
            by, doubt = "", str(exc)
        if doubt:
            print(f"not said to be caught: {fault.name}: {doubt}", flush=True)
            return ""
        if by:
            self._told(fault, by)
        return by

    def _caught_by(self, fault: Fault, tests: Sequence[str]) -> tuple[str, str]:
        """The test that failed with the fault, and why it is not said to have caught it. Raises NotRunError."""
        with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
            tree = shutil.copytree(self._clean, Path(folder).resolve() / "tree")
            path = tree / fault.path
            text = path.read_text(encoding="utf-8")
            if text.count(fault.old) != 1:
                raise ValueError(f"{fault.name}: {fault.path} holds {fault.old!r} {text.count(fault.old)} times")
            path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
            by = next(iter(self._asked(tree, tests)[0]), "")
            if by and len(tests) == 1 and self._passing.get(tests[0]):
                return tests[0], ""
            if by and not self._asked(tree, [by])[0]:
                return by, f"{by} passes when it is run alone"
        return by, f"{by} fails without it, too" if by and not self._passes(by) else ""

    def _passes(self, test: str) -> bool:
        """Whether this test passes without any fault."""
        if test not in self._passing:
            self._passing[test] = not any(self._asked(self._clean, [test]))
        return self._passing[test]


def told(fault: Fault, by: str) -> None:
    """Say what caught a fault, and keep it for the next time."""
    print(f"caught   {fault.name:<62} {by}", flush=True)
    note(fault, by)


def main() -> int:
    """Print the table; 1 if fewer are caught than should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Are faults noticed by the tests?")
    parser.add_argument("--only", default=[""], nargs="+", help="faults whose name begins so")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    faults = [fault for fault in ALL if fault.name.startswith(tuple(given.only))]
    begun, notes = time.monotonic(), noted()
    with (
        tempfile.TemporaryDirectory(prefix="mutant-") as folder,
        closing(Trial(copied(Path(folder).resolve() / "clean"), given.jobs, told)) as trial,
    ):
        known = trial.passing(notes[fault.name] for fault in faults if fault.name in notes)
        found = trial.caught([(fault, [notes[fault.name]]) for fault in faults if notes.get(fault.name) in known])
        found += trial.caught([(fault, fault.tests) for fault in faults if fault not in found])
    survivors = [fault for fault in faults if fault not in found]
    for fault in survivors:
        print(f"SURVIVED {fault.name}")
    share = len(found) / len(faults)
    print(f"{len(faults)} faults, {len(found)} caught, {share:.1%}, in {time.monotonic() - begun:.0f} s")
    return int(share < GOAL)


if __name__ == "__main__":
    sys.exit(main())
