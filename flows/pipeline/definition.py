"""A pipeline's definition: which columns, which request, how fast, what counts as success.

Its shape only: which keys there are, and what may stand behind each. flows.pipeline.reading makes definitions, and
flows.pipeline.consistency says what is wrong with one whose shape is right.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from flows.limit.places import bounding
from flows.pipeline.auth import SECRET, Auth
from flows.pipeline.batch import Batch
from flows.pipeline.column import Bool, Column, Float, Int, Part, left_out, pandera_model
from flows.pipeline.course import Poll, Reconcile, Step, Undo
from flows.pipeline.expression import Expression
from flows.pipeline.fault import Place
from flows.pipeline.file_form import FileForm
from flows.pipeline.hosts import fits, host_of, host_pattern
from flows.pipeline.limits import Limit
from flows.pipeline.request import Request, all_texts
from flows.pipeline.rules import Rule
from flows.pipeline.slow_by import Slows
from flows.records import LimitTerms

MOST_BYTES, BATCH_MOST_BYTES = 65_536, 16 * 2**20  # of an answer, to one row and to many, unless it is stated


class Response(Part):
    """What is expected of an answer, and what is kept of it."""

    keep: dict[str, Expression] = Field(default={})
    """Name in the results → JMESPath into the answer"""
    success: Annotated[list[Int], Field(min_length=1)] = Field(default=[200, 201, 202, 204])
    """Status codes that mean the row is done"""
    expects_json: Bool = Field(default=True, alias="json")
    """false: the answer need not be JSON"""
    max_bytes: Annotated[Int, Field(ge=0, le=64 * 2**20)] | None = Field(default=None, exclude_if=left_out)
    """An answer is read up to here. Default: 65536, with batch 16 MB"""


class Retry(Part):
    """How often a row is tried where the attempt before surely had no effect, or the API is idempotent."""

    attempts: Annotated[Int, Field(ge=1, le=100)] = 4
    """Most attempts a row, the first one included"""
    max_seconds: Annotated[Float, Field(ge=0, le=86_400)] = 60.0
    """No further attempt later than this after the first"""


class Ban(Part):
    """What says that the API has shut us out: the limit is latched until a person opens it."""

    status: list[Annotated[Int, Field(ge=400, le=599)]] = Field(default=[403])
    """Status codes that mean a ban"""
    html: Bool = True
    """Whether an HTML page where JSON was due means a ban"""


class Schedule(Part):
    """When new files are delivered without anybody asking: one of cron, interval_seconds and rrule."""

    cron: str | None = None
    """Five fields: minute hour day month weekday"""
    interval_seconds: Annotated[Float, Field(ge=1, le=366 * 86_400)] | None = None
    """Every so many seconds"""
    rrule: str | None = None
    """An iCalendar rule, e.g. FREQ=WEEKLY;BYDAY=MO;BYHOUR=9"""
    timezone: str = "UTC"
    """IANA name, e.g. Europe/Berlin"""
    inbox: str | None = None
    """Folder or URL to take files from. Default: the inbox folder of this pipeline"""
    active: Bool = True
    """false: set up, but paused"""
    skip_delivered: Bool = Field(default=False, exclude_if=operator.not_)
    """true: rows that earlier runs delivered are left out, by the pipeline's `key`"""


class Definition(Part):
    """A pipeline. Made by `load`, or by `from_resolved` from what a run has stored."""

    name: str
    """Small letters, digits and hyphens; how people and programs call the pipeline"""
    description: str = ""
    """What it does, for the people who send files through it"""
    columns: dict[str, Column] = Field(default={})
    """The columns of the file, in the order they are shown"""
    schema_path: str | None = Field(default=None, alias="schema")
    """Instead of columns: package.module:Model, a pandera DataFrameModel"""
    key: list[str] = Field(default=[])
    """Columns that say which row is which, so that a corrected file can skip what was delivered before"""
    request: Request | None = Field(default=None, exclude_if=left_out)
    """The request that each row becomes"""
    batch: Batch | None = Field(default=None, exclude_if=left_out)
    """Many rows in one request"""
    steps: list[Step] = Field(default=[], exclude_if=operator.not_)
    """Instead of request: several requests a row, in order"""
    answers: list[Rule] = Field(default=[], exclude_if=operator.not_)
    """What answers mean: the first rule that fits decides, else what is built in"""
    reconcile: Reconcile | None = Field(default=None, exclude_if=left_out)
    """How rows whose answer was lost are settled by asking the API"""
    poll: Poll | None = Field(default=None, exclude_if=left_out)
    """How rows that were only accepted are asked about"""
    undo: Undo | None = Field(default=None, exclude_if=left_out)
    """The request that takes a done row back"""
    proxy: str | None = Field(default=None, exclude_if=left_out)
    """An HTTP proxy that all requests go through: http://HOST:PORT, or environment. Default: none"""
    auth: Auth | None = Field(default=None, exclude_if=left_out)
    """What lets requests in: a token, a password, a session, a certificate, a signature"""
    response: Response = Response()
    """What counts as success, and what is kept"""
    limit: Limit | None = Field(default=None, exclude_if=left_out)
    """How fast"""
    limits: Annotated[list[Limit], Field(max_length=10)] = Field(default=[], exclude_if=operator.not_)
    """Instead of limit: several, each of which a request needs a place under"""
    slow_by: Slows | None = Field(default=None, exclude_if=left_out)
    """Headers of answers that slow the pace: {remaining: NAME, reset: NAME}, or standard. Default: none"""
    retry: Retry = Retry()
    """How often"""
    ban: Ban = Ban()
    """What means that the API has shut us out"""
    source: FileForm = FileForm()
    """How the file is read"""
    idempotent: Bool = False
    """true: the API honours Idempotency-Key, so a request whose answer was lost may be sent again"""
    idempotency_hours: Annotated[Float, Field(gt=0, le=24 * 366)] = 24.0
    """How long the API remembers a key"""
    counts_at_edge: Bool = False
    """true: the API counts a request before its gateway can answer 502, 503 or 504"""
    stop_after: Annotated[Int, Field(ge=1, le=1_000_000)] = 20
    """So many troubles in a row end the run: 401, 403, 404, 3xx, 5xx, pauses, no answer, no connection"""
    schedules: list[Schedule] = Field(default=[])
    """When new files of the inbox are delivered"""

    @model_validator(mode="before")
    @classmethod
    def _usual_length(cls, data: Any) -> Any:
        """For single rows the usual length is the same, stated or not; and what is stored always states it."""
        response = data.get("response") if isinstance(data, dict) and not data.get("batch") else None
        if not isinstance(response, dict) or response.get("max_bytes") != MOST_BYTES:
            return data
        return data | {"response": {key: value for key, value in response.items() if key != "max_bytes"}}

    @property
    def pandera_model(self) -> Any:
        """The pandera DataFrameModel that `schema` names, or None. Raises SchemaImportError."""
        return pandera_model(self.schema_path) if self.schema_path else None

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns in order, whether they are stated here or by a pandera model."""
        return tuple(map(str, self.pandera_model.to_schema().columns)) if self.schema_path else tuple(self.columns)

    @property
    def other_names(self) -> dict[str, tuple[str, ...]]:
        """By column the other names that it may have in a file."""
        return {name: tuple(column.other_names) for name, column in self.columns.items() if column.other_names}

    @property
    def requests(self) -> list[tuple[Place, Request]]:
        """Every request that it makes, with its place."""
        parts = [(("reconcile", "request"), self.reconcile), (("poll", "request"), self.poll)]
        found: list[tuple[Place, Request]] = [(("request",), self.request)] if self.request is not None else []
        found += [(("steps", at, "request"), step.request) for at, step in enumerate(self.steps) if step.request]
        found += [(place, part.request) for place, part in (*parts, (("undo", "request"), self.undo)) if part]
        login = self.auth.login if self.auth is not None else None
        return found + ([(("auth", "login", "request"), login.request)] if login is not None else [])

    def templates(self) -> Iterator[tuple[Place, str]]:
        """Every text in which placeholders may stand, with its place."""
        for place, request in self.requests:
            yield from request.templates(place)
        if self.batch is not None:
            yield from all_texts(self.batch.each, ("batch", "each"))
        for place, text in self.auth.texts() if self.auth is not None else ():
            yield place, "".join(found[0] for found in SECRET.finditer(text))  # other braces there are its own

    @property
    def main(self) -> Request:
        """The request that begins a row's exchange. Raises StopIteration where there is none."""
        return self.request or next(step.request for step in self.steps if step.request is not None)

    def lets_in(self, host: str) -> bool:
        """Whether requests to a host, as names are compared, get what `auth` has."""
        if self.auth is None:
            return False
        first = self.request or next((step.request for step in self.steps if step.request is not None), None)
        login = self.auth.login.request if self.auth.login is not None else None
        own = [host_of(request.url) for request in (first, login) if request is not None]
        return host in own or any(fits(host, host_pattern(each)) for each in self.auth.hosts or ())

    @property
    def timeout_seconds(self) -> float:
        """The longest that any of its requests may take."""
        return max(request.timeout_seconds for _, request in self.requests)

    @property
    def token_seconds(self) -> tuple[float, ...]:
        """The longest that a request for its token may take, where those count under its limits."""
        oauth2 = self.auth.oauth2 if self.auth is not None else None
        return (oauth2.timeout_seconds,) if oauth2 is not None and oauth2.counts else ()

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of what is kept of answers, in the order in which the results have them."""
        rules = [*self.answers, *(rule for step in self.steps for rule in step.answers)]
        lists: list[Iterable[str]] = [self.response.keep, *(step.keep for step in self.steps)]
        if self.batch is not None:
            lists.append(self.batch.keep)
            rules += self.batch.answers
        if self.reconcile is not None:
            rules += self.reconcile.answers
        if self.poll is not None:
            lists.append(self.poll.keep)
            rules += [*self.poll.answers, *self.poll.item_answers]
        return tuple(dict.fromkeys(name for names in (*lists, *(rule.keep for rule in rules)) for name in names))

    @property
    def rows_per_request(self) -> int:
        """The most rows that travel in one request."""
        return self.batch.rows if self.batch is not None else 1

    @property
    def most_bytes(self) -> int:
        """An answer is read up to here."""
        if (stated := self.response.max_bytes) is not None:
            return stated
        return MOST_BYTES if self.batch is None else BATCH_MOST_BYTES

    @property
    def each_limit(self) -> list[Limit]:
        """The limits that its requests go under; the first is the one that people mean by "the limit"."""
        return [self.limit] if self.limit is not None else self.limits

    @property
    def limit_name(self) -> str:
        """Its limits by name; the first is the one to open after a ban."""
        return ", ".join(limit.name for limit in self.each_limit)

    @property
    def limit_terms(self) -> tuple[LimitTerms, ...]:
        """The numbers that the limiter works with."""
        seconds, rows = max([self.timeout_seconds, *self.token_seconds]), self.rows_per_request
        return tuple(limit.terms(timeout_seconds=seconds, rows=rows, columns=self.columns) for limit in self.each_limit)

    @property
    def terms(self) -> LimitTerms:
        """What its limits allow together, as one limit of requests."""
        rows = self.rows_per_request
        return bounding(self.limit_terms, [limit.least_cost(rows, self.columns) for limit in self.each_limit])

    def resolved(self) -> dict[str, Any]:
        """All of it as JSON data, environment filled in and secrets left as `${secret:NAME}`: what a run stores."""
        data = self.model_dump(mode="json", by_alias=True)
        if self.batch is None:  # as it has always been stored, and so with the same digest
            data["response"]["max_bytes"] = self.most_bytes
        return data

    def digest(self) -> str:
        """SHA-256 (hex) of what it does, whatever the limit's numbers: those may change during a run."""
        return digest_of(self.resolved())


def digest_of(resolved: Mapping[str, Any]) -> str:
    """The digest of a definition as a run has stored it.

    Of what is stored, not of what this version makes of it: that may have keys of which the other knew nothing.
    """
    data = dict(resolved)
    if "limit" in resolved:
        data["limit"] = {"name": resolved["limit"]["name"]}
    if "limits" in resolved:
        data["limits"] = [{"name": limit["name"]} for limit in resolved["limits"]]
    return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a definition file, for editors."""
    made = Definition.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "Rowrelay pipeline"}
