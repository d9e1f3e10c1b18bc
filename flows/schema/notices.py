"""What a check notices about a column as a whole: no fault of any row, but a person should see it before sending."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flows.origin import Place
from flows.pipeline.advice import advice
from flows.pipeline.definition import Definition
from flows.pipeline.outgoing import SparseAddress
from flows.pipeline.rendering import Rendering
from flows.pipeline.spoiled import ERRORS, NO_WIDTH, SHORTENED, UNSEEN, unseen
from flows.pipeline.template import FromRow, ListOf, MappingOf, NamedByRow, Node, Text, Typed
from flows.schema.cell import Cell, as_arrow, where
from flows.values import as_text

_SHORTENED = rf"\A{SHORTENED}\z"
_MISSING = pa.array(["\\N", "NULL", "null"], pa.large_string())
_BROKEN = pa.array(ERRORS, pa.large_string())
_UNSEEN = rf"\A[{''.join(UNSEEN)}]|[{''.join(UNSEEN)}]\z|[{NO_WIDTH}]"  # at an end, or without any width
_REPLACING = ("PUT", "PATCH")


@dataclass(slots=True)
class _Found:
    count: int = 0
    text: str = ""
    line: int = 0


class Notices:
    """Looks at the cells of a file, frame by frame, in flat memory."""

    def __init__(self, definition: Definition, cells: Mapping[str, Cell]) -> None:
        self._advice = advice(definition)
        self._rendering = Rendering.of(definition)
        self._used: dict[str, bool] = {}
        for rendering in (self._rendering, *_others(definition)):
            for name, alone in _used(rendering).items():
                self._used[name] = alone or self._used.get(name, False)
        self._texts = {name: how for name, how in cells.items() if how.kind == "str"}
        typed = {name for name, null in self._used.items() if null}
        self._empty = definition.main.empty
        self._method = definition.main.method
        wipes = self._method in _REPLACING and self._empty != "omit"
        self._defaults = {name: how.default for name, how in cells.items() if how.default is not None}
        nothing = [name for name, how in cells.items() if how.null and name not in self._defaults]
        self._wiped = [name for name in nothing if wipes and name in typed]
        self._found: dict[tuple[str, str], _Found] = {}

    def look(self, text: pd.DataFrame, lines: npt.NDArray[np.int64]) -> None:
        """Take note of a frame's cells; `lines` are its rows' lines in the file."""
        for name, how in self._texts.items():
            cells = as_arrow(text[name])
            self._note(name, "missing", pc.is_in(cells, _MISSING), cells, lines)
            if not how.trim and not pc.all(pc.string_is_ascii(cells)).as_py():
                self._note(name, "unseen", pc.match_substring_regex(cells, _UNSEEN), cells, lines)
            if how.guarded:
                continue  # such cells are rejected
            self._note(name, "broken", pc.is_in(cells, _BROKEN), cells, lines)
            if pc.any(pc.match_substring(cells, "E+")).as_py():
                self._note(name, "shortened", pc.match_substring_regex(cells, _SHORTENED), cells, lines)
        for name in self._wiped:
            cells = as_arrow(text[name])
            self._note(name, "empty", pc.equal(pc.ascii_trim(cells, " \t"), ""), cells, lines)

    def _note(self, name: str, what: str, mask: Any, cells: Any, lines: npt.NDArray[np.int64]) -> None:
        if not pc.any(mask).as_py():
            return
        at = where(mask)
        found = self._found.setdefault((name, what), _Found())
        if not found.count:
            found.text, found.line = cells[at[0]].as_py(), int(lines[at[0]])
        found.count += len(at)

    def told(self, absent: Collection[str], place: Place) -> Iterator[str]:
        """The notices in words, the definition's own first. `absent`: columns of the pipeline that the file lacks."""
        yield from self._advice
        for name in self._used:
            if name in absent:
                yield f"{name} is missing in the file: {self._goes_out(name)} in every row"
        for (name, what), found in self._found.items():
            if name not in absent:
                yield f"column {name}: {self._words(what, found, place(found.line, name))}"

    def _goes_out(self, name: str) -> str:
        if name in self._defaults:
            return f"{as_text(self._defaults[name])} goes out"
        if not self._used[name]:
            return "it is empty"
        if self._empty == "omit":
            return "it is left out"
        return f"{self._stand_in} goes out"

    @property
    def _stand_in(self) -> str:
        return "an empty text" if self._empty == "text" or self._rendering.is_form else "null"

    def _words(self, what: str, found: _Found, place: str) -> str:
        cells = "1 cell" if found.count == 1 else f"{found.count:,} cells"
        one = found.count == 1
        where_ = f"at {place}" if one else f"first at {place}"
        if what == "missing":
            return (
                f"{cells} {'holds' if one else 'hold'} a word for no value ({found.text}, {where_}); it goes out as "
                "this text. Leave the cell empty if nothing is meant"
            )
        if what == "unseen":
            hold = "holds a character that is" if one else "hold characters that are"
            return f"{cells} {hold} not seen: {unseen(found.text)}, {where_}. trim: true takes those at the ends off"
        if what == "broken":
            return f"{cells} {'holds' if one else 'hold'} an error of a spreadsheet ({found.text}, {where_})"
        if what == "shortened":
            look = "looks like a number" if one else "look like numbers"
            return f"{cells} {look} that a spreadsheet shortened ({found.text}, {where_}); its digits are lost"
        method = self._method
        goes_out = f"{self._stand_in} goes out, which a {method} may store as it is"
        return f"{cells} {'is' if one else 'are'} empty ({where_}): {goes_out}"


def _others(definition: Definition) -> Iterator[Rendering]:
    for step in definition.steps:
        if step.request is not None:
            yield Rendering.of(definition, step.request)


def _used(rendering: Rendering) -> dict[str, bool]:
    """The columns that stand in a request, and whether one of them stands alone, so that it may be null or left out."""
    pieces: list[Any] = [piece for piece, _ in rendering.address.pieces]
    pieces += [piece for header in rendering.headers if isinstance(header.text, Text) for piece in header.text.pieces]
    used = {piece.column: False for piece in pieces if isinstance(piece, FromRow)}
    if isinstance(rendering.address, SparseAddress):
        used |= {each.column: True for each in rendering.address.parameters if each.column}
    nodes = [node for node in (rendering.body, rendering.part, *rendering.lines) if node is not None]
    for name, alone in (each for node in nodes for each in _columns(node)):
        used[name] = alone or used.get(name, False)
    return used


def _columns(node: Node) -> Iterator[tuple[str, bool]]:
    if isinstance(node, Typed):
        yield node.column, True
    elif isinstance(node, Text):
        yield from ((piece.column, False) for piece in node.pieces if isinstance(piece, FromRow))
    elif isinstance(node, ListOf):
        for inner in node.items:
            yield from _columns(inner)
    elif isinstance(node, MappingOf):
        for _, inner in node.items:
            yield from _columns(inner)
    elif isinstance(node, NamedByRow):
        for name, inner in node.items:
            yield from _columns(name)
            yield from _columns(inner)
