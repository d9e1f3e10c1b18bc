"""A definition's columns as a pandera schema: text in, typed rows and every reason against the others out.

Two passes, since pandera's own coercion hides faults: one cell that cannot be read leaves its whole column text, and
every other check of the column fails as one. So cells are read first, strictly (`flows.schema.cell`); then pandera
checks values: of rows that could be read as a whole, and of the others column by column, so that no reason is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

from flows.errors import BadFile, DefinitionError
from flows.origin import IN_LINES, Place
from flows.pipeline.definition import Definition
from flows.pipeline.spoiled import because
from flows.records import Reason
from flows.schema import cell
from flows.schema.key import joined, text_of
from flows.schema.model_rules import UNFIT, of_model, words
from flows.schema.notices import Notices
from flows.schema.points import Points
from flows.schema.rules import Rules, of_columns
from flows.schema.unique import UniqueIndex

PASSES = 10  # each drops at least one row; pandera needs one, a model with parsers perhaps three
APART = 1 << 40  # labels that no reset of an index gives
SHOWN = 80  # characters of a value in a reason

Faults = Mapping[int, Mapping[str, str]]
NONE: Faults = {}
Case = tuple[int, str, str]  # position, column (empty: the whole row), what it must be


@dataclass(frozen=True, slots=True)
class Checked:
    """`values`: the good rows, typed, indexed by their position in the frame. `reasons`: the others, by position."""

    values: pd.DataFrame
    reasons: dict[int, tuple[Reason, ...]]


class Checker:
    """Checks the frames of one file, in their order. Use as a context manager.

    `folder` takes the scratch file for uniqueness. A value is taken by the first row that holds it, also if that row
    is rejected for another reason: two rows of one file never share it, whatever is mended later. `file` is its name,
    for messages.
    """

    def __init__(self, definition: Definition, *, folder: Path, file: str = "") -> None:
        self._rules, self._file = _rules(definition), file
        schema = self._rules.schema
        self._alone = {
            str(name): pandera.DataFrameSchema({name: part}, coerce=schema.coerce)
            for name, part in schema.columns.items()
        }
        self._name = definition.schema_path or definition.name
        self._order = {name: at for at, name in enumerate(["", *self._rules.cells])}
        self._index = UniqueIndex(folder) if self._rules.unique else None
        self._keys: dict[tuple[str, ...], list[str | None]] = {}
        self._points = {
            name: Points()
            for name, how in self._rules.cells.items()
            if how.kind in ("decimal", "float") and how.form is None
        }
        self._notices = Notices(definition, self._rules.cells)
        self.place = IN_LINES  # where cells stand, for whatever names one

    @property
    def wanted(self) -> dict[str, bool]:
        """The columns, and whether each may be missing in the file."""
        return {name: how.optional for name, how in self._rules.cells.items()}

    def check(self, text: pd.DataFrame, lines: npt.NDArray[np.int64], faults: Faults = NONE) -> Checked:
        """Check a frame of text cells (index 0…n-1); `lines` are its rows' lines in the file.

        `faults`: by position and column why a cell cannot be read, whatever its text is.

        Raises:
            DefinitionError: a pandera model judges the frame as a whole instead of its rows, fails, or gives back
                other rows than it got.
            BadFile: a column's numbers are written in two ways, and some were read already.
        """
        rest = np.delete(np.arange(len(text)), list(faults)) if faults else slice(None)
        self._notices.look(text.iloc[rest], lines[rest])
        columns = self._read(text, self._rules.cells)
        for name, points in self._points.items():
            columns[name] = columns[name].without(points.faults(text[name], lines, partial(_placed, self.place, name)))
            if points.contradicts:
                raise _mixed(name, points, self._file)
        for name in {name for each in faults.values() for name in each}:
            columns[name] = columns[name].unread({at: each[name] for at, each in faults.items() if name in each})
        frame = pd.DataFrame({name: column.values for name, column in columns.items()}, index=text.index, copy=False)
        cases = [(at, name, fault) for name, column in columns.items() for at, fault in column.faults.items()]
        unread = sorted({at for at, _, _ in cases})
        good, found = self._validated(frame.drop(index=unread) if unread else frame)
        cases += found
        if unread:
            cases += self._by_column(frame.loc[unread], columns)
        if self._index is not None:
            repeated = list(self._repeated(frame, columns, lines.tolist()))
            good = good.drop(index=[at for at, _, _ in repeated], errors="ignore")
            cases += repeated
        return Checked(good, self._reasons(cases, text, columns, faults))

    @property
    def unique(self) -> tuple[tuple[str, ...], ...]:
        """The groups of columns in which no two rows may hold the same."""
        return tuple(self._rules.unique)

    @property
    def keys(self) -> Mapping[tuple[str, ...], Sequence[str | None]]:
        """What each row of the latest frame holds, by such a group; None where a value is missing or unreadable."""
        return self._keys

    def hold(self, group: tuple[str, ...], keys: Sequence[str], lines: Sequence[int]) -> None:
        """Take note of what rows hold, as `keys` has it, that are not checked here themselves."""
        if self._index is not None:
            self._index.add("\0".join(group), keys, lines)

    def held(self, group: tuple[str, ...], keys: Sequence[str]) -> list[int]:
        """The positions of keys that rows which were checked here hold."""
        return self._index.held("\0".join(group), keys) if self._index is not None else []

    def _read(self, text: pd.DataFrame, names: Iterable[str]) -> dict[str, cell.Column]:
        return {name: cell.read(self._rules.cells[name], text[name]) for name in names}

    def notices(self, absent: Collection[str]) -> tuple[str, ...]:
        """What was seen of whole columns, in words; `absent` are the columns that the file does not have."""
        doubtful = (
            f"column {name}: {points.unsure:,} of its numbers {'has' if points.unsure == 1 else 'have'} three digits "
            f"behind the point ({points.taken}). "
            "They go out as decimals; if the point stands between thousands, write them without it"
            for name, points in self._points.items()
            if points.doubtful
        )
        return (*self._notices.told(absent, self.place), *doubtful)

    def close(self) -> None:
        """Remove the scratch file."""
        if self._index is not None:
            self._index.close()

    def __enter__(self) -> Checker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _validated(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Case]]:
        """The rows that pandera accepts, and the cases against the others."""
        cases: list[Case] = []
        for _ in range(PASSES):
            if frame.empty:
                return frame, cases
            good, found = self._held(self._rules.schema, frame)
            if not found:
                return self._same_rows(good, frame), cases
            cases += found
            frame = frame.drop(index=list({at for at, _, _ in found}))
        raise self._refusal(f"finds other rows wrong each time it is asked ({PASSES} times); judge each row by itself")

    def _by_column(self, rows: pd.DataFrame, columns: dict[str, cell.Column]) -> Iterator[Case]:
        """The cases against the readable cells of rows that have unreadable ones."""
        for name, schema in self._alone.items():
            readable = rows.loc[[at for at in rows.index if at not in columns[name].faults], [name]]
            if not readable.empty:
                yield from self._held(schema, readable)[1]

    def _held(self, schema: pandera.DataFrameSchema, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Case]]:
        """What pandera makes of a frame, and the cases against its rows.

        A model with parsers gets rows whose labels lie far from 0: whoever sorts them and numbers them anew is seen.
        """
        apart = APART if self._rules.parsed else 0
        try:
            good = schema.validate(frame.set_axis(frame.index + apart) if apart else frame, lazy=True)
        except SchemaErrors as exc:
            found = [(at - apart, column, asked) for at, column, asked in self._cases(exc)]
            if not {at for at, _, _ in found} <= set(frame.index):
                raise self._refusal(_OTHER_ROWS) from exc
            return frame, found
        except Exception as exc:  # a parser is somebody else's code
            raise self._refusal(f"failed while it parsed the rows: {type(exc).__name__}: {exc}") from exc
        return (good.set_axis(good.index - apart) if apart and good.index.inferred_type == "integer" else good), []

    def _same_rows(self, good: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
        """The accepted rows, if they are those that were handed in, in their order, with the same columns."""
        if not good.index.equals(frame.index):
            raise self._refusal(_OTHER_ROWS)
        if missing := [name for name in frame.columns if name not in good.columns]:
            raise self._refusal(f"takes the column {missing[0]} away; keep it, or take it out of the model")
        return good[list(frame.columns)]

    def _refusal(self, why: str) -> DefinitionError:
        return DefinitionError(f"the model {why}", file=self._name, key="schema")

    def _cases(self, errors: SchemaErrors) -> list[Case]:
        """The cases of an answer of pandera's. A value that does not fit its type leaves its column untyped.

        What only follows from that is passed over; it comes again, without those values, if it has other reasons.
        """
        found: dict[Case, None] = {}
        broken: list[SchemaError] = []
        all_errors = errors.schema_errors
        left = {error.schema.name for error in all_errors if error.reason_code is SchemaErrorReason.DATATYPE_COERCION}
        for error in all_errors:
            if error.reason_code is SchemaErrorReason.WRONG_DATATYPE and error.schema.name in left:
                continue
            failures = error.failure_cases
            if not isinstance(failures, pd.DataFrame) or "index" not in failures or failures["index"].isna().any():
                broken.append(error)
                continue
            column = str(error.schema.name) if error.schema.name in self._rules.cells else ""
            found |= dict.fromkeys((int(at), column, words(error)) for at in failures["index"])
        untyped = {(at, column) for at, column, asked in found if asked.startswith(UNFIT)}
        if broken and not untyped:
            raise self._refusal(_unusable(broken[0]))
        return [case for case in found if case[:2] not in untyped or case[2].startswith(UNFIT)]

    def _repeated(self, frame: pd.DataFrame, columns: dict[str, cell.Column], lines: list[int]) -> Iterator[Case]:
        assert self._index is not None
        for group in self._rules.unique:
            keys = _keys(frame, group, set().union(*(columns[name].faults for name in group)))
            self._keys[group] = keys
            for at, line in self._index.add("\0".join(group), keys, lines).items():
                both = "" if len(group) == 1 else f" together with {', '.join(group[1:])}"
                yield at, group[0], f"must be unique{both}, but {self.place(line, group[0])} holds it already"

    def _reasons(
        self, cases: Sequence[Case], text: pd.DataFrame, columns: Mapping[str, cell.Column], faults: Faults
    ) -> dict[int, tuple[Reason, ...]]:
        reasons: dict[int, list[Reason]] = {}
        texts = _texts_of(cases, text)
        for at, column, asked in sorted(dict.fromkeys(cases), key=lambda case: (case[0], self._order[case[1]])):
            value = texts[column][at] if column else ""
            unread = asked in faults.get(at, {}).values()  # that says all there is to say
            if column and not unread and (at in columns[column].faults or asked in self._rules.cells[column].shaped):
                asked = because(self._rules.cells[column].kind, value, asked)
            shown = value if len(value) <= SHOWN else value[: SHOWN - 1] + "…"
            reasons.setdefault(at, []).append(Reason(column, asked, shown))
        return {at: tuple(why) for at, why in reasons.items()}


def _placed(place: Place, column: str, line: int) -> str:
    return place(line, column)


def _mixed(name: str, points: Points, file: str) -> BadFile:
    return BadFile(
        f"column {name} is written in two ways: {points.proof} shows that points stand between thousands, so "
        f"{points.taken} may mean thousands as well",
        file=file,
        hint="Write all its numbers in one way: a point as the decimal sign, and nothing between thousands.",
    )


_OTHER_ROWS = (
    "filters, sorts, repeats or renumbers rows: what is sent would belong to other rows of the file. Let its parsers "
    "change values alone, and its checks reject rows"
)


def _unusable(error: SchemaError) -> str:
    """Why an error tells nothing of single rows."""
    if error.reason_code is SchemaErrorReason.CHECK_ERROR:
        name = words(error).removeprefix("must pass the check ")
        return f"has a check that failed itself: {name}: {error.failure_cases}"
    return f"asks: {words(error)}: this judges a whole table, but a file is checked in parts; judge rows"


def _rules(definition: Definition) -> Rules:
    if definition.schema_path:
        return of_model(definition.pandera_model.to_schema())
    return of_columns(definition.columns)


def _keys(frame: pd.DataFrame, group: tuple[str, ...], skip: set[int]) -> list[str | None]:
    """One text a row that is equal where the values are; None where one of them is missing or unreadable."""
    texts = [_texts(frame[name]) for name in group]
    keys = texts[0] if len(group) == 1 else [joined(row) for row in zip(*texts, strict=True)]
    return [None if at in skip else key for at, key in enumerate(keys)] if skip else keys


def _texts_of(cases: Sequence[Case], text: pd.DataFrame) -> dict[str, dict[int, str]]:
    """What stands in the cells that there are cases against, by column and position; a cell at a time takes long."""
    places: dict[str, list[int]] = {}
    for at, column, _ in cases:
        places.setdefault(column, []).append(at)
    return {name: dict(zip(at, map(str, text[name].iloc[at]), strict=True)) for name, at in places.items() if name}


def _texts(column: pd.Series) -> list[str | None]:
    cells = column.astype(object)
    if isinstance(column.dtype, pd.StringDtype):
        found: list[str | None] = cells.where(column.notna(), None).tolist()
        return found
    return [text_of(value) for value in cells]
