"""The judge: from what the receiver saw and what the ledger says, what is wrong. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.harness.receiver import over, worst

# Answers that say that the request surely had no effect (`unavailable`: 503, here always with Retry-After).
WITHOUT_EFFECT = (429, "unavailable")


@dataclass(frozen=True)
class Seen:
    """One request as the receiver has it. `row` is 0 where its body never came."""

    at: int  # ns of CLOCK_MONOTONIC
    row: int
    key: str = ""
    digest: str = ""
    answer: int | str = 201
    acted: bool = True


@dataclass
class Evidence:
    """All that a verdict rests on."""

    requests: int
    window_seconds: float
    total: int  # rows of the file
    rejected: int  # how many of them must have been refused by the check
    idempotent: bool
    arrivals: Sequence[Seen]
    states: dict[str, set[int]]  # rows by state, at the end
    counts: dict[str, int]
    run_state: str
    sums: dict[tuple[tuple[tuple[str, int], ...], int], int] = field(default_factory=dict)
    done_at: dict[int, int] = field(default_factory=dict)
    undone: set[int] = field(default_factory=set)
    journaled: dict[int, str] = field(default_factory=dict)  # what a dead process had put on disk
    asked: list[set[int]] = field(default_factory=list)  # rows that somebody asked to send again, request by request
    most_unknown: int | None = None  # what the deaths of senders account for; None: anything may be
    most_banned: int | None = None  # requests that may meet a ban before it is noticed
    notes: list[str] = field(default_factory=list)  # what went wrong while it was played

    @property
    def worst(self) -> int:
        """The most arrivals in any window."""
        return worst([seen.at / 1e9 for seen in self.arrivals], self.window_seconds)


def judge(evidence: Evidence) -> list[str]:
    """What is wrong, in words; nothing if all promises were kept."""
    rules = (_limit, _one_state, _ended, _twice, _keys, _after_done, _sums, _nothing_lost, _truth, _unknown, _ban)
    return [*evidence.notes, *(text for rule in rules for text in rule(evidence))]


def _limit(e: Evidence) -> Iterator[str]:
    """1: no window over the limit."""
    times = [seen.at / 1e9 for seen in e.arrivals]
    if wrong := over(times, e.requests, e.window_seconds):
        yield f"limit: {wrong} arrivals over {e.requests} in {e.window_seconds:g} s, the worst window has {e.worst}"


def _one_state(e: Evidence) -> Iterator[str]:
    """2: every row in exactly one state, as many as the counts say."""
    places = Counter(row for rows in e.states.values() for row in rows)
    if missing := set(range(1, e.total + 1)) - places.keys():
        yield f"state: rows in no state: {_some(missing)}"
    if many := {row for row, times in places.items() if times > 1}:
        yield f"state: rows in more than one: {_some(many)}"
    if strange := {row for row in places if not 1 <= row <= e.total}:
        yield f"state: rows that the file does not have: {_some(strange)}"
    for state, rows in e.states.items():
        if len(rows) != e.counts.get(state, 0):
            yield f"state: {len(rows)} rows are {state}, counted are {e.counts.get(state, 0)}"
    if e.counts.get("rejected") != e.rejected:
        yield f"state: {e.counts.get('rejected')} rows rejected instead of {e.rejected}"


def _ended(e: Evidence) -> Iterator[str]:
    """2: the run came to its end."""
    left = e.counts.get("waiting", 0) + e.counts.get("sending", 0)
    if e.run_state != "finished" or left:
        yield f"end: the run is {e.run_state} with {left} rows left"


def _twice(e: Evidence) -> Iterator[str]:
    """3: nothing arrives again, except after an answer that said "not taken", or by request, or an idempotent API."""
    if e.idempotent:
        return
    owner = {seen.key: seen.row for seen in e.arrivals if seen.key and seen.row}
    answers = defaultdict[int | str, list[int | str]](list)
    for seen in e.arrivals:  # one that was cut off has no row: its key tells it, or stands for it
        answers[seen.row or owner.get(seen.key) or seen.key].append(seen.answer)
    for row, its in answers.items():
        doubtful = sum(answer not in WITHOUT_EFFECT for answer in its)
        if doubtful > 1 + sum(row in rows for rows in e.asked):
            yield f"twice: row {row} arrived {doubtful} times unasked, answered {its}"


def _keys(e: Evidence) -> Iterator[str]:
    """3: one body a key, and one row; a row has a key a generation, which only a request to send it again begins."""
    bodies, rows, keys = (
        defaultdict[str, set[str]](set),
        defaultdict[str, set[int]](set),
        defaultdict[int, set[str]](set),
    )
    for seen in e.arrivals:
        if seen.key and seen.row:
            bodies[seen.key].add(seen.digest)
            rows[seen.key].add(seen.row)
            keys[seen.row].add(seen.key)
    for key in bodies:
        if len(bodies[key]) > 1 or len(rows[key]) > 1:
            yield f"key: {key} came with {len(bodies[key])} bodies, of rows {_some(rows[key])}"
    for row, its in keys.items():
        if len(its) > 1 + sum(row in asked for asked in e.asked):
            yield f"key: row {row} came under {len(its)} keys"


def _after_done(e: Evidence) -> Iterator[str]:
    """3: no row arrives once the ledger has it as done."""
    for seen in e.arrivals:
        if seen.row in e.done_at and seen.at > e.done_at[seen.row]:
            late = (seen.at - e.done_at[seen.row]) / 1e9
            yield f"done: row {seen.row} arrived {late:.3f} s after it was recorded as done"


def _sums(e: Evidence) -> Iterator[str]:
    """4: the counts add up at every look."""
    for (counts, total), times in e.sums.items():
        if sum(count for _, count in counts) != total or any(count < 0 for _, count in counts):
            yield f"sum: {dict(counts)} of {total}, seen {times} times"


def _nothing_lost(e: Evidence) -> Iterator[str]:
    """5: what was recorded, in the ledger or on disk, stays."""
    done = e.states.get("done", set())
    if lost := (e.done_at.keys() | e.undone) - done:
        yield f"lost: rows were recorded as done and are not: {_some(lost)}"
    if e.undone & done:
        yield f"lost: rows were done, then not, then done again: {_some(e.undone & done)}"
    kept = {row for row, state in e.journaled.items() if state == "done"}
    if lost := kept - done:
        yield f"lost: rows were kept on disk as done and are not: {_some(lost)}"


def _truth(e: Evidence) -> Iterator[str]:
    """2: what the states say is what the receiver knows."""
    acted = {seen.row for seen in e.arrivals if seen.acted}
    arrived = {seen.row for seen in e.arrivals if seen.row}
    if untrue := e.states.get("done", set()) - acted:
        yield f"truth: rows are done on which the API never acted: {_some(untrue)}"
    if untrue := arrived - set(range(1, e.total + 1)):
        yield f"truth: rows arrived that the file does not have: {_some(untrue)}"
    if untrue := arrived & (e.states.get("waiting", set()) | e.states.get("rejected", set())):
        yield f"truth: rows arrived that are waiting or rejected: {_some(untrue)}"
    surely = acted - {row for rows in e.asked for row in rows}  # asked again, it may have been refused
    if not e.idempotent and (untrue := e.states.get("failed", set()) & surely):
        yield f"truth: rows are failed on which the API acted: {_some(untrue)}"


def _unknown(e: Evidence) -> Iterator[str]:
    """No more is unknown than what was under way when a sender died."""
    unknown = len(e.states.get("unknown", set()))
    if e.most_unknown is not None and unknown > e.most_unknown:
        yield f"unknown: {unknown} rows, where {e.most_unknown} can have been under way"


def _ban(e: Evidence) -> Iterator[str]:
    """A ban is noticed: only what was under way meets it."""
    met = sum(seen.answer == 403 for seen in e.arrivals)
    if e.most_banned is not None and met > e.most_banned:
        yield f"ban: {met} requests met it, where {e.most_banned} can have been under way"


def _some(rows: set[int]) -> str:
    ordered = sorted(rows)
    return ", ".join(map(str, ordered[:10])) + (f" and {len(ordered) - 10} more" if len(ordered) > 10 else "")
