"""The table at the end, and what to do about a failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from tests.faults.play import Result

_HEAD = ("broken", "API", "trials", "arrivals", "worst / limit", "resumed", "unknown", "looks", "verdict")


def table(results: Sequence[Result]) -> Iterator[str]:
    """A line for each pair of fault and behaviour, then sums, what was combined with them, and the failures."""
    ordered = sorted(results, key=_pair)
    lines = [_HEAD, *(_line(pair, list(some)) for pair, some in groupby(ordered, _pair))]
    if results:
        lines.append(_line(("all", ""), results))
    widths = [max(len(line[at]) for line in lines) for at in range(len(_HEAD))]
    for number, line in enumerate(lines):
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        if number == 0:
            yield "  ".join("-" * width for width in widths)
    yield ""
    yield "network: " + _tally(result.trial.network for result in results)
    yield "besides: " + _tally(result.trial.trouble for result in results)
    yield "API: " + _tally(f"{result.trial.away:g} s away{', TLS' * result.trial.tls}" for result in results)
    yield "Redis: " + _tally(f"{result.trial.redis_away:g} s away" for result in results)
    yield f"broken while rows were still to be sent: {sum(result.hit for result in results)} of {len(results)}"
    left_out = Counter(text for result in results for text in result.left_out)
    for text, times in left_out.items():
        yield f"left out in {times} trials: {text}"
    yield from failures(results)


def failures(results: Sequence[Result]) -> Iterator[str]:
    """Each failure with the command that repeats its trial."""
    failed = [result for result in results if result.wrong]
    for result in failed:
        yield f"\ntrial {result.trial.number} ({result.trial.name}) FAILED; {result.trial.again}"
        yield from (f"  {text}" for text in result.wrong)
        yield from (f"    {text}" for text in result.said)
        if result.kept:
            yield f"  left in {result.kept}"
    yield f"\n{len(results)} trials, {len(failed)} failed"


def line(result: Result) -> str:
    """One trial, as it ends."""
    verdict = "FAILED: " + "; ".join(result.wrong) if result.wrong else "held"
    return (
        f"{result.trial.number:4} {result.seconds:5.1f} s  {result.trial.name}: {result.arrivals} arrivals, worst "
        f"{result.worst} of {result.trial.limit[0]}, resumed {result.resumed}, unknown {result.unknown}, {verdict}"
    )


def _pair(result: Result) -> tuple[str, str]:
    return ("whole: " * result.trial.whole + result.trial.kill, result.trial.api)


def _line(pair: tuple[str, str], results: Sequence[Result]) -> tuple[str, ...]:
    fullest = max(results, key=lambda result: result.worst / result.trial.limit[0])
    failed = sum(bool(result.wrong) for result in results)
    return (
        *pair,
        str(len(results)),
        str(sum(result.arrivals for result in results)),
        f"{fullest.worst} / {fullest.trial.limit[0]}",
        str(sum(result.resumed for result in results)),
        str(sum(result.unknown for result in results)),
        str(sum(result.looks for result in results)),
        f"{failed} FAILED" if failed else "held",
    )


def _tally(words: Iterable[str]) -> str:
    return ", ".join(f"{word} {times}" for word, times in Counter(words).most_common())
