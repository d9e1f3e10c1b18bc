"""Rows of a run in a ledger: begun, claimed, answered."""

from __future__ import annotations

import redis

from flows.ledger import keys
from flows.ledger.ledger import Ledger
from flows.ledger.moves import Answer, Claim
from flows.ledger.view import View
from flows.records import Reason, Rejection, RowState

RUN = "run-1"
NAMES = ("postId",)


def begin(
    client: redis.Redis, *, total: int = 10, rejected: tuple[int, ...] = (), run: str = RUN
) -> tuple[Ledger, View, int]:
    """A run that is sending, and the epoch that may claim its rows."""
    ledger, view = Ledger(client), View(client)
    ledger.create(run, definition={"name": "posts"}, by="test", pipeline="posts", file="f.csv")
    epoch = ledger.take(run, "me", resume=False)
    ledger.reject(
        run,
        epoch,
        [Rejection(row, row + 1, (Reason("userId", "must be a whole number", "x"),), ("x",)) for row in rejected],
    )
    ledger.begin(run, epoch, total=total, rejected=len(rejected))
    ledger.open(run, epoch)
    return ledger, view, epoch


def claim(
    ledger: Ledger, epoch: int, *claims: tuple[int, int], patience: float = 60.0, memory: float = 0.0
) -> list[int]:
    """What the claims of (row, serial) are answered, each row a parcel."""
    parcels = [((row,), serial) for row, serial in claims]
    return [answer for (answer,) in claim_parcels(ledger, epoch, *parcels, patience=patience, memory=memory)]


def claim_parcels(
    ledger: Ledger, epoch: int, *parcels: tuple[tuple[int, ...], int], patience: float = 60.0, memory: float = 0.0
) -> list[list[int]]:
    """What the claims of (rows, serial) are answered."""
    claims = [Claim(*parcel) for parcel in parcels]
    why, answers = ledger.claim(RUN, epoch, claims, patience_seconds=patience, idempotency_seconds=memory)
    assert why == "ok"
    return answers


def outcome(
    row: int, epoch: int, serial: int, state: RowState, *, wait: float = 0.0, post_id: int = 101, idle: bool = False
) -> Answer:
    """An answer as the sender packs it."""
    tail, detail = keys.pack(
        NAMES,
        status=201,
        took_seconds=0.1,
        kept={"postId": post_id} if state is RowState.DONE else {},
        reason="" if state is RowState.DONE else "why",
        excerpt="",
    )
    return Answer(row, epoch, serial, state, tail, detail, sent_second=1000, wait_seconds=wait, without_effect=idle)
