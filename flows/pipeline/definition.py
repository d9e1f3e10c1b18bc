"""A pipeline's definition: which columns, which request, how fast, what counts as success.

Its shape only: which keys there are, and what may stand behind each. flows.pipeline.reading makes definitions, and
flows.pipeline.consistency says what is wrong with one whose shape is right.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import jmespath
from pydantic import AfterValidator, BeforeValidator, Field

from flows.pipeline.column import Bool, Column, Float, Int, Part, left_out, pandera_model
from flows.pipeline.fault import Place
from flows.pipeline.template import texts
from flows.records import Apostrophes, LimitTerms

Method = Literal["POST", "PUT", "PATCH", "GET", "DELETE"]
IN_FLIGHT_BY_DEFAULT = 500  # most: connections, and rows that a kill leaves unknown; more has to be asked for
Seconds = Annotated[Float, Field(gt=0, le=31 * 86_400)]


def _template_value(value: Any) -> Any:
    """`value` as plain JSON data: text from the environment becomes ordinary text."""
    if isinstance(value, dict):
        return {str(key): _template_value(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_template_value(inner) for inner in value]
    return str(value) if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _null(value: Any) -> Any:
    return "null" if value is None else value


Empty = Literal["omit", "null", "text"]
Json = Annotated[Any, BeforeValidator(_template_value)]


class Request(Part):
    """One HTTP request a row. `{column}` is replaced by the row's value, `${secret:NAME}` by a secret."""

    method: Annotated[Method, BeforeValidator(_upper)] = "POST"
    """HTTP method"""
    url: str
    """Address with http:// or https://; placeholders in the path or the query are percent-encoded"""
    headers: dict[str, str] = Field(default={})
    """Headers sent with every request"""
    body: Json = Field(default=None, alias="json")
    """JSON body; a placeholder that stands alone in a string keeps its JSON type. Default: all columns"""
    form: dict[str, Json] | None = None
    """Form fields (application/x-www-form-urlencoded) instead of JSON"""
    empty: Annotated[Empty | None, BeforeValidator(_null)] = Field(default=None, exclude_if=left_out)
    """A field or parameter whose cell is empty: omit (with what it empties), null (JSON only) or text ("")"""
    timeout_seconds: Annotated[Float, Field(gt=0, le=3600)] = 2.0
    """Longest wait for the head of an answer, counted from the permit"""

    @property
    def has_body(self) -> bool:
        """Whether requests of this method have a body, if an empty one."""
        return self.method in ("POST", "PUT", "PATCH")

    def templates(self) -> Iterator[tuple[Place, str]]:
        """Every text in which placeholders may stand, with its place in the definition."""
        yield ("request", "url"), self.url
        yield from texts(self.headers, ("request", "headers"))
        yield from texts(self.body, ("request", "json"))
        yield from texts(self.form, ("request", "form"))


def _jmespath(text: str) -> str:
    try:
        jmespath.compile(text)
    except (jmespath.exceptions.JMESPathError, RecursionError) as exc:
        raise ValueError(f"is no JMESPath expression: {str(exc).splitlines()[0]}") from exc
    return text


class Response(Part):
    """What is expected of an answer, and what is kept of it."""

    keep: dict[str, Annotated[str, AfterValidator(_jmespath)]] = Field(default={})
    """Name in the results → JMESPath into the answer"""
    success: Annotated[list[Int], Field(min_length=1)] = Field(default=[200, 201, 202, 204])
    """Status codes that mean the row is done"""
    expects_json: Bool = Field(default=True, alias="json")
    """false: the answer need not be JSON"""
    max_bytes: Annotated[Int, Field(ge=0, le=64 * 2**20)] = 65_536
    """An answer is read up to here"""


class Window(Part):
    """At most `requests` arrivals in any window of `seconds`."""

    requests: Annotated[Int, Field(ge=1, le=1_000_000)]
    """Most requests that may arrive in any window"""
    seconds: Seconds
    """Length of the window"""


class Limit(Part):
    """How fast requests may go; shared by name, by everything that uses the same API account."""

    name: str
    """One name per API account: definitions that name the same limit share it"""
    requests: Annotated[Int, Field(ge=1, le=1_000_000)] | None = None
    """Most requests that may arrive in any window of window_seconds"""
    window_seconds: Seconds | None = None
    """Length of the window that `requests` counts in"""
    windows: Annotated[list[Window], Field(min_length=1, max_length=10)] | None = None
    """Several windows at once, instead of requests and window_seconds"""
    in_flight: Annotated[Int, Field(ge=1, le=10_000)] | None = None
    """Most requests under way at once. Default: the smallest number of requests of the windows, but at most 500"""
    late_seconds: Seconds | None = None
    """If known: the longest a request may take to arrive. Makes slow APIs faster; a promise that you make"""
    max_timeout_seconds: Annotated[Float, Field(gt=0, le=3600)] | None = None
    """Longest time-out that a definition under this limit may have. Default: this definition's own"""
    grace_seconds: Annotated[Float, Field(ge=0, le=600)] = 2.0
    """How long a request that was given up may still be on its way"""

    @property
    def pairs(self) -> tuple[tuple[int, float], ...]:
        """The windows as (requests, seconds), shortest first; empty if only `in_flight` bounds the pace."""
        if self.windows is not None:
            return tuple((w.requests, w.seconds) for w in sorted(self.windows, key=lambda window: window.seconds))
        if self.requests is None or self.window_seconds is None:
            return ()
        return ((self.requests, self.window_seconds),)


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


class Source(Part):
    """How the file is to be read, where it is not to be found out."""

    encoding: str | None = None
    """Encoding of the file, e.g. cp1252. Default: UTF-8 or what its byte order mark says"""
    delimiter: str | None = None
    """One of , ; | or tab. Default: found"""
    apostrophes: Apostrophes = "ask"
    """Before a formula, number or date in others' files: part of the text (keep), a guard (remove), rejected (ask)"""


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
    request: Request
    """The request that each row becomes"""
    response: Response = Response()
    """What counts as success, and what is kept"""
    limit: Limit
    """How fast"""
    retry: Retry = Retry()
    """How often"""
    ban: Ban = Ban()
    """What means that the API has shut us out"""
    source: Source = Source()
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

    @property
    def pandera_model(self) -> Any:
        """The pandera DataFrameModel that `schema` names, or None. Raises SchemaImportError."""
        return pandera_model(self.schema_path) if self.schema_path else None

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns in order, whether they are stated here or by a pandera model."""
        return tuple(map(str, self.pandera_model.to_schema().columns)) if self.schema_path else tuple(self.columns)

    @property
    def terms(self) -> LimitTerms:
        """The numbers that the limiter works with."""
        limit = self.limit
        return LimitTerms(
            name=limit.name,
            windows=limit.pairs,
            in_flight=limit.in_flight or min([IN_FLIGHT_BY_DEFAULT, *(requests for requests, _ in limit.pairs)]),
            max_timeout_seconds=limit.max_timeout_seconds or self.request.timeout_seconds,
            grace_seconds=limit.grace_seconds,
            late_seconds=limit.late_seconds,
        )

    def resolved(self) -> dict[str, Any]:
        """All of it as JSON data, environment filled in and secrets left as `${secret:NAME}`: what a run stores."""
        return self.model_dump(mode="json", by_alias=True)

    def digest(self) -> str:
        """SHA-256 (hex) of what it does, whatever the limit's numbers: those may change during a run."""
        return digest_of(self.resolved())


def digest_of(resolved: Mapping[str, Any]) -> str:
    """The digest of a definition as a run has stored it.

    Of what is stored, not of what this version makes of it: that may have keys of which the other knew nothing.
    """
    data = dict(resolved) | {"limit": {"name": resolved["limit"]["name"]}}
    return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a definition file, for editors."""
    made = Definition.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "Rowrelay pipeline"}
