"""What a definition says of how values go out: `as` of its columns, and `empty` of its request.

It is compiled into the nodes of a body: a column that says nothing costs nothing, and so does a request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from flows.pipeline.column import Column
from flows.pipeline.definition import Definition
from flows.pipeline.request import Empty
from flows.pipeline.template import (
    Address,
    FromRow,
    ListOf,
    MappingOf,
    Node,
    Outgoing,
    Piece,
    Secrets,
    Typed,
    Values,
    compile_url,
)
from flows.values import as_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_GONE = object()  # what is left of a field whose cell is empty
_TAKEN_FOR = {"omit": _GONE, "null": None, "text": ""}


def outgoing(definition: Definition, empty: Empty | None) -> Outgoing:
    """How the values of a definition go out in a request that says this of empty cells."""
    columns = definition.columns
    unix = {name for name, column in columns.items() if column.goes_out == "unix"}
    omits = empty == "omit"
    return Outgoing(
        writes=dict.fromkeys(unix, _seconds_as_text),
        alone=lambda name: _alone(name, columns.get(name), empty),
        mapping=_mapping if omits else MappingOf,
        items=_items if omits else ListOf,
    )


def whole(body: Node) -> Node:
    """A body of which every part may be left out: it goes out all the same, as {}, [] or null."""
    if isinstance(body, SparseMapping | SparseList):
        return replace(body, stays=True)
    return replace(body, instead=None) if isinstance(body, Filled) and body.instead is _GONE else body


def address(text: str, how: Outgoing, empty: Empty | None) -> Address:
    """A URL; where empty cells are omitted, without the parameters of its query that would be empty."""
    made = compile_url(text, how)
    if empty != "omit":
        return made
    head, parameters = _cut(made)
    sparse = tuple(Parameter(Address(tuple(each)), _column(each)) for each in parameters)
    return SparseAddress(made.pieces, Address(tuple(head)), sparse) if any(each.column for each in sparse) else made


def unix_seconds(value: date) -> int:
    """Whole seconds since 1970. A date, and a time without an offset, are taken as UTC."""
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) // _SECOND


def _seconds_as_text(value: date | None) -> str:
    return "" if value is None else str(unix_seconds(value))


_WRITE: Mapping[str, Callable[[Any], Any]] = {"text": as_text, "unix": unix_seconds}


def _alone(name: str, column: Column | None, empty: Empty | None) -> Node:
    node = Written(name, _WRITE[column.goes_out]) if column is not None and column.goes_out else Typed(name)
    return node if empty is None else Filled(name, node, _TAKEN_FOR[empty])


@dataclass(frozen=True, slots=True)
class Written(Typed):
    """A placeholder that stands alone, of a column that says how it goes out."""

    write: Callable[[Any], Any]

    def make(self, values: Values, secrets: Secrets) -> Any:
        """The cell as it goes out; null stays null."""
        value = values[self.column]
        return None if value is None else self.write(value)


@dataclass(frozen=True, slots=True)
class Filled(Typed):
    """A placeholder that stands alone, and what stands there instead where the cell is empty."""

    node: Typed
    instead: Any

    def make(self, values: Values, secrets: Secrets) -> Any:
        """The cell, or what stands for an empty one."""
        value = values[self.column]
        return self.instead if value is None or value == "" else self.node.make(values, secrets)


@dataclass(frozen=True, slots=True)
class SparseMapping(MappingOf):
    """A JSON object without the fields whose cells are empty. `stays`: also if nothing is left of it."""

    stays: bool = False

    def make(self, values: Values, secrets: Secrets) -> Any:
        """The object for this row."""
        made = {key: made for key, node in self.items if (made := node.make(values, secrets)) is not _GONE}
        return made if made or self.stays else _GONE


@dataclass(frozen=True, slots=True)
class SparseList(ListOf):
    """A JSON array without the items whose cells are empty. `stays`: also if nothing is left of it."""

    stays: bool = False

    def make(self, values: Values, secrets: Secrets) -> Any:
        """The array for this row."""
        made = [made for node in self.items if (made := node.make(values, secrets)) is not _GONE]
        return made if made or self.stays else _GONE


_Pieces = list[tuple[Piece, bool]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a query. `column`: the placeholder that is all of its value, if one is."""

    address: Address
    column: str


@dataclass(frozen=True, slots=True)
class SparseAddress(Address):
    """A URL without the parameters whose cells are empty."""

    head: Address
    parameters: tuple[Parameter, ...]

    def make(self, values: Values, secrets: Secrets) -> str:
        """The address for this row."""
        stated = [
            each.address.make(values, secrets)
            for each in self.parameters
            if not each.column or values[each.column] not in (None, "")
        ]
        return self.head.make(values, secrets) + ("?" + "&".join(stated) if stated else "")


def _cut(whole: Address) -> tuple[_Pieces, list[_Pieces]]:
    """What stands before the query of an address, and its parameters."""
    head: _Pieces = []
    parameters: list[_Pieces] = []
    for piece, query in whole.pieces:
        if not isinstance(piece, str):
            (parameters[-1] if parameters else head).append((piece, query))
            continue
        before, mark, text = ("", "?", piece) if parameters else piece.partition("?")
        if not parameters:
            head.append((before, False))
            parameters += [[]] if mark else []
        if mark:
            first, *others = text.split("&")
            parameters[-1].append((first, True))
            parameters += [[(other, True)] for other in others]
    return head, parameters


def _column(parameter: _Pieces) -> str:
    match [piece for piece, _ in parameter if piece]:
        case [str(name), FromRow() as value] if name.find("=") == len(name) - 1:
            return value.column
    return ""


def _may_go(node: Node) -> bool:
    return isinstance(node, SparseMapping | SparseList) or (isinstance(node, Filled) and node.instead is _GONE)


def _mapping(items: tuple[tuple[str, Node], ...]) -> Node:
    return SparseMapping(items) if any(_may_go(node) for _, node in items) else MappingOf(items)


def _items(nodes: tuple[Node, ...]) -> Node:
    return SparseList(nodes) if any(map(_may_go, nodes)) else ListOf(nodes)
