"""The first record of a file: what separates the cells, and which column is which."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice

from flows.errors import BadFile, ColumnsDiffer
from flows.pipeline.column import Column
from flows.pipeline.definition import Definition
from flows.pipeline.fault import suggestion
from flows.pipeline.proposal import propose
from flows.source.encoding import Refuse
from flows.source.quoting import records

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
NEAR = 0.75
COMPARED = 50  # records that are looked at beside the header


COLUMNS_DIFFER = "its columns are not those of the pipeline"


@dataclass(frozen=True, slots=True)
class Header:
    """The file's own column names, and for each wanted column its position there (None: left out)."""

    names: tuple[str, ...]
    positions: dict[str, int | None]
    ignored: tuple[str, ...]

    @property
    def unused(self) -> tuple[int, ...]:
        """The positions of all other columns."""
        used = set(self.positions.values())
        return tuple(at for at in range(len(self.names)) if at not in used)


@dataclass(frozen=True, slots=True)
class Called:
    """What else the wanted columns are called. `others`: by column its other names; `mapped`: its name in this file.

    `columns`: their rules, by which a column of the file that has none of the names is recognized; `none`: columns of
    the file that are none of them, as a person said.
    """

    others: Mapping[str, Sequence[str]] = field(default_factory=dict)
    mapped: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Column] = field(default_factory=dict)
    none: tuple[str, ...] = ()

    @classmethod
    def of(cls, definition: Definition, mapping: Mapping[str, str] | None = None) -> Called:
        """What a definition says. `mapping`: by column of the file the column that a person said it is; "" for none.

        Raises BadFile where there is no such column, or two columns of the file are to be one.
        """
        mapped: dict[str, str] = {}
        said = {name: column for name, column in (mapping or {}).items() if column}
        for name, column in said.items():
            if column not in definition.column_names:
                near = suggestion(column, definition.column_names)
                raise BadFile(f"{name!r} was said to be {column}, and the pipeline has no such column; {near}")
            if column in mapped:
                raise BadFile(
                    f"both {mapped[column]!r} and {name!r} were said to be {column}", hint="Name one of them."
                )
            mapped[column] = name
        none = tuple(name for name, column in (mapping or {}).items() if not column)
        return cls(definition.other_names, mapped, definition.columns, none)

    def names(self, wanted: Iterable[str]) -> list[str]:
        """All names that the header may hold."""
        return [*wanted, *(other for others in self.others.values() for other in others), *self.mapped.values()]

    def unseen(self, wanted: Mapping[str, bool], names: Sequence[str]) -> list[str]:
        """The columns that may be missing and are, under all their names; not those that one of `names` resembles."""
        there = {_loose(name) for name in names}
        found = []
        for name, optional in wanted.items():
            own = (name, *self.others.get(name, ()), *filter(None, [self.mapped.get(name)]))
            if optional and there.isdisjoint(map(_loose, own)) and not _near(name, list(names)):
                found.append(name)
        return found


def named_delimiter(asked: str, refuse: Refuse) -> str:
    """The delimiter a person asked for: a character, or the word for it. Raises FileError for anything else."""
    words = {name: char for char, name in DELIMITERS.items()} | {"\\t": "\t"}
    char = words.get(asked.strip().lower() if len(asked) > 1 else asked, asked)
    if len(char) != 1 or char in '"\r\n\0 ':
        raise refuse(f"{asked!r} cannot separate cells", hint="Use one character, such as , or ; or tab.")
    return char


def find_delimiter(lines: list[str], wanted: Iterable[str] | None) -> str:
    """The delimiter under which the first record names the most wanted columns.

    Of equals the one under which the records that follow have as many cells, then the one that gives the most cells.
    """
    wanted = {_loose(name) for name in wanted or ()}

    def merit(delimiter: str) -> tuple[int, bool, float, int]:
        names, *others = first_records(lines, delimiter) or [[]]
        alike = sum(len(cells) == len(names) for cells in others) / len(others) if others else 0.0
        return len(wanted & {_loose(cell) for cell in names}), len(names) > 1, alike, len(names)

    return max(DELIMITERS, key=merit)  # the first of equals: a file of one column is read as comma-separated


def first_records(lines: list[str], delimiter: str) -> list[list[str]]:
    """The first records that are no blank lines, as far as quotes leave them readable."""
    found: list[list[str]] = []
    try:
        for cells in islice(records(lines, delimiter), COMPARED):
            if cells or not found:
                found.append(cells)
    except csv.Error:
        pass
    return found


def first_record(lines: list[str], delimiter: str) -> list[str] | None:
    """The cells of the first record, or None where quotes make it unreadable."""
    try:
        return next(records(lines, delimiter), [])
    except csv.Error:
        return None


def match(
    names: list[str],
    wanted: Mapping[str, bool] | None,
    delimiter: str,
    refuse: Refuse,
    called: Called | None = None,
    samples: Sequence[Sequence[str]] = (),
) -> Header:
    """Which of the file's columns is which wanted one (name → may it be missing): exactly, or but for case and blanks.

    A column that a person named for this file is that one and no other.

    Other columns are ignored, and listed, unless one looks like a wanted column that is missing: then it is more
    likely a slip than an extra. Raises ColumnsDiffer with the lists of missing, unknown and duplicate columns, and with
    what the missing ones may be, by their names and the `samples`, some rows of the file.
    """
    if wanted is None:
        _refuse_duplicates(names, refuse)
        return Header(tuple(names), {name: at for at, name in enumerate(names)}, ())
    called = called or Called()
    if absent := [name for name, other in called.mapped.items() if name in wanted and not _at(names, other)]:
        raise refuse(_not_there(names, called.mapped[absent[0]], absent[0]), line=None, hint=_all(names))
    positions, taken, doubled = _assign(names, wanted, called)
    extra = [name for at, name in enumerate(names) if at not in taken]
    missing = [name for name in wanted if name not in positions and name not in doubled]
    free = [name for name in extra if name not in called.none]
    near = {name: _near(name, free) for name in missing}
    required = [name for name in missing if not wanted[name]]
    slips = {name: other for name, other in near.items() if other}
    if required or slips or doubled:
        said = _complaint(required, slips, doubled, extra, wanted)
        hint = (delimiter and _no_table(names, wanted)) or _may_be(missing, free, names, samples, called)
        hint = hint or _advice(names, wanted, delimiter)
        raise ColumnsDiffer.of(refuse(said, line=None, hint=hint), names, samples)
    return Header(tuple(names), {name: positions.get(name) for name in wanted}, tuple(extra))


def _assign(
    names: list[str], wanted: Mapping[str, bool], called: Called
) -> tuple[dict[str, int], set[int], dict[str, list[str]]]:
    """(position by column, positions used or in dispute, by column that is there more than once: under which names)."""
    positions: dict[str, int] = {}
    taken: set[int] = set()
    doubled: dict[str, list[str]] = {}
    mapped = {name: _at(names, other) for name, other in called.mapped.items() if name in wanted}
    given = {at for found in mapped.values() for at in found}
    for name in wanted:
        own = {_loose(name), *map(_loose, called.others.get(name, ()))}
        at = mapped.get(name) or [
            index
            for index, other in enumerate(names)
            if index not in given and (other == name or (_loose(other) in own and other not in wanted))
        ]
        if len(at) > 1:
            doubled[name] = [names[index] for index in at]
        elif at:
            positions[name] = at[0]
        taken.update(at)
    return positions, taken, doubled


def _at(names: list[str], other: str) -> list[int]:
    """Where a column of the file stands that a person named: as it is written, else but for case and blanks."""
    exact = [at for at, name in enumerate(names) if name == other]
    return exact or [at for at, name in enumerate(names) if _loose(name) == _loose(other)]


def _not_there(names: list[str], other: str, name: str) -> str:
    return f"has no column {_shown(other)!r}, which was said to be {name}"


def _all(names: list[str]) -> str:
    return "Its columns: " + ", ".join(_shown(name) for name in names[:20]) + (", …" if len(names) > 20 else "")


def _complaint(
    required: list[str],
    slips: dict[str, str],
    doubled: Mapping[str, Sequence[str]],
    extra: list[str],
    wanted: Mapping[str, bool],
) -> str:
    parts = []
    if required:
        parts.append("missing: " + ", ".join(required))
    if optional := [name for name in slips if name not in required]:
        parts.append("missing, though optional: " + ", ".join(optional))
    if doubled:
        parts.append("more than once: " + ", ".join(name + _as(found) for name, found in doubled.items()))
    if extra:
        parts.append("unknown: " + ", ".join(_shown(name) for name in extra[:20]))
    return f"{COLUMNS_DIFFER} ({', '.join(wanted)}). " + "; ".join(parts)


def _as(found: Sequence[str]) -> str:
    """Under which names a column is there more than once, where they differ."""
    different = list(dict.fromkeys(found))
    return f" (as {' and as '.join(map(repr, map(_shown, different)))})" if len(different) > 1 else ""


def _may_be(
    missing: list[str], extra: list[str], names: list[str], samples: Sequence[Sequence[str]], called: Called
) -> str:
    """What the missing columns may be, and how to say so; "" where nobody can tell."""
    places = [names.index(name) for name in extra]
    rows = [[row[at] if at < len(row) else "" for at in places] for row in samples]
    return "\n".join(map(str, propose({name: called.columns.get(name) for name in missing}, extra, rows).pairs))


def _no_table(names: list[str], wanted: Mapping[str, bool]) -> str:
    """What to do where the first line is no header at all; "" where it may be one."""
    if names[0].lstrip().startswith(("{", "[")):
        return "This looks like JSON; save the rows as CSV."
    if len(names) == 1 and len(wanted) > 1:
        return f"The first line is one cell: {names[0][:80]!r}. Is the delimiter neither of , ; tab |? Then name it."
    return ""


def _advice(names: list[str], wanted: Mapping[str, bool], delimiter: str) -> str:
    if not delimiter:
        return f"{_all(names)}. Each column of the pipeline must be there once."
    if not any(_loose(name) == _loose(other) for name in names for other in wanted):
        return f"The first line must name the columns; found {delimiter.join(names)[:120]!r}."
    return "Each column of the pipeline must be there once: mend the first line, or name the pipeline it belongs to."


def _refuse_duplicates(names: list[str], refuse: Refuse) -> None:
    twice = [name for name, count in Counter(map(_loose, names)).items() if count > 1 and name]
    if twice:
        raise refuse("has columns more than once: " + ", ".join(_shown(name) for name in twice), line=None)


def _near(name: str, extra: list[str]) -> str:
    loose = {_loose(other): other for other in reversed(extra)}
    found = get_close_matches(_loose(name), loose, n=1, cutoff=NEAR)
    return loose[found[0]] if found else ""


def _loose(name: str) -> str:
    return name.strip().casefold()


def _shown(name: str) -> str:
    return name[:80] + "…" * (len(name) > 80) if name.strip() else "(no name)"
