"""Placeholders: a definition's texts compiled once, and filled in with the values of a row.

    {column}          the row's value: percent-encoded in an address; with its JSON type where it is a whole JSON string
    ${secret:NAME}    a secret, looked up when the program started
    {{  }}  $${       the characters {  }  ${ themselves

Everything here is pure, and built for thousands of rows a second.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Protocol
from urllib.parse import quote

from flows.errors import RowrelayError
from flows.pipeline.fault import Place
from flows.values import as_text

Values = Mapping[str, Any]
Secrets = Mapping[str, str]
Write = Callable[[Any], str]


class Unsendable(RowrelayError):
    """This row cannot be made into a request."""


class TemplateError(ValueError):
    """A template that cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class FromRow:
    """A piece of a template that is a column's value, and how that is written as text."""

    column: str
    write: Write = as_text


@dataclass(frozen=True, slots=True)
class FromSecret:
    """A piece of a template that is a secret."""

    name: str


Piece = str | FromRow | FromSecret
KEY = re.compile(r"(?<!\{)\{[^{}]+\}(?!\})")  # a name in a JSON body that holds a placeholder
_TOKEN = re.compile(
    r"(?P<dollar>\$\$\{)|\$\{secret:(?P<secret>[^{}]+)\}|(?P<other>\$\{)"
    r"|(?P<open>\{\{)|(?P<close>\}\})|\{(?P<column>[^{}]+)\}|(?P<stray>[{}])"
)


def pieces(text: str) -> tuple[Piece, ...]:
    """The pieces of a template, literal text unescaped. Raises TemplateError on a stray brace."""
    found: list[Piece] = []
    for piece in _pieces(text):
        if isinstance(piece, str) and found and isinstance(found[-1], str):
            found[-1] += piece
        elif piece != "":
            found.append(piece)
    return tuple(found)


def _pieces(text: str) -> Iterator[Piece]:
    done = 0
    for token in _TOKEN.finditer(text):
        yield text[done : token.start()]
        done = token.end()
        kind = str(token.lastgroup)
        if kind == "other":
            raise TemplateError("holds `${` that stands for nothing; write $${ for the characters themselves")
        if kind == "stray":
            raise TemplateError(f"holds a single `{token[0]}`; write {token[0] * 2} for the character itself")
        if kind == "column":
            yield FromRow(token[kind])
        elif kind == "secret":
            yield FromSecret(token[kind])
        else:
            yield {"dollar": "${", "open": "{", "close": "}"}[kind]
    yield text[done:]


def texts(value: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every text in plain data, with the way to it from `place`."""
    if isinstance(value, str):
        yield place, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from texts(inner, (*place, key))


_JSON_AS_IT_IS = frozenset((str, int, bool, type(None), list, dict))


def as_json(column: str, value: Any) -> Any:
    """A typed cell as what JSON can hold: dates become ISO 8601 text. Raises Unsendable for what it cannot hold."""
    if type(value) in _JSON_AS_IT_IS:
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return value
    raise Unsendable(f"column {column}: JSON cannot hold {value!r}")


class Node(Protocol):
    """A part of a compiled JSON body."""

    def make(self, values: Values, secrets: Secrets) -> Any:
        """The part for one row."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A part that is the same for every row. Not to be changed by who gets it."""

    value: Any

    def make(self, values: Values, secrets: Secrets) -> Any:
        """The value itself."""
        return self.value


@dataclass(frozen=True, slots=True)
class Typed:
    """A placeholder that stands alone: the cell with its JSON type."""

    column: str

    def make(self, values: Values, secrets: Secrets) -> Any:
        """The cell of this row."""
        value = values[self.column]
        return value if type(value) in _JSON_AS_IT_IS else as_json(self.column, value)


@dataclass(frozen=True, slots=True)
class Text:
    """Text with placeholders among other characters."""

    pieces: tuple[Piece, ...]

    def make(self, values: Values, secrets: Secrets) -> str:
        """The text for this row."""
        return "".join([part if isinstance(part, str) else fill(part, values, secrets) for part in self.pieces])


@dataclass(frozen=True, slots=True)
class MappingOf:
    """A JSON object."""

    items: tuple[tuple[str, Node], ...]

    def make(self, values: Values, secrets: Secrets) -> dict[str, Any]:
        """The object for this row."""
        return {key: node.make(values, secrets) for key, node in self.items}


@dataclass(frozen=True, slots=True)
class NamedByRow:
    """A JSON object some of whose names hold placeholders. Raises Unsendable where two of them become one."""

    items: tuple[tuple[Text | Fixed, Node], ...]

    def make(self, values: Values, secrets: Secrets) -> dict[str, Any]:
        """The object for this row."""
        made: dict[str, Any] = {}
        for text, node in self.items:
            name = text.make(values, secrets)
            if name in made:
                raise Unsendable(f"the body would have the name {name!r} twice")
            made[name] = node.make(values, secrets)
        return made


@dataclass(frozen=True, slots=True)
class Whole:
    """A placeholder that stands for a JSON value that is ready, e.g. all parts of a batch."""

    name: str

    def make(self, values: Values, secrets: Secrets) -> Any:
        """The value."""
        return values[self.name]


@dataclass(frozen=True, slots=True)
class ListOf:
    """A JSON array."""

    items: tuple[Node, ...]

    def make(self, values: Values, secrets: Secrets) -> list[Any]:
        """The array for this row."""
        return [node.make(values, secrets) for node in self.items]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What the parts of a template become: as it is here, unless a definition says otherwise.

    `writes` has the columns that are written in another way than `as_text`.
    """

    writes: Mapping[str, Write] = field(default_factory=dict)
    alone: Callable[[str], Node] = Typed
    mapping: Callable[[tuple[tuple[str, Node], ...]], Node] = MappingOf
    items: Callable[[tuple[Node, ...]], Node] = ListOf

    def pieces(self, text: str) -> tuple[Piece, ...]:
        """The pieces of a template, each column with its way of writing. Raises TemplateError."""
        return tuple(
            FromRow(piece.column, self.writes[piece.column])
            if isinstance(piece, FromRow) and piece.column in self.writes
            else piece
            for piece in pieces(text)
        )


AS_IT_IS = Outgoing()


def compile_text(text: str, how: Outgoing = AS_IT_IS) -> Fixed | Text:
    """A text whose placeholders all become text."""
    parts = how.pieces(text)
    return Text(parts) if any(not isinstance(part, str) for part in parts) else Fixed("".join(map(str, parts)))


def compile_json(value: Any, how: Outgoing = AS_IT_IS) -> Node:
    """A JSON value whose strings are templates, and names that hold a placeholder. Raises TemplateError."""
    if isinstance(value, dict):
        if any(KEY.search(key) for key in value):
            return NamedByRow(
                tuple(
                    (compile_text(key, how) if KEY.search(key) else Fixed(key), compile_json(inner, how))
                    for key, inner in value.items()
                )
            )
        items = tuple((key, compile_json(inner, how)) for key, inner in value.items())
        fixed = {key: node.value for key, node in items if isinstance(node, Fixed)}
        return Fixed(fixed) if len(fixed) == len(items) else how.mapping(items)
    if isinstance(value, list):
        nodes = tuple(compile_json(inner, how) for inner in value)
        fixed_items = [node.value for node in nodes if isinstance(node, Fixed)]
        return Fixed(fixed_items) if len(fixed_items) == len(nodes) else how.items(nodes)
    if not isinstance(value, str):
        return Fixed(value)
    parts = pieces(value)
    if len(parts) == 1 and isinstance(parts[0], FromRow):
        return how.alone(parts[0].column)
    return compile_text(value, how)


def fill(piece: FromRow | FromSecret, values: Values, secrets: Secrets) -> str:
    """What a placeholder stands for, as text. Raises Unsendable where the secret is not among those handed in."""
    if isinstance(piece, FromRow):
        return piece.write(values[piece.column])
    if piece.name not in secrets:
        raise Unsendable(f"the secret {piece.name} is missing")
    return secrets[piece.name]


@dataclass(frozen=True, slots=True)
class Header:
    """A header's value."""

    name: str
    text: Fixed | Text

    def make(self, values: Values, secrets: Secrets) -> str:
        """The value for this row. Raises Unsendable on a line break or anything but printable ASCII.

        A line break would let a cell add headers, or a second request, of its own.
        """
        value: str = self.text.make(values, secrets)
        if value.isascii() and value.isprintable():
            return value
        columns = [part.column for part in getattr(self.text, "pieces", ()) if isinstance(part, FromRow)]
        raise Unsendable(
            f"header {self.name}: only printable ASCII can stand in a header"
            + (f", not a line break or what column {' or '.join(columns)} holds" if columns else "")
        )


@dataclass(frozen=True, slots=True)
class Address:
    """A URL: (piece, whether it stands in the query) in order; literal pieces are encoded already."""

    pieces: tuple[tuple[Piece, bool], ...]

    def make(self, values: Values, secrets: Secrets) -> str:
        """The address for this row. Raises Unsendable where a value in the path would lead to another place."""
        return "".join(
            [part if isinstance(part, str) else _encoded(part, query, values, secrets) for part, query in self.pieces]
        )


def compile_url(text: str, how: Outgoing = AS_IT_IS) -> Address:
    """A URL whose placeholders are percent-encoded. Raises TemplateError."""
    made: list[tuple[Piece, bool]] = []
    query = False
    for piece in how.pieces(text):
        made.append((_literal(piece, first=not made) if isinstance(piece, str) else piece, query))
        query = query or (isinstance(piece, str) and "?" in piece)
    return Address(tuple(made))


def _literal(text: str, *, first: bool) -> str:
    host = re.match(r"[a-zA-Z]+://[^/?#]*", text) if first else None
    start = host.end() if host else 0
    return text[:start] + quote(text[start:], safe="%/:?#[]@!$&'()*+,;=~")


def _encoded(piece: FromRow | FromSecret, query: bool, values: Values, secrets: Secrets) -> str:
    text = fill(piece, values, secrets)
    if not query and not text.strip("."):  # `/users/` is another place than `/users/7`, and `..` leads out
        name = piece.column if isinstance(piece, FromRow) else piece.name
        raise Unsendable(f"column {name}: {text!r} in the path of the address would lead to another place")
    return quote(text, safe="")
