"""What is wrong with expressions beyond their grammar: what they name has no value where they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flows.pipeline.batch import Match
from flows.pipeline.definition import Definition
from flows.pipeline.expression import columns_of, quoted_columns, reads_body, references
from flows.pipeline.fault import Fault, Place, brief, suggestion
from flows.pipeline.known import SPECIAL, Known, kept_before
from flows.pipeline.rules import Rule

_NO_ROW = "an answer to many rows has no single row"
_NO_ITEM = "it is read before anybody knows of which row an item speaks"


def expression_faults(definition: Definition, columns: tuple[str, ...] | None) -> Iterator[Fault]:
    """The faults of every expression of a definition; those of rules only as far as they are in quotes."""
    stated = columns or ()
    possible = {*stated, *SPECIAL, *definition.kept}
    for place, text, known in _expressions(definition, stated):
        for name in quoted_columns(text):
            if name in possible:
                yield Fault(place, f"{{{name}}} in quotes is no value but these very letters; leave the quotes out")
        for name in columns_of(text) if known is not None and columns is not None else ():
            if known is not None and name not in known.names:
                yield Fault(place, known.words(name))
    for at, step in enumerate(definition.steps):
        if step.when is not None:
            yield from _condition(definition, at, step.when, columns)
    for part in ("batch", "poll"):
        stated_part = getattr(definition, part)
        if stated_part is not None and stated_part.items is not None and not reads_body(stated_part.items):
            yield Fault((part, "items"), "is a header, which holds no items; name where they stand in the JSON")


def lists_of_rules(definition: Definition) -> Iterator[tuple[Place, Sequence[Rule]]]:
    """Every list of rules of a definition that fills names in the results, with its place."""
    yield ("answers",), definition.answers
    for at, step in enumerate(definition.steps):
        yield ("steps", at, "answers"), step.answers
    if definition.batch is not None:
        yield ("batch", "answers"), definition.batch.answers
    if definition.reconcile is not None:
        yield ("reconcile", "answers"), definition.reconcile.answers
    if definition.poll is not None:
        yield ("poll", "answers"), definition.poll.answers
        yield ("poll", "item_answers"), definition.poll.item_answers


def _expressions(definition: Definition, columns: tuple[str, ...]) -> Iterator[tuple[Place, str, Known | None]]:
    """(its place, an expression, what may stand in braces in it); None where flows.pipeline.rule_faults says that."""
    of_row, of_item, nothing = Known(columns), Known(columns, SPECIAL), Known((), (), _NO_ITEM)
    batch, poll = definition.batch, definition.poll
    for name, text in definition.response.keep.items():
        yield ("response", "keep", name), text, of_row if batch is None else Known((), (), _NO_ROW)
    for at, step in enumerate(definition.steps):
        for name, text in step.keep.items():
            yield ("steps", at, "keep", name), text, of_row
        if step.when is not None:
            yield ("steps", at, "when"), step.when, None
    for part, place in ((batch, "batch"), (poll, "poll")):
        if part is None:
            continue
        for name, text in part.keep.items():
            yield (place, "keep", name), text, of_item
        if part.items is not None:
            yield (place, "items"), part.items, nothing
        yield from ((where, text, nothing) for where, text in _matching((place, "match"), part.match))
    for where, rules in (*lists_of_rules(definition), *_of_undo(definition)):
        for at, rule in enumerate(rules):
            for key, text in rule.expressions:
                yield (*where, at, *key.split(".", 1)), text, None


def _of_undo(definition: Definition) -> Iterator[tuple[Place, Sequence[Rule]]]:
    if definition.undo is not None:
        yield ("undo", "answers"), definition.undo.answers


def _matching(place: Place, match: Match | None) -> Iterator[tuple[Place, str]]:
    for key in ("index", "item"):
        text = getattr(match, key, None)
        if text is not None:
            yield (*place, key), text


def _condition(definition: Definition, at: int, when: str, columns: tuple[str, ...] | None) -> Iterator[Fault]:
    """What the condition of a step asks for and nobody keeps: it never fits, or always."""
    place: Place = ("steps", at, "when")
    kept = kept_before(definition, at)
    known = Known(columns or (), kept)
    if not reads_body(when):
        near = f"; keep it in an earlier step and write {kept[0]}" if kept else "; keep it in an earlier step"
        yield Fault(place, f"there is no answer yet whose header it could read{near}")
        return
    for name in columns_of(when):
        if name in kept:
            yield Fault(place, f"what a step has kept stands here without braces; write {name}")
        elif columns is not None and name not in columns and name not in SPECIAL:
            yield Fault(place, Known(columns).words(name))
    steps = [each.name for each in definition.steps[:at] if each.request is not None]
    names = {each.name for each in definition.steps}
    for owner, name in references(when):
        if owner == "row":
            if name and columns is not None and name not in columns:
                yield Fault(place, Known(columns).words(name))
        elif owner in names and (name or owner not in steps):
            if f"{owner}.{name}" not in kept:
                yield Fault(place, known.words(f"{owner}.{name}"))
        elif owner not in steps:
            yield Fault(place, _no_step(owner, kept, steps, columns or ()))


def _no_step(name: str, kept: Sequence[str], steps: Sequence[str], columns: Sequence[str]) -> str:
    full = [each for each in kept if each.partition(".")[2] == name]
    full += [f"row.{name}"] if name in columns else []
    if full:
        return f"{brief(name)} stands alone; say whose it is: {' or '.join(full)}"
    return f"no earlier step is called {brief(name)}; {suggestion(name, [*steps, 'row'])}"
