"""Which rows travel together in one request: as many as the definition allows, by number and by bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, Raw

from flows.client.compiled import Compiled
from flows.client.request import OWN_KEY, ROW, filling, part_of
from flows.delivery.demand import Demand
from flows.delivery.job import Ticket
from flows.pipeline.definition import Definition
from flows.pipeline.template import FromRow, Unsendable
from flows.records import Row

_KEY = "0" * 32  # as long as a row's own key, which is not known before the row is claimed


class Packing(Protocol):
    """Says how many of the rows that wait make the next parcel."""

    rows: int

    def take(self, waiting: Sequence[Ticket]) -> int:
        """So many of the first ones, at least one."""


class OneByOne:
    """A row a request."""

    rows = 1

    def take(self, waiting: Sequence[Ticket]) -> int:
        """One."""
        return 1


class Batches:
    """Many rows a request. Their parts are made here, as their length is needed, and kept for the request."""

    def __init__(self, compiled: Compiled) -> None:
        batch = compiled.definition.batch
        assert batch is not None
        self.rows, self._bytes = batch.rows, batch.bytes
        self._compiled, self._rendering = compiled, compiled.rendering
        self._held = held_names(compiled.definition)
        self._items = compiled.items if _is_about_columns(compiled) else None
        self._merges = self._rendering.merges
        # What an additional part takes beside its own bytes: a comma, and of an object to be merged not its braces.
        self._demand = Demand.of(compiled.definition)
        self._beside = 0 if self._rendering.kind == "ndjson" else -1 if self._merges else 1
        self._around = self._envelope() - (self._rendering.kind != "ndjson")

    def _envelope(self) -> int:
        """Bytes of a body beside its parts."""
        if self._bytes is None:
            return 0
        empty: list[Any] = []
        try:
            content = self._rendering.make_content({OWN_KEY: _KEY}, self._compiled.secrets, key=_KEY, parts=empty)
        except Unsendable:
            return 0
        return len(content)

    def take(self, waiting: Sequence[Ticket]) -> int:
        """As many as fit; a row that makes no part goes alone, and fails alone."""
        known: set[str] = set()
        size = self._around
        within = Within(self._demand)
        for count, ticket in enumerate(waiting):
            if count == self.rows or not within.takes(ticket.row):
                return count
            try:
                length, names = self._part(ticket)
            except Unsendable:
                return max(1, count)
            too_long = self._bytes is not None and size + length + self._beside > self._bytes
            if count and (too_long or known.intersection(names)):
                return count
            size += length + self._beside
            known.update(names)
        return len(waiting)

    def _part(self, ticket: Ticket) -> tuple[int, list[str]]:
        """(bytes of a row's part, what must not be twice in one request). Raises Unsendable."""
        if (part := ticket.part) is UNSET:
            part = part_of(self._rendering, ticket.row, _KEY, self._compiled.secrets)
            if not isinstance(part, bytes) and not self._merges:
                part = Raw(self._rendering.encoded(part))
            if not self._rendering.needs_more:
                ticket.part = part
        merged = self._merges and isinstance(part, Mapping)
        names = [name for name in part if _KEY not in name] if merged else []  # each row's key is its own
        if self._items is not None:
            names.append("=" + self._items.value_of(filling(ticket.row, _KEY)))
        if self._held:
            names.append("#" + key_of(ticket.row, self._held))
        if self._bytes is None:
            return 0, names
        return len(self._rendering.encoded(part) if isinstance(part, Mapping) else bytes(part)), names


class Within:
    """Whether rows go together under the limits: of the same values, and no dearer than any window allows."""

    def __init__(self, demand: Demand) -> None:
        self._demand = demand if demand.fixed is None else None
        self._values: tuple[str, ...] | None = None
        self._costs: list[int] = []

    def takes(self, row: Row) -> bool:
        """One more. The first one always."""
        if self._demand is None:
            return True
        values, costs = self._demand.values(row), self._demand.costs(row)
        if self._values is None:
            self._values, self._costs = values, [cost for cost, _ in costs]
            return True
        together = [known + cost for known, (cost, _) in zip(self._costs, costs, strict=True)]
        if values != self._values or any(cost > most for cost, (_, most) in zip(together, costs, strict=True)):
            return False
        self._costs = together
        return True


def held_names(definition: Definition) -> Sequence[str]:
    """The columns by which rows are the same to the API, where a lookup of one has to see what another has made."""
    return definition.key if definition.steps or definition.reconcile else ()


def key_of(row: Row, names: Sequence[str]) -> str:
    """A digest of what stands in these columns. Rows that have the same are not under way at once."""
    values = msgspec.json.encode([row.values[name] for name in names], enc_hook=str)
    return hashlib.blake2b(values).hexdigest()[:32]


def _is_about_columns(compiled: Compiled) -> bool:
    """Whether items find their rows by what stands in the rows, so that two may look alike."""
    text = compiled.items.text if compiled.items is not None else None
    names = {piece.column for piece in getattr(text, "pieces", ()) if isinstance(piece, FromRow)}
    return bool(names) and not names & ({OWN_KEY, ROW} - set(compiled.definition.column_names))


def packing(compiled: Compiled) -> Packing:
    """How the rows of a definition travel."""
    return OneByOne() if compiled.definition.batch is None else Batches(compiled)
