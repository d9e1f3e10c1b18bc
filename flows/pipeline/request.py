"""The shape of a request in a definition: its address, its body in one of six kinds, where its key goes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from flows.pipeline.column import Float, Part, left_out
from flows.pipeline.fault import Place, suggestion
from flows.pipeline.template import KEY, texts

METHODS = ("POST", "PUT", "PATCH", "GET", "HEAD", "DELETE")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
READING = ("GET", "HEAD")
WITH_BODY = ("POST", "PUT", "PATCH")
BODIES = ("json", "form", "ndjson", "multipart", "text", "graphql")
_METHOD_SCHEMA = {"anyOf": [{"enum": list(METHODS)}, {"type": "string", "pattern": r"^\{.+\}$"}]}


def _template_value(value: Any) -> Any:
    """`value` as plain JSON data: text from the environment becomes ordinary text."""
    if isinstance(value, dict):
        return {str(key): _template_value(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_template_value(inner) for inner in value]
    return str(value) if isinstance(value, str) else value


def _method(value: Any) -> Any:
    if not isinstance(value, str) or re.fullmatch(r"\{[^{}]+\}", value):
        return value
    if value.upper() not in METHODS:
        raise ValueError(f'is no method; {suggestion(value, METHODS)} A column may hold it, too: "{{method}}"')
    return value.upper()


def _null(value: Any) -> Any:
    return "null" if value is None else value


Empty = Literal["omit", "null", "text"]
Json = Annotated[Any, BeforeValidator(_template_value)]
Method = Annotated[str, BeforeValidator(_method), WithJsonSchema(_METHOD_SCHEMA)]


class GraphQL(Part):
    """A GraphQL document and its variables. Braces of the document are its own: it has no placeholders."""

    query: str
    """The document as it stands in the API's documentation"""
    variables: Json = Field(default={})
    """Its variables; placeholders are filled in as in a JSON body"""


class KeyPlace(Part):
    """Where the idempotency key goes."""

    header: str | None = Field(default=None, exclude_if=left_out)
    """Name of a header"""
    in_json: str | None = Field(default=None, alias="json", exclude_if=left_out)
    """A place in the JSON body: names with dots between them"""
    query: str | None = Field(default=None, exclude_if=left_out)
    """Name of a parameter of the address"""

    @property
    def is_nowhere(self) -> bool:
        """Whether no key is sent."""
        return not (self.header or self.in_json or self.query)


def _nowhere(data: Any) -> Any:
    if isinstance(data, str) and data != "none":
        raise ValueError("must be {header: NAME}, {json: a.path}, {query: NAME} or none")
    return {} if data == "none" else data


KeyGoes = Annotated[KeyPlace, BeforeValidator(_nowhere, json_schema_input_type=KeyPlace | Literal["none"])]


class Request(Part):
    """One HTTP request. `{column}` is replaced by the row's value, `${secret:NAME}` by a secret."""

    method: Method = "POST"
    """HTTP method, or a column that holds it: "{method}\""""
    url: str
    """Address with http:// or https://; placeholders in the path or the query are percent-encoded"""
    headers: dict[str, str] = Field(default={})
    """Headers sent with every request"""
    body: Json = Field(default=None, alias="json")
    """JSON body; a placeholder that stands alone in a string keeps its JSON type. Default: all columns"""
    form: dict[str, Json] | None = None
    """Form fields (application/x-www-form-urlencoded) instead of JSON"""
    ndjson: Annotated[list[Json], Field(min_length=1)] | None = Field(default=None, exclude_if=left_out)
    """Lines of JSON, each row's in their order, instead of a JSON body"""
    multipart: Annotated[dict[str, Json], Field(min_length=1)] | None = Field(default=None, exclude_if=left_out)
    """Parts of a multipart/form-data body; one with a file name: {filename: a.json, content: "…", type: text/plain}"""
    text: str | None = Field(default=None, exclude_if=left_out)
    """Text body. Where content_type is XML, what placeholders stand for is escaped"""
    graphql: GraphQL | None = Field(default=None, exclude_if=left_out)
    """GraphQL document with variables, as a JSON body"""
    content_type: str | None = Field(default=None, exclude_if=left_out)
    """Type of a text body, e.g. text/xml; charset=utf-8"""
    empty: Annotated[Empty | None, BeforeValidator(_null)] = Field(default=None, exclude_if=left_out)
    """A field or parameter whose cell is empty: omit (with what it empties), null (JSON only) or text ("")"""
    idempotency_key: KeyGoes | None = Field(default=None, exclude_if=left_out)
    """Where the idempotency key goes: {header: NAME}, {json: a.path}, {query: NAME} or none"""
    timeout_seconds: Annotated[Float, Field(gt=0, le=3600)] = 2.0
    """Longest wait for the head of an answer, counted from the permit"""

    @property
    def method_column(self) -> str:
        """The column that holds the method; "" where it is fixed."""
        return self.method[1:-1] if self.method.startswith("{") else ""

    @property
    def has_body(self) -> bool:
        """Whether requests of this method have a body, if an empty one."""
        return bool(self.method_column) or self.method in WITH_BODY

    @property
    def key_place(self) -> KeyPlace:
        """Where the idempotency key goes."""
        return self.idempotency_key or KeyPlace(header="Idempotency-Key")

    @property
    def bodies(self) -> list[tuple[str, Any]]:
        """The kinds of body that are stated, with what stands there."""
        stated = {"json": self.body, **{kind: getattr(self, kind) for kind in BODIES[1:]}}
        return [(kind, value) for kind, value in stated.items() if value is not None]

    def templates(self, place: Place = ("request",)) -> Iterator[tuple[Place, str]]:
        """Every text in which placeholders may stand, with its place in the definition."""
        if self.method_column:
            yield (*place, "method"), self.method
        yield (*place, "url"), self.url
        yield from texts(self.headers, (*place, "headers"))
        for kind, value in self.bodies:
            if isinstance(value, GraphQL):
                yield from all_texts(value.variables, (*place, kind, "variables"))
            else:
                yield from all_texts(value, (*place, kind))


def all_texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """The same with the names of objects that hold placeholders."""
    yield from texts(value, place)
    yield from _names(value, place)


def _names(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        if isinstance(name, str) and KEY.search(name):
            yield (*place, name), name
        yield from _names(inner, (*place, name))
