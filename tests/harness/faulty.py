"""A client that fails where it is told to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx

from flows.client.compiled import Compiled
from flows.client.exchange import Exchange
from flows.delivery.journal import Journal
from flows.delivery.sender import Sender
from flows.ledger.ledger import Ledger
from flows.limit.limiter import Limiter, Permit
from flows.pipeline.definition import Definition
from flows.records import LimitTerms, Outcome, Parcel, Reply, RowState
from tests.harness.rows import RUN

DEFINITION = Definition.model_validate(
    {
        "name": "posts",
        "columns": {"userId": {"type": "int"}},
        "request": {"url": "http://127.0.0.1/posts"},
        "response": {"keep": {"id": "id"}},
        "limit": {"name": "inside", "requests": 50, "window_seconds": 0.2},
    }
)
TERMS = LimitTerms("inside", ((50, 0.2),), 5, 0.5, 0.3)


class Strange:
    """A value that cannot be written down."""

    def __str__(self) -> str:
        raise KeyError("strange")


class Faulty:
    """In the place of the client: answers; some rows fail before their request is written, or after.

    Others are answered with something that the ledger cannot hold, or make no request.
    """

    connections = None
    compiled = Compiled.of(DEFINITION, {})

    def __init__(self, *, before: int = 0, after: int = 0, strange: int = 0, without: int = 0) -> None:
        self._before, self._after, self._strange, self._without = before, after, strange, without

    def exchange(self, parcel: Parcel, **_: object) -> Exchange:
        """As `Client.exchange`."""
        (row,) = parcel.rows
        if row.row == self._before:
            raise KeyError("before")
        if row.row == self._without:
            return [Outcome(row.row, RowState.FAILED, "it makes no request")]
        reply = yield httpx.Request("POST", "http://127.0.0.1/posts", headers={"Row": str(row.row)})
        return [Outcome(row.row, reply.means, kept={"id": Strange()} if row.row == self._strange else {})]

    async def admit(self) -> None:
        """As `Client.admit`."""

    async def send(self, request: httpx.Request, permit: Permit) -> Reply:
        """As `Client.send`."""
        await permit.wait()
        permit.check()
        if request.headers["Row"] == str(self._after):
            raise KeyError("after")
        permit.answered()
        permit.finished()
        return Reply(RowState.DONE, status=201)


def sender_of(
    ledger: Ledger,
    epoch: int,
    folder: Path,
    limiter: Limiter,
    client: Faulty,
    *,
    give_up_seconds: float = 5.0,
    on_event: Callable[[str], None] = lambda text: None,
) -> Sender:
    """A sender with `client` in its client's place."""
    return Sender(
        run=RUN,
        definition=DEFINITION,
        epoch=epoch,
        first_serial=1,
        ledger=ledger,
        limit=limiter.limit(TERMS),
        client=client,  # type: ignore[arg-type]
        journal=Journal(folder / "journal", RUN),
        give_up_seconds=give_up_seconds,
        on_event=on_event,
    )
