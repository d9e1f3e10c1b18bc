"""Holds an export of a run against what the stand-in knows: which rows are in a wrong state, and which were sent twice.

An export is a list of objects with `email` and `result`; `reason`, `contactId`, `parcel`, `position` where there are
some: the `result` of `rowrelay export RUN --format json`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tests.apis.rows import Sample

STATES = ("rejected", "waiting", "sending", "accepted", "done", "failed", "unknown")
REFUSING = frozenset(("unprocessable", "unauthorized"))
"""The faults that refuse a row, so that it is rightly failed"""
NOTHING: Mapping[str, Any] = {
    "state": "waiting",
    "reason": "",
    "ids": [],
    "asked": 0,
    "created": 0,
    "updated": 0,
    "deleted": 0,
    "faults": [],
}
"""What a stand-in knows of a row that it has not heard of"""


def wrong(
    truth: Mapping[str, Any],
    export: Sequence[Mapping[str, Any]],
    expected: Iterable[Sample] | None = None,
    *,
    counts: Mapping[str, int] | None = None,
    unknown_at_most: int = 0,
    again: Collection[str] = (),
) -> list[str]:
    """Everything that is wrong, a sentence each; nothing if all is right.

    `truth` is what GET /truth answers, `counts` the run's rows by state. A row may be unknown where the stand-in spoilt
    an answer to it, and `unknown_at_most` others may, as after a kill. The e-mails in `again` were sent again because a
    person said so: they may have been written twice.
    """
    said = {str(row["email"]).lower(): row for row in export}
    wanted = {sample.email.lower(): (sample.state, sample.reason) for sample in expected or ()}
    known: Mapping[str, Any] = truth["rows"]
    if not wanted:
        wanted = {email: (entry["state"], entry["reason"]) for email, entry in known.items()}
    found = [*_strange(said, wanted, known, export), *_sums(counts, export), *_places(export)]
    unknown = []
    for email, (state, reason) in wanted.items():
        entry, row = known.get(email, NOTHING), said.get(email)
        if row is None:
            continue
        if row["result"] == "unknown" != state and not entry["faults"]:
            unknown.append(email)
        elif not _spoilt(str(row["result"]), entry):
            found += _state(email, row, state, reason)
        found += _writes(email, str(row["result"]), entry, twice=email in {each.lower() for each in again})
        found += _identity(email, row, entry)
    if len(unknown) > unknown_at_most:
        found.append(f"{len(unknown)} rows are unknown without a cause, {unknown_at_most} may be: {unknown[:5]}")
    return found


def premature(export: Sequence[Mapping[str, Any]], truth: Mapping[str, Any]) -> list[str]:
    """The rows that a run calls done or failed before the API has decided about them. Take the export first."""
    return [
        f"{row['email']}: {row['result']}, and the API has not decided yet"
        for row in export
        if row["result"] in ("done", "failed")
        and truth["rows"].get(str(row["email"]).lower(), NOTHING)["state"] in ("waiting", "accepted")
    ]


def _strange(
    said: Mapping[str, Any], wanted: Mapping[str, Any], known: Mapping[str, Any], export: Sequence[Mapping[str, Any]]
) -> list[str]:
    found = [f"{email}: {times} rows of the export" for email, times in _emails(export).items() if times > 1]
    found += [f"{email}: not in the export" for email in wanted if email not in said]
    return found + [f"{email}: written, and not in the export" for email in known if email not in said]


def _emails(export: Sequence[Mapping[str, Any]]) -> Counter[str]:
    return Counter(str(row["email"]).lower() for row in export)


def _sums(counts: Mapping[str, int] | None, export: Sequence[Mapping[str, Any]]) -> list[str]:
    if counts is None:
        return []
    real = Counter(str(row["result"]) for row in export)
    found = [
        f"{state}: {counts.get(state, 0)} by the counts, {real[state]} in the export"
        for state in STATES
        if counts.get(state, 0) != real[state]
    ]
    total, parts = counts.get("total", len(export)), sum(counts.get(state, 0) for state in STATES)
    return found + ([f"total is {total}, and the states add up to {parts}"] if total != parts else [])


def _places(export: Sequence[Mapping[str, Any]]) -> list[str]:
    """No two rows in the same place of the same parcel, where the export names them."""
    places = Counter((row["parcel"], row["position"]) for row in export if row.get("position") is not None)
    return [f"{times} rows at place {place}" for place, times in places.items() if times > 1]


def _spoilt(result: str, entry: Mapping[str, Any]) -> bool:
    """Whether a fault is reason enough for the state that a row is in."""
    return bool(entry["faults"]) if result == "unknown" else result == "failed" and bool(REFUSING & {*entry["faults"]})


def _state(email: str, row: Mapping[str, Any], state: str, reason: str) -> list[str]:
    if row["result"] != state:
        return [f"{email}: {row['result']}, ought to be {state} ({row.get('reason', 'no reason')})"]
    if reason and reason not in str(row.get("reason", "")):
        return [f"{email}: the reason is {row.get('reason')!r}, ought to have {reason!r}"]
    return []


def _writes(email: str, result: str, entry: Mapping[str, Any], *, twice: bool) -> list[str]:
    written = entry["created"] + entry["updated"]
    if written > 1 and not twice:
        return [f"{email}: written {written} times (created {entry['created']}, updated {entry['updated']})"]
    if written and result in ("rejected", "skipped", "waiting", "failed"):
        return [f"{email}: {result}, and the API has written it"]
    return [] if written or result != "done" else [f"{email}: done, and the API has not written it"]


def _identity(email: str, row: Mapping[str, Any], entry: Mapping[str, Any]) -> list[str]:
    """What was kept of the answer is this row's own and not a neighbour's."""
    kept = row.get("contactId")
    if row["result"] != "done" or kept is None or not entry["ids"]:
        return []
    number = str(kept).rpartition("/")[2]
    return [] if number in map(str, entry["ids"]) else [f"{email}: kept id {kept}, its records are {entry['ids']}"]
