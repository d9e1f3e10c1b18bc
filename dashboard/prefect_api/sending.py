"""The flow runs of one run in plain words: its check, the first sending, what was sent again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.prefect_api.server import FlowRun, flow_run, page_of
from flows.errors import RowrelayError

MOST = 20  # Prefect is asked for each


@dataclass(frozen=True, slots=True)
class Sending:
    """One of them: what it was for, when it began (Unix seconds), and where Prefect shows it."""

    words: str
    at: float | None
    page: str


def every(flows: Sequence[str]) -> list[Sending]:
    """The last MOST of these flow runs, oldest first; numbered where Prefect is away."""
    first = max(0, len(flows) - MOST)
    found: list[Sending] = []
    sent = away = False
    for number, flow in enumerate(flows[first:], first + 1):
        known: FlowRun | None = None
        try:
            known = None if away else flow_run(flow)
        except RowrelayError:
            away = True  # asked once, not for each
        given = known.parameters if known else {}
        words = in_words(given, first=not sent and not first) if known else f"Number {number}"
        sent = sent or not given.get("dry_run")
        found.append(Sending(words, known.expected if known else None, page_of(flow)))
    return found


def in_words(given: Mapping[str, Any], *, first: bool) -> str:
    """What a flow run of `deliver` was for, by its parameters. `first`: nothing of its run was to be sent before."""
    rows = str(given.get("rows") or "unfinished")
    if given.get("dry_run"):
        return "Check"
    if given.get("resume") and rows != "unfinished":
        return f"The {rows} rows again"
    if first:
        return "First sending" if given.get("resume") else "Check and first sending"
    return "The rows that were left"
