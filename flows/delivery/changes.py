"""What a document says of the rejected rows of a run: read strictly, then applied to one row at a time. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import structs

from flows.errors import RowrelayError
from flows.ledger.mends import Mend
from flows.pipeline.column import TYPES
from flows.pipeline.definition import Definition
from flows.pipeline.fault import suggestion
from flows.records import Rejection, skipped_by
from flows.source.content import GUARDED

_PLAIN = re.compile(r"[^\W\d_][\w ./@-]*[\w.]|[^\W\d_]")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
MOST_CHANGES = 10_000
MOST_BYTES = 4 * 2**20
MOST_KEPT = 30  # values of a column that are proposed as its map
_HOW = dict.fromkeys(TYPES, "trim, map or pattern")
_HOW |= dict.fromkeys(("int", "float", "decimal"), "decimal, group") | dict.fromkeys(("date", "datetime"), "format")
SHOWN = 60  # characters of a value in a message
_KEYS = ("column", "value", "row", "becomes", "skip")
EXAMPLE = '{"changes": [{"column": "country", "value": "Germany", "becomes": "DE"}]}'


class ChangesRefused(RowrelayError):
    """What was to be changed does not fit the rejected rows of the run."""


class CannotMend(RowrelayError):
    """The run is not one whose rejected rows can be mended."""


@dataclass(frozen=True, slots=True)
class Change:
    """One decision: of the cells of a `column` that hold `value` and were refused, or of one `row`.

    `becomes` is the new text of the cell; without it the rows are skipped.
    """

    column: str = ""
    value: str | None = None
    row: int | None = None
    becomes: str | None = None

    @property
    def skip(self) -> bool:
        """Whether the rows are not to be mended."""
        return self.becomes is None


@dataclass(frozen=True, slots=True)
class Document:
    """What is to be changed, or the number of the document that is to be undone. `raw` as it was given."""

    changes: tuple[Change, ...] = ()
    undo: int | None = None
    raw: tuple[Mapping[str, Any], ...] = ()


def parse(data: bytes) -> Document:
    """A document from JSON. Raises ChangesRefused."""
    if len(data) > MOST_BYTES:
        raise ChangesRefused(
            f"The document is larger than {MOST_BYTES // 2**20} MB.", hint="Send it in parts, or correct the file."
        )
    try:
        given = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ChangesRefused(f"The document is not JSON: {exc}.", hint=f"Write {EXAMPLE}") from exc
    return read(given)


def read(given: Any) -> Document:
    """A document from a JSON value. Raises ChangesRefused."""
    if not isinstance(given, Mapping):
        raise ChangesRefused("The document is no JSON object.", hint=f"Write {EXAMPLE}")
    if unknown := sorted(set(given) - {"changes", "undo"}):
        raise ChangesRefused(f"The document knows no {unknown[0]!r}.", hint=f"Write {EXAMPLE}")
    if "undo" in given and "changes" in given:
        raise ChangesRefused("The document has both `changes` and `undo`.", hint="Undo first, with one of its own.")
    if "undo" in given:
        number = given["undo"]
        if not _is_number(number):
            raise ChangesRefused(f"`undo` is {number!r}, not the number of a document.", hint='Write {"undo": 1}')
        return Document(undo=number)
    changes = given.get("changes")
    if not isinstance(changes, Sequence) or isinstance(changes, str) or not changes:
        raise ChangesRefused("The document has no `changes`.", hint=f"Write {EXAMPLE}")
    if len(changes) > MOST_CHANGES:
        raise ChangesRefused(
            f"The document has {len(changes):,} changes; at most {MOST_CHANGES:,} are taken at once.",
            hint="Send it in parts, or correct the file.",
        )
    return Document(tuple(_change(at, each) for at, each in enumerate(changes, start=1)), raw=tuple(changes))


def _change(at: int, given: Any) -> Change:
    def refuse(what: str, hint: str) -> ChangesRefused:
        return ChangesRefused(f"Change {at} {what}.", hint=hint)

    if not isinstance(given, Mapping):
        raise refuse("is no JSON object", f"Write {EXAMPLE}")
    if unknown := sorted(set(given) - set(_KEYS)):
        raise refuse(f"knows no {unknown[0]!r}", f"There are: {', '.join(_KEYS)}.")
    column, value, row, becomes = (given.get(name) for name in ("column", "value", "row", "becomes"))
    skip = given.get("skip", False)
    if (value is None) == (row is None):
        what = "has both `value` and `row`" if row is not None else "has neither `value` nor `row`"
        raise refuse(what, "`value` changes all refused cells that hold it, `row` one row.")
    if row is not None and not _is_number(row):
        raise refuse(f"has a `row` that is no row number: {row!r}", "Rows count from 1.")
    if not isinstance(skip, bool):
        raise refuse(f"has a `skip` that is neither true nor false: {skip!r}", "Write true, without quotes.")
    if skip == (becomes is not None):
        what = "has both `becomes` and `skip`" if skip else "has neither `becomes` nor `skip`"
        raise refuse(what, "`becomes` is the new text; `skip: true` leaves the rows out.")
    for name, text in (("column", column), ("value", value), ("becomes", becomes)):
        if text is not None and not isinstance(text, str):
            raise refuse(f"has a `{name}` that is no text: {text!r}", "Write it in quotes, as it stands in the file.")
    if column is None and not (skip and row is not None):
        raise refuse("has no `column`", "Only a row that is skipped as a whole needs none.")
    return Change(column or "", value, row, becomes)


def _is_number(given: Any) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given > 0


@dataclass(slots=True)
class Compiled:
    """A document, ready to be applied to the rejected rows of one file. `matched` counts the rows of each change."""

    header: tuple[str, ...]
    by_value: dict[int, dict[str, int]]  # position of the column, then the text of its cell → which change
    by_row: dict[int, dict[int, int]]  # row, then the position (-1: the whole row) → which change
    names: Mapping[int, str]  # columns of the definition by their position in the file
    changes: Sequence[Change]
    by: str
    matched: list[int] = field(default_factory=list)
    _wanted: dict[str, tuple[int, dict[str, int]]] = field(init=False)  # `by_value` by the column's name

    def __post_init__(self) -> None:
        self._wanted = {self.names[place]: (place, texts) for place, texts in self.by_value.items()}

    @classmethod
    def of(cls, document: Document, header: Sequence[str], places: Mapping[str, int | None], *, by: str) -> Compiled:
        """`places`: where each column of the definition stands in the file. Raises ChangesRefused."""
        by_value: dict[int, dict[str, int]] = {}
        by_row: dict[int, dict[int, int]] = {}
        for at, change in enumerate(document.changes):
            place = _place(at + 1, change, places) if change.column else -1
            if change.row is not None:
                taken = by_row.setdefault(change.row, {}).setdefault(place, at)
            else:
                taken = by_value.setdefault(place, {}).setdefault(str(change.value), at)
            if taken != at:
                where = f"row {change.row}" if change.row is not None else repr(_brief(str(change.value)))
                raise ChangesRefused(
                    f"Changes {taken + 1} and {at + 1} both say what becomes of {where}"
                    f"{f' in {change.column}' if change.column else ''}.",
                    hint="Leave one of them out.",
                )
        names = {at: name for name, at in places.items() if at is not None}
        return cls(tuple(header), by_value, by_row, names, document.changes, by, [0] * len(document.changes))

    @property
    def rows(self) -> list[int]:
        """The rows that are named by their numbers."""
        return sorted(self.by_row)

    def apply(self, row: Rejection) -> Rejection | None:
        """What a rejected row is now; None where no change is about it.

        One that is not skipped has to be judged anew: its `reasons` are only those that stay because a cell was not
        touched of which nobody has said what it means. Raises ChangesRefused for a row that is named and cannot be
        mended.
        """
        named = self.by_row.get(row.row) if self.by_row else None
        found = self._by_value(row)
        if named is not None:
            self._refuse_unmendable(row, named)
            found = found | named
        if not found:
            return None
        skips = [at for at in found.values() if self.changes[at].becomes is None]
        for at in set(skips or found.values()):
            self.matched[at] += 1
        return self._skipped(row) if skips else self._changed(row, found)

    def _skipped(self, row: Rejection) -> Rejection:
        why = row.reasons[1:] if row.skipped_by_hand else row.reasons
        return structs.replace(row, reasons=(skipped_by(self.by), *why))

    def _changed(self, row: Rejection, found: Mapping[int, int]) -> Rejection:
        cells, changed = list(row.cells), dict(row.changed or {})
        for place, at in found.items():
            name, new = self.names[place], str(self.changes[at].becomes)
            if changed.setdefault(name, cells[place]) == new:
                del changed[name]
            cells[place] = new
        open_ = [why for why in row.reasons if why.check == GUARDED and why.column not in map(self.names.get, found)]
        return Rejection(row.row, row.line, tuple(open_), tuple(cells), changed or None)

    def _by_value(self, row: Rejection) -> dict[int, int]:
        """Which change each of its refused cells has by what stands there, by position."""
        found: dict[int, int] = {}
        if len(row.cells) != len(self.header):
            return found
        for why in row.reasons:
            if (wanted := self._wanted.get(why.column)) is not None:
                place, texts = wanted
                if (at := texts.get(row.cells[place])) is not None:
                    found[place] = at
        return {} if found and row.skipped_by_hand else found

    def _refuse_unmendable(self, row: Rejection, named: Mapping[int, int]) -> None:
        if row.skipped:
            raise ChangesRefused(f"Row {row.row} is left out, not wrong: {row.reasons[0]}.", hint="Leave it as it is.")
        if len(row.cells) != len(self.header) and any(not self.changes[at].skip for at in named.values()):
            raise ChangesRefused(
                f"Row {row.row} {row.reasons[-1].check}, so its columns cannot be told apart.",
                hint="Correct it in the file, or skip the row.",
            )


def _place(at: int, change: Change, places: Mapping[str, int | None]) -> int:
    if change.column not in places:
        near = suggestion(change.column, list(places))
        raise ChangesRefused(f"Change {at}: the pipeline has no column {change.column!r}.", hint=_sentence(near))
    place = places[change.column]
    if place is None:
        raise ChangesRefused(
            f"Change {at}: the file has no column {change.column!r}.", hint="Add the column to the file, and check it."
        )
    return place


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith("?") else ".")


def _brief(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def as_map(definition: Definition, mends: Sequence[Mend]) -> str:
    """Lines of YAML for a pipeline that does from now on what was decided by value; "" where nothing was.

    A value that was changed in a column of texts is written as text, any other as it is.
    """
    found: dict[str, dict[str, str]] = {}
    for change in (change for mend in mends for change in read({"changes": mend.changes}).changes):
        if change.value is not None and change.becomes is not None:
            found.setdefault(change.column, {})[change.value] = change.becomes
    if not found or definition.schema_path:
        return ""
    lines = ["columns:"]
    for name, values in found.items():
        column = definition.columns[name]
        if len(values) > MOST_KEPT:
            lines.append(f"  # {name}: {len(values):,} values; rather say how they are written: {_HOW[column.type]}")
            continue
        text, table = column.type in ("str", "phone"), column.table
        lines += [f"  {_scalar(name)}:", "    map:"]
        for old, new in values.items():
            value = str((table or {}).get(new, new))  # what a cell with that text means already
            lines.append(f"      {_scalar(old)}: {_scalar(value) if text else value or 'null'}")
        lines += ["    other: keep"] if table is None else []
    return "\n".join(lines) + "\n"


def _scalar(text: str) -> str:
    """A text as YAML has it, in one line."""
    return json.dumps(text, ensure_ascii=False) if not _PLAIN.fullmatch(text) or text.lower() in _WORDS else text
