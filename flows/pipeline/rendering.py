"""Rows as a request: method, address, headers and body, from a definition's compiled templates. Pure.

`rendering = Rendering.of(definition)` once, then one call a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import httpx
import msgspec

from flows.pipeline.batch import Batch
from flows.pipeline.definition import Definition
from flows.pipeline.outgoing import address, outgoing, whole
from flows.pipeline.request import METHODS, WITH_BODY, KeyPlace, Request, all_texts
from flows.pipeline.template import (
    KEY,
    Address,
    Fixed,
    FromRow,
    FromSecret,
    Header,
    Node,
    Outgoing,
    Piece,
    Secrets,
    Text,
    Unsendable,
    Values,
    Whole,
    compile_json,
    compile_text,
    pieces,
    texts,
)
from flows.values import as_text

BATCH = "batch"
_NONE: Mapping[str, str] = {}
_JSON = msgspec.json.Encoder(decimal_format="number")  # a decimal keeps all its digits
_TYPES = {
    "json": "application/json",
    "graphql": "application/json",
    "form": "application/x-www-form-urlencoded",
    "ndjson": "application/x-ndjson",
    "text": "text/plain; charset=utf-8",
}
_XML = re.compile(r"(?i)^[a-z0-9.-]+/([a-z0-9.+-]*\+)?xml\b")
_ESCAPES = {'"': "&quot;", "'": "&apos;"}


@dataclass(frozen=True, slots=True)
class Rendering:
    """One request of a definition, its templates compiled. `accept` is the type that the answer should have.

    Values are those of one row. A request of many rows is made of the values of each; placeholders outside of
    the rows' parts are those that all have in common.
    """

    method: Fixed | Text
    accept: str
    address: Address
    headers: tuple[Header, ...]
    fixed_headers: dict[str, str]
    kind: str  # of the body; "" without one
    body: Node | None
    lines: tuple[Node, ...]  # of one row, in an ndjson body
    part: Node | None  # one row's, of a batch
    merges: bool
    key: KeyPlace
    names: tuple[str, ...]  # what its placeholders are called
    needs_more: bool  # some of them are no columns
    secrets: tuple[str, ...]  # the names of those that may stand in a request
    timeout_seconds: float

    @property
    def is_form(self) -> bool:
        """Whether its values go out as fields of a form, where there is no null."""
        return self.kind == "form"

    @classmethod
    def of(cls, definition: Definition, request: Request | None = None) -> Rendering:
        """Compile the main request of a definition, or another one of it. Raises TemplateError."""
        batch = definition.batch if request is None else None
        request = request or definition.main
        how = outgoing(definition, request.empty)
        headers = [Header(name, compile_text(text, how)) for name, text in request.headers.items()]
        names = _names(request, batch)
        kind, body, part = _body(definition, request, batch, how)
        fixed = {header.name: header.make({}, {}) for header in headers if isinstance(header.text, Fixed)}
        if kind in _TYPES and not any(header.name.casefold() == "content-type" for header in headers):
            fixed = {"Content-Type": request.content_type or _TYPES[kind]} | fixed
        return cls(
            method=compile_text(request.method, how),
            accept="application/json" if definition.response.expects_json else "*/*",
            address=address(request.url, how, request.empty),
            headers=tuple(header for header in headers if not isinstance(header.text, Fixed)),
            fixed_headers=fixed,
            kind=kind,
            body=body,
            lines=tuple(whole(compile_json(line, how)) for line in request.ndjson or ()),
            part=part,
            merges=batch is not None and batch.puts == "object",
            key=request.key_place,
            names=tuple(sorted(names)),
            needs_more=not names <= set(definition.column_names),
            secrets=_secret_names(request, batch),
            timeout_seconds=request.timeout_seconds,
        )

    def make_method(self, values: Values) -> str:
        """The method. Raises Unsendable where the row's is none."""
        if isinstance(self.method, Fixed):
            return str(self.method.value)
        made = str(self.method.make(values, {})).strip().upper()
        if made not in METHODS:
            raise Unsendable(f"{made!r} is no method that can be sent; possible: {', '.join(METHODS)}")
        return made

    def make_part(self, values: Values, secrets: Secrets = _NONE) -> Any:
        """One row's part of a batch: JSON data, or the lines of an ndjson body as bytes."""
        if self.kind == "ndjson":
            return b"".join(self.encoded(line.make(values, secrets)) + b"\n" for line in self.lines)
        return self.part.make(values, secrets) if self.part is not None else None

    def make_body(self, values: Values, secrets: Secrets = _NONE, parts: Sequence[Any] | None = None) -> Any:
        """JSON data (decimals stay Decimal), fields as a dict, text, or None for a request without body.

        `parts`: those of the rows of a batch.
        """
        if self.kind == "ndjson":
            return b"".join([self.make_part(values, secrets)] if parts is None else parts)
        if self.body is None:
            return None
        if parts is not None:
            values = {**values, BATCH: _merged(parts) if self.merges else list(parts)}
        return self.body.make(values, secrets)

    def make_content(
        self, values: Values, secrets: Secrets = _NONE, *, key: str = "", parts: Sequence[Any] | None = None
    ) -> bytes:
        """The body as it goes out; empty for a request without one. Raises Unsendable."""
        if self.kind == "":
            return b""
        made = self.make_body(values, secrets, parts)
        try:
            if self.kind == "ndjson":
                return bytes(made)
            if self.kind == "form":
                return urlencode([(name, as_text(value)) for name, value in made.items()]).encode()
            if self.kind == "text":
                return str(made).encode()
            if self.kind == "multipart":
                return self._multipart(made, key)
        except UnicodeEncodeError as exc:  # half of a surrogate pair
            raise Unsendable(f"the body cannot be written: {exc}") from exc
        if self.key.in_json and key:
            made = _with_key(made, self.key.in_json.split("."), key)
        return self.encoded(made)

    def moving_type(self, key: str) -> str:
        """The type of a body that differs from one request to the next; "" where it does not."""
        if self.kind != "multipart":
            return ""
        return f"multipart/form-data; boundary=rowrelay-{key or 'key'}"  # sent again it is the same, byte by byte

    @staticmethod
    def encoded(made: Any) -> bytes:
        """A value as JSON. Raises Unsendable."""
        try:
            return _JSON.encode(made)
        except (TypeError, ValueError, OverflowError) as exc:  # e.g. half of a surrogate pair
            raise Unsendable(f"the body cannot be written as JSON: {exc}") from exc

    def _multipart(self, made: Mapping[str, Any], key: str) -> bytes:
        files = [(name, self._file(value)) for name, value in made.items()]
        head = {"Content-Type": self.moving_type(key)}
        return httpx.Request("POST", "http://multipart.invalid", headers=head, files=files).read()

    def _file(self, value: Any) -> tuple[str | None, bytes, str | None]:
        if isinstance(value, dict) and "content" in value:
            content = value["content"]
            kind = value.get("type")
            return value.get("filename"), self._plain(content), None if kind is None else str(kind)
        return None, self._plain(value), None

    def _plain(self, value: Any) -> bytes:
        return self.encoded(value) if isinstance(value, dict | list) else as_text(value).encode()

    def make_url(self, values: Values, secrets: Secrets = _NONE, *, key: str = "") -> str:
        """The address, percent-encoded."""
        try:
            url = self.address.make(values, secrets)
        except UnicodeEncodeError as exc:
            raise Unsendable(f"the address cannot be written: {exc}") from exc
        if self.key.query and key:
            url += ("&" if "?" in url else "?") + urlencode({self.key.query: key})
        return url

    def make_headers(self, values: Values, secrets: Secrets = _NONE, *, key: str = "") -> dict[str, str]:
        """The headers of the definition, the type of the body, and the key where it goes into one."""
        headers = {self.key.header: key} | self.fixed_headers if self.key.header and key else dict(self.fixed_headers)
        if not self.headers:
            return headers
        return headers | {header.name: header.make(values, secrets) for header in self.headers}

    def sends_body(self, method: str) -> bool:
        """Whether a request of this method has a body, if an empty one."""
        return method in WITH_BODY


def _names(request: Request, batch: Batch | None) -> set[str]:
    """What its placeholders are called."""
    each = [text for _, text in texts(batch.each)] if batch is not None else []
    found = [piece for text in (*(text for _, text in request.templates()), *each) for piece in pieces(text)]
    keys = [piece for name in _all_names(batch.each) for piece in pieces(name)] if batch is not None else []
    return {piece.column for piece in (*found, *keys) if isinstance(piece, FromRow)}


def _secret_names(request: Request, batch: Batch | None) -> tuple[str, ...]:
    each = [text for _, text in all_texts(batch.each, ())] if batch is not None else []
    found = (piece for text in (*(text for _, text in request.templates()), *each) for piece in pieces(text))
    return tuple(sorted({piece.name for piece in found if isinstance(piece, FromSecret)}))


def _all_names(value: Any) -> Iterator[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        if isinstance(name, str) and KEY.search(name):
            yield name
        yield from _all_names(inner)


def _body(
    definition: Definition, request: Request, batch: Batch | None, how: Outgoing
) -> tuple[str, Node | None, Node | None]:
    """(kind, body, one row's part of it)."""
    if not request.has_body:
        return "", None, None
    columns = whole(how.mapping(tuple((name, how.alone(name)) for name in definition.column_names)))
    part = None
    if batch is not None and request.ndjson is None:
        part = columns if batch.each is None else whole(compile_json(batch.each, how))
        how = _with_batch(how)
    kind, value = next(iter(request.bodies), ("json", None))
    if kind == "ndjson":
        return kind, None, None
    if kind == "text":
        return kind, compile_text(str(value), _escaping(how, request)), part
    if kind == "graphql":
        assert request.graphql is not None
        variables = whole(compile_json(request.graphql.variables, how))
        return kind, how.mapping((("query", Fixed(request.graphql.query)), ("variables", variables))), part
    if value is None:
        return "json", Whole(BATCH) if part is not None else columns, part
    return kind, whole(compile_json(value, how)), part


def _with_batch(how: Outgoing) -> Outgoing:
    return Outgoing(
        writes=how.writes,
        alone=lambda name: Whole(BATCH) if name == BATCH else how.alone(name),
        mapping=how.mapping,
        items=how.items,
    )


def _escaping(how: Outgoing, request: Request) -> Outgoing:
    """Texts of XML: what a cell holds must not become markup."""
    given = next((text for name, text in request.headers.items() if name.casefold() == "content-type"), "")
    if not _XML.match(request.content_type or given):
        return how
    return _Escaped(how.writes, how.alone, how.mapping, how.items)


class _Escaped(Outgoing):
    def pieces(self, text: str) -> tuple[Piece, ...]:
        return tuple(
            FromRow(piece.column, _escaped(piece)) if isinstance(piece, FromRow) else piece
            for piece in Outgoing.pieces(self, text)
        )


def _escaped(piece: FromRow) -> Any:
    return lambda value: escape(piece.write(value), _ESCAPES)


def _merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The parts of a batch in one object. Raises Unsendable where two have the same name."""
    made: dict[str, Any] = {}
    for part in parts:
        made.update(part)
    if len(made) < sum(map(len, parts)):
        raise Unsendable("two rows of the request have the same name in its object")
    return made


def _with_key(made: Any, way: Sequence[str], key: str) -> Any:
    """The body with the key in its place."""
    if not isinstance(made, dict | None):
        raise Unsendable(f"the idempotency key has no place at {'.'.join(way)}: there is no object")
    inner = (made or {}).get(way[0]) if len(way) > 1 else None
    return {**(made or {}), way[0]: _with_key(inner, way[1:], key) if len(way) > 1 else key}
