"""Undoing a run: by which definition, which of its rows, and which of them are left alone.

The rows of a run that undoes another are the done rows of that one with what was kept of them. A row is left alone
where the request would lack a value, since `DELETE /contacts/` is no request for one contact, and where an earlier run
has it: no row is undone twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from flows.client.kept import is_altered
from flows.delivery.undone import SHORT, Before, CannotUndo
from flows.errors import DefinitionError, RunBusy
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import pick, present
from flows.pipeline.reading import from_resolved, with_limit_of
from flows.pipeline.request import Request
from flows.pipeline.template import FromRow, pieces
from flows.records import Reason, Row, RowState, left_alone
from flows.settings import Settings
from flows.spool.spool import Spool

_LIKE_THE_RUN = (
    "name", "description", "limit", "limits", "retry", "ban", "idempotent", "idempotency_hours", "counts_at_edge",
    "proxy", "slow_by", "auth",
)  # fmt: skip
_NO_PART = ("", ".", "..")  # of a path: the request would go to what lies above


@dataclass(slots=True)
class KeptTypes:
    """What was kept under each name, as far as it was looked at: the types that columns of it have."""

    _met: dict[str, set[str]] = field(default_factory=dict)

    def add(self, kept: Mapping[str, Any]) -> None:
        """Look at what was kept of one more row."""
        for name, value in kept.items():
            if value is not None:
                self._met.setdefault(name, set()).add(_type_of(value))

    def of(self, name: str) -> str:
        """The type under which every value goes out as the JSON that it was; else `str`."""
        met = self._met.get(name, {"str"})
        return next(iter(met)) if len(met) == 1 else "decimal" if met <= {"int", "float"} else "str"


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "str"
    plain = isinstance(value, float) and set(str(value)) <= set("-.0123456789")
    return "float" if plain else "str"


def undo_definition(definition: Definition, types: KeptTypes | None = None) -> Definition:
    """The definition of a run that undoes one of this definition: its `undo` as the request, kept fields as columns.

    `types`: of the kept fields. The last column is the number of the row in the run that is undone. Raises CannotUndo.
    """
    if definition.undo is None:
        raise CannotUndo(
            f"Pipeline {definition.name} did not say how its rows are undone when this run began.",
            hint="Write `undo:` with a request into its definition; runs that begin after that can be undone.",
        )
    types, stored = types or KeptTypes(), definition.resolved()
    columns = {name: dict(column) for name, column in _columns(definition)}
    kept = {name: _kept(types.of(name)) for name in definition.kept if name not in columns}
    number = "row"
    while number in columns or number in kept:
        number += "_"
    response = definition.response
    return from_resolved(
        {
            **{key: stored[key] for key in (*_LIKE_THE_RUN, "stop_after") if key in stored},
            "columns": columns | kept | {number: {"type": "int"}},
            "request": _request(stored["undo"]["request"], definition.undo.request, [*columns, *kept]),
            "answers": stored["undo"].get("answers", []),
            "response": {
                "success": sorted({200, 204, *response.success}),  # what a DELETE says, whatever a POST does
                "json": response.expects_json,
                "max_bytes": response.max_bytes,
            },
        }
    )


def _kept(kind: str) -> dict[str, Any]:
    return {"type": kind, "optional": True, **({"as_written": True} if kind == "str" else {})}


def _columns(definition: Definition) -> Iterator[tuple[str, dict[str, Any]]]:
    """The columns without their checks, which the rows have passed."""
    if not definition.schema_path:
        for name, column in definition.columns.items():
            goes_out = {"as": column.goes_out} if column.goes_out else {}
            as_it_is = {"as_written": True} if column.type == "str" else {}  # it was checked, or an API said it
            yield name, {"type": column.type, "optional": column.optional, **goes_out, **as_it_is}
        return
    from flows.pipeline.model import kind_of, with_types_by_column  # takes a second to import

    for name, part in with_types_by_column(definition.pandera_model.to_schema()).columns.items():
        yield str(name), {"type": kind_of(part.dtype), "optional": bool(part.nullable or not part.required)}


def _request(stored: dict[str, Any], request: Request, names: Iterable[str]) -> dict[str, Any]:
    """The request; where it says nothing of a body, one of all columns but that of the row's number."""
    if not request.has_body or request.bodies:
        return stored
    return stored | {"json": {name: f"{{{name}}}" for name in names if not set("{}") & set(name)}}


def needed(definition: Definition) -> dict[str, str]:
    """What a row must have so that it can be undone, by name, with why it cannot where it has not."""
    if definition.undo is None:
        return {}
    kept, request = set(definition.kept), definition.undo.request
    used = [(str(place[-1]), name) for place, text in request.templates() for name in _names(text)]
    path = set(_names(request.url.partition("?")[0]))
    lacking = {name: f"the run kept no {name} of it" for _, name in used if name in kept}
    return lacking | {name: f"its {name} is empty" for name in definition.column_names if name in path}


def _names(text: str) -> list[str]:
    return [piece.column for piece in pieces(text) if isinstance(piece, FromRow)]


@dataclass(frozen=True, slots=True)
class Alone:
    """Why a row is left alone."""

    why: Reason
    run: str = ""
    row: int = 0
    sure: bool = True


class LeftAlone:
    """Finds the rows that are not undone, for the check. `key`: the columns that it asks for.

    `number` is the column with a row's number in the run that is undone.
    """

    empty = False

    def __init__(self, needs: Mapping[str, str], number: str, before: Before) -> None:
        self.key = (*needs, number)
        self._needs, self._number, self._before = needs, number, before

    def find(self, rows: Sequence[Row]) -> dict[int, Alone]:
        """Those rows by their position, with the reason of each."""
        found = ((at, self.why(row.values)) for at, row in enumerate(rows))
        return {at: Alone(left_alone(why)) for at, why in found if why}

    def why(self, values: Mapping[str, Any]) -> str:
        """Why a row is left alone; "" if it is not."""
        lacks = (why for name, why in self._needs.items() if _is_missing(values[name]))
        altered = (name for name in self._needs if is_altered(values[name]))
        if name := next(altered, ""):
            return f"its {name} holds a secret or is too long, and is not stored as it was"
        return next(lacks, "") or self._before.words(values[self._number])


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in _NO_PART)


def done_rows(view: View, spool: Spool, run: Run, definition: Definition, number: str = "") -> Iterator[Row]:
    """The done rows of a run in order, with columns and kept fields as values.

    `number`: the name under which each has its own number as well. Raises FileError if its rows are gone, StackError.
    """
    names, columns = definition.kept, definition.column_names
    blocks = view.blocks(run.id, run.total, names=names, created=run.created)
    records = (record for block in blocks for record in block)
    for rows in spool.walk(columns):
        for row in rows:
            record = next((each for each in records if each.row == row.row), None)
            if record is None or record.state is not RowState.DONE:
                continue
            kept = {name: record.kept.get(name) for name in names if name not in row.values}
            yield Row(row.row, row.line, {**row.values, **kept, **({number: row.row} if number else {})})


@dataclass(frozen=True, slots=True)
class Plan:
    """What undoing a run would do. `alone`: rows that are left alone, by the reason; `host`: where requests go."""

    run: Run
    definition: Definition
    rows: int
    alone: Mapping[str, int]
    first: Row | None

    @property
    def method(self) -> str:
        """The method of its requests."""
        return self.definition.main.method

    @property
    def host(self) -> str:
        """Where its requests go, without what may be private in an address."""
        return host_of(self.definition)

    @property
    def words(self) -> list[str]:
        """What will happen, a sentence each."""
        verb = "is" if self.rows == 1 else "are"
        said = [f"{_rows(self.rows)} of run {self.run.id[:SHORT]} {verb} undone: {self.method} to {self.host}."]
        said += [f"{_rows(count)} left alone: {why}." for why, count in self.alone.items()]
        if unknown := self.run.counts[RowState.UNKNOWN]:
            said.append(
                f"{_rows(unknown)} left alone: unknown, so nobody knows whether there is anything to undo."
                " Settle those first if you want them undone."
            )
        if accepted := self.run.counts[RowState.ACCEPTED]:
            said.append(f"{_rows(accepted)} left alone: the API has only accepted them, and not decided yet.")
        return said


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def host_of(definition: Definition) -> str:
    """The host that a definition's first request goes to."""
    return urlsplit(definition.main.url).netloc.rpartition("@")[2]


def plan(view: View, settings: Settings, first: Run, *, but: str = "") -> Plan:
    """What undoing a run would do. Reads all of its done rows.

    Raises:
        CannotUndo: its pipeline did not say how, its requests went elsewhere, or nothing is left to undo.
        RunBusy: it is being delivered, or about to be undone.
        FileError: its rows are gone.
        StackError: Redis does not answer.
    """
    definition, own = stored_definition(view, settings, first)
    number, types, alone, rows, sample = own.column_names[-1], KeptTypes(), Counter[str](), 0, None
    left = LeftAlone(needed(definition), number, Before.read(view, settings.spool_url, first, but=but))
    for row in done_rows(view, Spool(settings.spool_url, first.id, first.facts.mended), first, definition, number):
        types.add({name: row.values[name] for name in definition.kept if name in row.values})
        if why := left.why(row.values):
            alone[why] += 1
        else:
            rows, sample = rows + 1, sample or row
    made = with_limit_of_today(undo_definition(definition, types), settings)
    if not rows:
        why = "; ".join(f"{_rows(count)}: {why}" for why, count in alone.most_common(3)) or "no row of it is done"
        raise CannotUndo(f"Nothing of run {first.id[:SHORT]} is left to undo ({why}).")
    return Plan(first, made, rows, dict(alone.most_common()), sample)


def stored_definition(view: View, settings: Settings, first: Run) -> tuple[Definition, Definition]:
    """(what a run began with, what undoes it). Raises CannotUndo, RunBusy where it may not be undone as it stands."""
    definition = from_resolved(view.definition(first.id))
    if first.facts.undoes:
        raise CannotUndo(f"Run {first.id[:SHORT]} undoes another run, and cannot be undone itself.")
    own = undo_definition(definition)
    if first.busy:
        raise RunBusy(f"Run {first.id[:SHORT]} is being delivered.", hint="Wait until it ends, or cancel it first.")
    if host_of(definition) != host_of(own) and _was_redirected(definition, settings):
        raise CannotUndo(
            f"This run was sent to {host_of(definition)}, but its undo would go to {host_of(own)}, which knows"
            " nothing of it.",
            hint="Undo its rows by hand.",
        )
    return definition, own


def _was_redirected(definition: Definition, settings: Settings) -> bool:
    try:
        return pick(present(settings), definition.name).main.url != definition.main.url
    except DefinitionError:
        return True  # so it may have been


def with_limit_of_today(definition: Definition, settings: Settings) -> Definition:
    """The same under the limit that its pipeline has now; under its own where there is no such pipeline.

    Raises DefinitionError where the two do not go together: under its old limit it would be counted by nobody else.
    """
    try:
        today = pick(present(settings), definition.name)
    except DefinitionError:  # what it was begun with is all that it needs
        return definition
    return with_limit_of(definition, today)
