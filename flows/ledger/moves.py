"""How rows may move, and what is asked of the script that moves them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import NamedTuple

from msgspec import Struct

from flows.records import RowState

W, S, A, D, F, U = (
    RowState.WAITING,
    RowState.SENDING,
    RowState.ACCEPTED,
    RowState.DONE,
    RowState.FAILED,
    RowState.UNKNOWN,
)
TRANSITIONS: Mapping[str, Mapping[RowState, frozenset[RowState]]] = {
    "claim": {W: frozenset({S})},  # by the run's present epoch only
    "again": {U: frozenset({S})},  # only while the API remembers the row's idempotency key
    "answer": {
        S: frozenset({A, D, F, U, W}),
        U: frozenset({A, D, F, U, W}),
        W: frozenset({A, D, F}),
    },  # by its latest claim
    "restore": {s: frozenset({A, D, F, U, W}) for s in (W, S, U, F)},  # by a claim that Redis forgot
    "settle": {S: frozenset({U, W})},  # its deliverer is gone and the attempt's time is over
    "resolve": {A: frozenset({A, D, F, U}), U: frozenset({D, F, W})},  # the API was asked what became of it
    "resend": {F: frozenset({W}), U: frozenset({W})},  # a person asked; once a row and request
    "mark": {U: frozenset({D})},  # a person knows better
    "restored": {W: frozenset({U})},  # the ledger is older than the truth: the row may have been sent since
}
BATCH = 400  # rows a call, unless one parcel has more: so long does nobody else wait for Redis


class Claim(NamedTuple):
    """The wish to send a parcel. `serial` is this claim's alone in the run, and rises.

    `key` is a digest of what says which row it is, where rows of the same key are not to be under way at once; of a
    parcel of several rows their digests, with commas between them.
    """

    rows: Sequence[int]
    serial: int
    key: str = ""


class Found(NamedTuple):
    """What was found out about a row, already packed. `epoch` and `serial`: its latest claim as it was read.

    `steps`: how far its steps are now, where that was found out.
    """

    row: int
    epoch: int
    serial: int
    state: RowState
    tail: bytes
    detail: bytes
    steps: bytes = b""


class Answer(Struct, frozen=True):
    """An attempt's outcome on its way to the ledger, already packed."""

    row: int
    epoch: int
    serial: int
    state: RowState
    tail: bytes
    detail: bytes
    sent_second: int | None
    wait_seconds: float = 0.0
    without_effect: bool = False  # the attempt surely had none, so it says nothing about the ones before it
    parcel: str = ""  # the rows that it travelled with, itself included, where one of them may have to go so again


def calls(claims: Sequence[Claim]) -> Iterator[list[Claim]]:
    """As many at a time as one call takes."""
    some: list[Claim] = []
    size = 0
    for claim in claims:
        if some and size + len(claim.rows) > BATCH:
            yield some
            some, size = [], 0
        some.append(claim)
        size += len(claim.rows)
    if some:
        yield some


def script() -> str:
    """The text of ledger.lua with the table of transitions in front."""

    def targets(to: frozenset[RowState]) -> str:
        return "{" + ", ".join(f"{state} = true" for state in sorted(to)) + "}"

    rows = (
        f"['{event}'] = {{" + ", ".join(f"{state} = {targets(to)}" for state, to in moves.items()) + "}"
        for event, moves in TRANSITIONS.items()
    )
    body = files("flows.ledger").joinpath("ledger.lua").read_text(encoding="utf-8")
    return "local ALLOWED = {" + ",\n".join(rows) + "}\n" + body
