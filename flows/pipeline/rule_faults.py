"""What is wrong with rules on answers: what can never fit, and what is for another meaning."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from flows.pipeline.expression import columns_of
from flows.pipeline.fault import Fault, Place, brief
from flows.pipeline.known import SPECIAL, Known
from flows.pipeline.rules import Rule


def rule_faults(
    place: Place,
    rules: Sequence[Rule],
    possible: Sequence[str],
    columns: tuple[str, ...] | None,
    *,
    batch: bool = False,
    items: bool = False,
    special: Collection[str] = SPECIAL,
    bans: Collection[int] = (),
) -> Iterator[Fault]:
    """The faults of a list of rules. `bans`: the statuses that mean a ban by themselves.

    `special`: what may stand in braces beside `columns`.
    """
    for at, rule in enumerate(rules):
        here: Place = (*place, at)
        if rule.means not in possible:
            yield Fault((*here, "means"), f"{_why_not(rule.means, items=items)}; possible: {', '.join(possible)}")
        yield from _waits(here, rule)
        if rule.missing is not None and rule.means != "items":
            yield Fault((*here, "missing"), "is for a rule that means items: it says what becomes of rows without one")
        for key, text in rule.expressions:
            where = (*here, *key.split(".", 1))
            for name in columns_of(text):
                if batch:
                    yield Fault(where, f"{brief(name)} has no value here: an answer to many rows has no single row")
                elif columns is not None and name not in columns and name not in special:
                    yield Fault(where, Known(columns).words(name))
        guarded = () if items else (429, 503, *bans)
        earlier = next((n for n, other in enumerate(rules[:at]) if _covers(other, rule, guarded, items=items)), None)
        if earlier is not None:
            yield Fault(
                here, f"can never fit: rule {earlier + 1} takes every such {'item' if items else 'answer'} first"
            )


def _waits(here: Place, rule: Rule) -> Iterator[Fault]:
    for key in ("seconds", "until"):
        if getattr(rule, key) is not None and rule.means != "wait":
            yield Fault((*here, key), f"is for a rule that means wait, not {rule.means}")
    if rule.seconds is not None and rule.until is not None:
        yield Fault((*here, "until"), "write either `seconds` or `until`, not both")


def _why_not(means: str, *, items: bool) -> str:
    if means == "waiting":
        return "waiting is for `reconcile` alone: there it means that the row is not there"
    if means == "items":
        return "items can only be read where many rows travel in one request" if not items else "an item has no items"
    return f"{means} is not possible here"


def _covers(first: Rule, later: Rule, guarded: Collection[int], *, items: bool) -> bool:
    """Whether every answer that the later rule fits is taken by the first one.

    `guarded` statuses have a meaning of their own, so that only a rule that names them takes them.
    """
    if first.when is not None and first.when != later.when:
        return False
    if any(later.headers.get(name) != text for name, text in first.headers.items()):
        return False
    statuses = _list(first.status, items=items)
    return all(
        any(_within(each, other) and (each not in guarded or each == other) for other in statuses)
        for each in _list(later.status, items=items)
    )


def _list(status: Any, *, items: bool) -> list[Any]:
    return status if isinstance(status, list) else [("any" if items else "2xx") if status is None else status]


def _within(each: int | str, other: int | str) -> bool:
    return other == "any" or each == other or (isinstance(other, str) and each != "any" and str(each)[0] == other[0])
