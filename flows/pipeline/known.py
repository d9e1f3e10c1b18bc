"""What placeholders may stand for, at each place of a definition."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flows.pipeline.definition import Definition
from flows.pipeline.fault import Place, brief, suggestion

SPECIAL = ("row", "idempotency_key")
BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Known:
    """What placeholders may stand for somewhere. `columns` are shown to people; `why` says what else is asked there."""

    columns: Collection[str]
    more: Collection[str] = ()
    why: str = ""
    is_none: str = "there is no column"

    @property
    def names(self) -> set[str]:
        """All of them."""
        return {*self.columns, *self.more}

    def words(self, name: str) -> str:
        """What is wrong with a name that is not among them."""
        if self.why:
            return f"{brief(name)} has no value here: {self.why}"
        step, dot, kept = name.partition(".")
        if dot and any(each.startswith(f"{step}.") for each in self.more):
            there = [each.partition(".")[2] for each in self.more if each.startswith(f"{step}.")]
            return f"the step {step} keeps no {brief(kept)}; {suggestion(kept, there)}"
        if dot:
            return (
                f"no earlier step keeps {brief(name)}; {suggestion(name, [each for each in self.more if '.' in each])}"
            )
        return f"{self.is_none} {brief(name)}; {suggestion(name, list(self.columns))}"


def sensible(definition: Definition, place: Place, columns: tuple[str, ...] | None) -> Known | None:
    """What placeholders may stand for in the request at a place; None where the columns are not known."""
    if columns is None:
        return None
    if place == ("request",) and definition.batch is not None:
        stated = "a request of many rows has no single row's values; write them under batch.each"
        if definition.request is not None and definition.request.ndjson is not None:
            return Known(columns, SPECIAL)
        return Known((), ("idempotency_key", BATCH), stated)
    if place[0] == "auth":
        return Known((), (), "it goes before the first row; only secrets may stand in it")
    if place[0] == "steps":
        return Known(columns, (*SPECIAL, *kept_before(definition, int(place[1]))))
    if place[0] == "poll":
        return Known(definition.kept, is_none="no answer keeps")
    if place[0] == "undo":
        return Known((*columns, *definition.kept), SPECIAL, is_none="there is neither a column nor a kept value")
    return Known(columns, SPECIAL)


def kept_before(definition: Definition, at: int) -> list[str]:
    """What the steps before this one keep: step.name."""
    names: list[str] = []
    for step in definition.steps[:at]:
        kept = [*definition.response.keep, *step.keep, *(name for rule in step.answers for name in rule.keep)]
        kept += [name for rule in definition.answers for name in rule.keep]
        names += [f"{step.name}.{name}" for name in kept] if step.request is not None else []
    return names
