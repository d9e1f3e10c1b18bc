"""Which column of a file may be which of a pipeline, by its name and what stands in it: a proposal, no more. Pure."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from flows.pipeline.column import Column
from flows.pipeline.example import said_of
from flows.pipeline.infer import quoted
from flows.pipeline.meant import meant

LEAST = 0.4
_LOOKED_AT = 50  # values of a column
_NEAR = 0.75
_TELLING = ("date", "datetime", "bool", "phone")  # types that other values are hardly ever of


@dataclass(frozen=True, slots=True)
class Pair:
    """A column of the pipeline, and the one of the file that it may be. `score`: from 0 to 1. `why`: in words."""

    column: str
    name: str
    score: float
    why: str

    def __str__(self) -> str:
        option = f"{self.name}={self.column}"
        word = f"'{option}'" if "'" not in option else shlex.quote(option)
        return f'{self.column} may be "{self.name}": --map {word}, or from: [{quoted(self.name)}] in the definition'


@dataclass(frozen=True, slots=True)
class Proposal:
    """The pairs, the columns of the pipeline that have none, and the columns of the file that are left over."""

    pairs: tuple[Pair, ...]
    missing: tuple[str, ...]
    left: tuple[str, ...]

    def of(self, column: str) -> Pair | None:
        """The pair of a column."""
        return next((pair for pair in self.pairs if pair.column == column), None)


def propose(
    columns: Mapping[str, Column | None], names: Sequence[str], samples: Sequence[Sequence[str]] = ()
) -> Proposal:
    """What the columns of a file with this header, and such rows, may be. None stands for a column without rules."""
    found = sorted(_pairs(columns, names, samples), key=lambda pair: -pair.score)
    taken: dict[str, Pair] = {}
    used: set[str] = set()
    for pair in found:
        if pair.column in taken or pair.name in used or _is_one_of_several(pair, found, used):
            continue
        taken[pair.column] = pair
        used.add(pair.name)
    missing, left = [name for name in columns if name not in taken], [name for name in names if name not in used]
    for pair in _all_that_is_left({name: columns[name] for name in missing}, left, names, samples):
        taken[pair.column] = pair
        used.add(pair.name)
    return Proposal(
        tuple(taken[name] for name in columns if name in taken),
        tuple(name for name in columns if name not in taken),
        tuple(name for name in names if name not in used),
    )


def _all_that_is_left(
    columns: Mapping[str, Column | None], left: Sequence[str], names: Sequence[str], samples: Sequence[Sequence[str]]
) -> list[Pair]:
    """Where as many columns are left on both sides, and their values leave but one way: that one; else nothing."""
    if not columns or len(columns) != len(left) or len(set(names)) != len(names):
        return []
    cells = {name: _values(names.index(name), samples) for name in left}
    fits = {column: {name for name in left if _may_be(rules, cells[name])} for column, rules in columns.items()}
    pairs: list[Pair] = []
    while single := next((column for column, found in fits.items() if len(found) == 1), None):
        (name,) = fits.pop(single)
        pairs.append(Pair(single, name, LEAST, "of the columns that are left only its values fit"))
        fits = {column: found - {name} for column, found in fits.items()}
    return [] if fits else pairs


def _may_be(rules: Column | None, cells: Sequence[str]) -> bool:
    """Whether most of these values are ones of the column, or would be if they were written otherwise."""
    if rules is None or not cells or not (_weight(rules) or rules.type != "str"):
        return False
    fitting = sum(not said_of(rules, cell) or meant(rules, cell) is not None for cell in cells)
    return fitting > len(cells) / 2


def _is_one_of_several(pair: Pair, found: Sequence[Pair], used: set[str]) -> bool:
    """Whether another column of the file would do as well, so that neither is proposed."""
    return any(
        other.column == pair.column and other.name != pair.name and other.score == pair.score and other.name not in used
        for other in found
    )


def _pairs(
    columns: Mapping[str, Column | None], names: Sequence[str], samples: Sequence[Sequence[str]]
) -> Iterator[Pair]:
    cells = {name: _values(at, samples) for at, name in enumerate(names)}
    for column, rules in columns.items():
        own = (column, *(rules.other_names if rules is not None else ()))
        for name in cells:
            alike = max(_alike(each, name) for each in own)
            fitting, of = _fitting(rules, cells[name])
            score = alike
            if not alike and rules is not None and not said_of(rules, name):
                continue  # what stands there is no name but a value: the file has no header
            if of and (alike or fitting >= 0.9 * of):
                score = alike * (0.4 + 0.6 * fitting / of) if alike else _weight(rules) * fitting / of
            if score >= LEAST:
                yield Pair(column, name, round(score, 3), _why(alike, fitting, of))


def _why(alike: float, fitting: int, of: int) -> str:
    said = ["the same name" if alike == 1 else "a name like it"] if alike else []
    if of:
        values = "1 value" if of == 1 else f"{of} values"
        said.append(f"its {values} fit" if fitting == of else f"{fitting} of {values} fit")
    return ", ".join(said)


def _values(at: int, samples: Sequence[Sequence[str]]) -> list[str]:
    return [row[at] for row in samples if at < len(row) and row[at].strip()][:_LOOKED_AT]


def _fitting(rules: Column | None, cells: Sequence[str]) -> tuple[int, int]:
    """How many of the values the column accepts, and of how many; 0 of 0 where its rules tell nothing."""
    if rules is None or not (_weight(rules) or rules.type != "str"):
        return 0, 0
    return sum(not said_of(rules, cell) for cell in cells), len(cells)


def _weight(rules: Column | None) -> float:
    """How much it tells that all values fit."""
    if rules is None:
        return 0.0
    told = rules.type in _TELLING or rules.pattern is not None or rules.one_of is not None or rules.table is not None
    return 0.7 if told else 0.3 if rules.type != "str" else 0.0


def _alike(one: str, other: str) -> float:
    """How much two names are alike, from 0 to 1."""
    if one.strip().casefold() == other.strip().casefold():
        return 1.0
    plain_one, plain_other = _letters(one), _letters(other)
    if not plain_one or not plain_other:
        return 0.0
    if plain_one == plain_other:
        return 0.95
    if plain_one in _words(other) or plain_other in _words(one):
        return 0.75
    ratio = SequenceMatcher(None, plain_one, plain_other).ratio()
    return 0.85 * ratio if ratio >= _NEAR else 0.0


def _letters(name: str) -> str:
    """Letters and digits alone, without accents."""
    return "".join(character for character in unicodedata.normalize("NFKD", name.casefold()) if character.isalnum())


def _words(name: str) -> Iterable[str]:
    """Its words, also two that follow each other as one: e-mail."""
    spaced = "".join(character if character.isalnum() else " " for character in name)
    split = "".join(f" {each}" if each.isupper() and at and spaced[at - 1].islower() else each
                    for at, each in enumerate(spaced))  # fmt: skip
    words = [_letters(word) for word in split.split()]
    return {*words, *(one + two for one, two in pairwise(words))}
