"""What answers mean, as a definition says it: the rules, and which of them fits. Pure.

The first rule that fits decides. Where none does, flows.client.answer has the built-in table.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from flows.pipeline.column import Part, left_out
from flows.pipeline.expression import Expression, columns_of, holds, reads_body, search, valid
from flows.values import moment_of, number_of

Means = Literal["done", "items", "accepted", "failed", "retry", "wait", "unknown", "stop", "ban", "waiting"]
Missing = Literal["unknown", "done", "failed", "retry"]
MOST_WAIT_SECONDS = 86_400.0
_CLASS = re.compile(r"[1-5]xx")
NO_JSON = object()
"""In place of the JSON of a body that is none."""


def _statuses(value: Any) -> Any:
    """A status, a class of them, `any`, or a list: as it was written. Raises ValueError."""
    several = value if isinstance(value, list) else [value]
    if not several:
        raise ValueError("is empty; name a status, a class such as 4xx, or any")
    for each in several:
        is_number = isinstance(each, int) and not isinstance(each, bool)
        if is_number and not 200 <= each <= 599:
            raise ValueError("must be final HTTP statuses, from 200 to 599")
        if not is_number and not (isinstance(each, str) and (each == "any" or _CLASS.fullmatch(each))):
            raise ValueError("must be a status such as 404, a class such as 4xx, `any`, or a list of them")
    return value


def _seconds(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a number of seconds, or an expression that finds one in the answer")
    if isinstance(value, str):
        return valid(value)
    if not 0 <= value <= MOST_WAIT_SECONDS:
        raise ValueError(f"must be from 0 to {MOST_WAIT_SECONDS:g} seconds")
    return float(value)


_NUMBER = {"type": "integer", "minimum": 200, "maximum": 599}
_ONE_STATUS = {"anyOf": [_NUMBER, {"enum": ["any"]}, {"pattern": "^[1-5]xx$"}]}
_STATUS = {"anyOf": [_ONE_STATUS, {"type": "array", "items": _ONE_STATUS, "minItems": 1}]}
Statuses = Annotated[Any, AfterValidator(_statuses), WithJsonSchema(_STATUS)]
Wait = Annotated[Any, AfterValidator(_seconds), WithJsonSchema({"type": ["number", "string"]})]


class Rule(Part):
    """One rule on an answer: what it asks, and what the answer means where it fits."""

    status: Statuses | None = Field(default=None, exclude_if=left_out)
    """A status, a class (4xx), any, or a list. Default: 2xx; of an item: whatever it was"""
    headers: dict[str, str] = Field(default={}, exclude_if=operator.not_)
    """Header → text that it must have, in any case of its letters"""
    when: Expression | None = Field(default=None, exclude_if=left_out)
    """Expression that must find something in the JSON of the answer (or of the item)"""
    means: Means
    """done, items, accepted, failed, retry, wait, unknown, stop or ban; of a reconciliation also waiting"""
    reason: Expression | None = Field(default=None, exclude_if=left_out)
    """Expression that finds the API's own words. Default: found by itself"""
    seconds: Wait | None = Field(default=None, exclude_if=left_out)
    """How long to wait: a number, or an expression. Default: Retry-After, else one window"""
    until: Expression | None = Field(default=None, exclude_if=left_out)
    """Expression that finds the moment to wait for: epoch seconds or milliseconds, or a date"""
    keep: dict[str, Expression] = Field(default={}, exclude_if=operator.not_)
    """Name in the results → expression, kept where the rule fits"""
    limit: str | None = Field(default=None, exclude_if=left_out)
    """Which limit waits, where there are several"""
    missing: Missing | None = Field(default=None, exclude_if=left_out)
    """Of rows that no item speaks of, in place of what the batch says"""

    @property
    def expressions(self) -> list[tuple[str, str]]:
        """(key, expression) of each that it has."""
        seconds = self.seconds if isinstance(self.seconds, str) else None
        stated = [("when", self.when), ("reason", self.reason), ("seconds", seconds), ("until", self.until)]
        return [(key, text) for key, text in stated if text is not None] + [
            (f"keep.{name}", text) for name, text in self.keep.items()
        ]

    @property
    def columns(self) -> list[str]:
        """The columns that its expressions take from the row."""
        return [column for _, text in self.expressions for column in columns_of(text)]

    def names(self, status: int) -> bool:
        """Whether it names this very status, not only its class."""
        return status in (self.status if isinstance(self.status, list) else [self.status])


@dataclass(frozen=True, slots=True)
class Said:
    """An answer as rules read it. `value`: its JSON, or NO_JSON. `whole`: False where the body was cut or broken."""

    status: int
    headers: Mapping[str, str]
    value: Any
    whole: bool = True


class Unreadable(Exception):
    """A rule has to read a body that cannot be read whole."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules in their order. `of_items`: they read one item of an answer, and ask no status unless it is stated."""

    rules: tuple[Rule, ...] = ()
    of_items: bool = False

    @classmethod
    def of(cls, *lists: Sequence[Rule]) -> Rules:
        """Rules of an answer, those of the first list first."""
        return cls(tuple(rule for some in lists for rule in some))

    def first(self, said: Said, values: Mapping[str, Any], *, guarded: bool = False) -> Rule | None:
        """The first rule that fits, if one does. Raises Unreadable.

        `guarded`: the status means a ban or a wait by itself, so that only rules that name it are asked.
        """
        for rule in self.rules:
            if guarded and not rule.names(said.status):
                continue
            if not self._fits(rule, said):
                continue
            if rule.when is None:
                return rule
            if not reads_body(rule.when):
                if holds(rule.when, None, said.headers, values):
                    return rule
                continue
            if not said.whole:
                raise Unreadable
            if said.value is not NO_JSON and holds(rule.when, said.value, said.headers, values):
                return rule
        return None

    def _fits(self, rule: Rule, said: Said) -> bool:
        """Whether status and headers are as the rule has them."""
        wanted = rule.status
        if wanted is None:
            if not (self.of_items or 200 <= said.status < 300):
                return False
        elif not any(_is(said.status, each) for each in (wanted if isinstance(wanted, list) else (wanted,))):
            return False
        return all(
            said.headers.get(name, "").strip().casefold() == text.strip().casefold()
            for name, text in rule.headers.items()
        )


NO_RULES = Rules()


def _is(status: int, wanted: int | str) -> bool:
    return wanted == "any" or wanted == status or (isinstance(wanted, str) and wanted[0] == str(status)[0])


def wait_of(rule: Rule, said: Said, values: Mapping[str, Any], *, now: float) -> float | None:
    """Seconds that a rule says to wait, from `now` (Unix time); None where it does not say, or the answer does not."""
    if rule.until is not None:
        moment = _moment(search(rule.until, said.value, said.headers, values))
        return None if moment is None else min(max(0.0, moment - now), MOST_WAIT_SECONDS)
    found = search(rule.seconds, said.value, said.headers, values) if isinstance(rule.seconds, str) else rule.seconds
    number = number_of(found)
    return None if number is None or number < 0 else min(number, MOST_WAIT_SECONDS)


def _moment(found: Any) -> float | None:
    """Unix seconds: of a number in seconds or milliseconds, or of a date."""
    if (number := number_of(found)) is not None:
        return number / 1000 if number > 1e11 else number
    return moment_of(found) if isinstance(found, str) else None
