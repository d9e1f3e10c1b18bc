"""What the stand-ins of single APIs have in common: the limit, the faults, and a book of what became of each row."""

from __future__ import annotations

import random
import re
import time
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deployments.standin.answer import Answer, answer
from deployments.standin.api import Knobs, StandIn
from deployments.standin.apis.book import Book
from deployments.standin.arrivals import Arrival
from deployments.standin.faults import JSON, Misbehaviour

_EMAIL = re.compile(rb"[\w.+-]+@[\w.-]+")


class ApiKnobs(Knobs, frozen=True):
    """How a stand-in of one API behaves, beside its limit and its faults; each can be changed while it runs."""

    requests: int | None = Field(default=None, ge=1, description="Requests allowed in any window; null for no limit")
    batch_rows: int = Field(default=100, ge=1, description="Rows that a batch may have")
    ok_status: int = Field(default=0, description="Status of an answer that is no refusal; 0 for the API's own")
    wait_seconds: float = Field(default=1.0, ge=0, description="How long the API asks to wait when it is too much")
    burst: int | None = Field(default=None, ge=1, description="wait403: more requests a second than that are too much")
    job_seconds: float = Field(default=1.0, ge=0, description="How long a job takes, half of it in the queue")
    hidden_seconds: float = Field(default=0.0, ge=0, description="upsert: how long a search does not show a new record")
    cut_share: float = Field(default=0.0, ge=0, le=1, description="Share of answers that break off in the middle")


class Api(StandIn):
    """One API. A subclass says what it answers; `/truth` says what Rowrelay ought to have of each row."""

    name: ClassVar[str]
    path: ClassVar[str] = "/contacts"
    """Where rows are written to"""
    takes: ClassVar[tuple[str, ...]] = ("application/json",)
    """The kinds of body that it reads; any other is refused with 415"""
    knows: ClassVar[tuple[str, ...]] = ("busy", "bad")
    """The words of e-mail addresses that it acts on, see the book"""
    knobs: ApiKnobs

    def __init__(self, knobs: ApiKnobs | None = None, *, log: Path | None = None, details: bool = True) -> None:
        super().__init__(knobs or ApiKnobs(), log=log, details=details)
        self.book = Book(self.knows)

    @abstractmethod
    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """Act on one request, whose body says `sent`."""

    def truth(self) -> dict[str, Any]:
        """`rows`: what became of each row, by its e-mail; `facts`: the report."""
        self.catch_up()
        return {"api": self.name, "rows": self.book.report(), "facts": self.facts()}

    def about(self, arrival: Arrival, body: bytes) -> list[str]:
        """The e-mails of the rows that a request writes, also if nobody can read all of it."""
        return [email.decode() for email in _EMAIL.findall(body)]

    def catch_up(self) -> None:
        """Do what was to be done by now, for an API that acts later than it answers."""

    def pages(self) -> list[Route]:
        """Those of every stand-in, and /truth."""
        return [*super().pages(), Route("/truth", self._show_truth)]

    def forget(self) -> None:
        """Begin anew, without any record."""
        super().forget()
        self.book.clear()

    def facts(self, *, window_seconds: float | None = None, allowed: int | None = None) -> dict[str, Any]:
        """The report; `created` counts records."""
        created = sum(entry.created for entry in self.book.entries.values())
        return {**super().facts(window_seconds=window_seconds, allowed=allowed), "created": created}

    def status(self, usual: int) -> int:
        """The status of an answer that is no refusal."""
        return self.knobs.ok_status or usual

    async def _show_truth(self, request: Request) -> Response:
        return JSONResponse(self.truth())

    def _resource(self, arrival: Arrival, fields: Any) -> Answer:
        self.catch_up()
        before = self.book.changes
        if arrival.digest and not arrival.content_type.startswith(self.takes):
            arrival.acted = False
            return answer(415, {"message": f"The body is {arrival.content_type}, not {' or '.join(self.takes)}"})
        try:
            return self.respond(arrival, fields)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as exc:
            return answer(400, {"message": f"The request has not the shape that the API documents: {exc!r}"})
        finally:
            arrival.acted = self.book.changes > before

    def _draw(self) -> str:
        return super()._draw() or ("cut" if random.random() < self.knobs.cut_share else "")

    async def _answer(self, kind: str, arrival: Arrival, body: bytes, wrongly: Misbehaviour) -> None:
        if kind and kind not in ("ban", "too_many"):
            for email in self.about(arrival, body):
                self.book.entry(email).faults.append(kind)
        await super()._answer(kind, arrival, body, wrongly)

    async def _spoil(self, kind: str, told: Answer, wrongly: Misbehaviour) -> None:
        if kind != "cut":
            await super()._spoil(kind, told, wrongly)
            return
        head = f"HTTP/1.1 {told.status} \r\ncontent-type: {JSON.decode()}\r\ncontent-length: {len(told.body)}\r\n\r\n"
        wrongly.transport.write(head.encode() + told.body[: len(told.body) // 2])
        await wrongly.show("close")


def query(arrival: Arrival) -> Mapping[str, str]:
    """The parameters of a request's query."""
    return dict(parse_qsl(arrival.query, keep_blank_values=True))


def number(arrival: Arrival) -> int:
    """The id at the end of a request's path. Raises ValueError."""
    return int(arrival.path.rpartition("/")[2])


def now() -> float:
    """The clock that jobs and waits go by, in seconds."""
    return time.monotonic()


def not_found() -> Answer:
    """Of what is not there."""
    return answer(404, {"message": "not found"})
