"""The runner: plays the series, or a part of it, several trials at once, and prints the table."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults.draw import draw
from tests.faults.series import played
from tests.faults.table import line, table


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 1 if a promise was broken."""
    options = _options(argv)
    trials = [draw(options.seed, number) for number in options.only or range(1, options.trials + 1)]
    at, of = options.part
    trials = trials[len(trials) * (at - 1) // of : len(trials) * at // of]
    log = Path(tempfile.mkdtemp(prefix="faults-")) / "processes.log"
    print(f"seed {options.seed}, {len(trials)} trials; what the processes say: {log}", flush=True)
    results = []
    for result in played(trials, jobs=options.jobs, log=log):
        results.append(result)
        print(line(result), flush=True)
    print()
    print("\n".join(table(results)), flush=True)
    return 1 if any(result.wrong for result in results) or not results else 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--trials", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31), help="default: another one each time")
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="play just these trials of the series")
    parser.add_argument("--part", type=_part, default=(1, 1), metavar="K/N", help="play the K-th of N parts, e.g. 1/4")
    parser.add_argument("--jobs", type=int, default=6, help="trials at once; most of them wait (default: 6)")
    return parser.parse_args(argv)


def _part(text: str) -> tuple[int, int]:
    at, of = map(int, text.split("/"))
    if not 1 <= at <= of:
        raise ValueError(text)
    return at, of


if __name__ == "__main__":
    sys.exit(main())
