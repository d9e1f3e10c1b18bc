"""What is wrong with rules on answers, batches, steps, reconciliation, polling and undo: what can never fit or work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

from flows.pipeline.batch import Batch, Match
from flows.pipeline.definition import Definition
from flows.pipeline.expression import reads_body, shifts_positions
from flows.pipeline.expression_faults import expression_faults, lists_of_rules
from flows.pipeline.fault import Fault, Place, brief
from flows.pipeline.known import SPECIAL, Known
from flows.pipeline.request import METHODS, Request
from flows.pipeline.rule_faults import rule_faults
from flows.pipeline.rules import Means
from flows.pipeline.template import FromRow, Piece, TemplateError, pieces

_WORDS = {"row", "line", "result", "parcel", "position"}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_OF_REPORTS = ("done", "accepted", "failed", "unknown")  # what was sent goes out no more
_OF_ITEMS = ("done", "accepted", "failed", "retry", "wait", "unknown", "stop", "ban")


def course_faults(definition: Definition, columns: tuple[str, ...] | None) -> Iterator[Fault]:
    """Every fault of what a definition says beside its one request."""
    yield from _together(definition)
    several = definition.batch is not None
    bans = definition.ban.status
    yield from rule_faults(("answers",), definition.answers, _means(definition), columns, batch=several, bans=bans)
    if definition.batch is not None:
        yield from _batch(definition, definition.batch, columns)
    for at, _ in enumerate(definition.steps):
        yield from _step(definition, at, columns)
    yield from _settling(definition, columns)
    yield from _unread(definition)
    yield from _names(definition, columns)
    yield from _methods(definition, columns)
    yield from expression_faults(definition, columns)


def _means(definition: Definition) -> tuple[str, ...]:
    means = tuple(each for each in get_args(Means) if each != "waiting")
    return means if definition.batch is not None else tuple(each for each in means if each != "items")


def _together(definition: Definition) -> Iterator[Fault]:
    if definition.request is None and not definition.steps:
        yield Fault(("request",), "is missing; say which request each row becomes, or write `steps`")
    if definition.request is not None and definition.steps:
        yield Fault(("steps",), "write either `request` or `steps`, not both")
    if definition.steps and not any(step.request for step in definition.steps):
        yield Fault(("steps",), "make no request at all; at least one needs a `request`")
    if definition.batch is not None and definition.steps:
        yield Fault(("batch",), "is for one request of many rows; `steps` are several requests of one row")
    if definition.idempotent and not _sends_a_key(definition):
        yield Fault(("idempotent",), "is true, but no idempotency key is sent: idempotency_key is none")


def _sends_a_key(definition: Definition) -> bool:
    if any("{idempotency_key}" in text for _, text in definition.templates()):
        return True
    return all(
        not request.key_place.is_nowhere for place, request in definition.requests if place[0] in ("request", "steps")
    )


def _batch(definition: Definition, batch: Batch, columns: tuple[str, ...] | None) -> Iterator[Fault]:
    place: Place = ("batch",)
    request = definition.request
    if request is not None:
        kinds = dict(request.bodies)
        if request.key_place.in_json and batch.puts == "list" and kinds.get("json", "{batch}") == "{batch}":
            yield Fault(
                ("request", "idempotency_key", "json"), "the body is the list of the rows, and a list has no names"
            )
        if not request.has_body:
            yield Fault(
                place,
                f"a {request.method} request has no body in which many rows could stand; write POST, PUT or PATCH",
            )
        if request.method_column:
            yield Fault(("request", "method"), "is a column, and many rows have one request: write the method")
        if "ndjson" in kinds and batch.each is not None:
            yield Fault((*place, "each"), "leave it out: the lines under request.ndjson are those of each row")
        if "ndjson" in kinds and batch.puts == "object":
            yield Fault((*place, "as"), "is for a JSON body; lines of JSON are no object")
        spoken = [text for where, text in request.templates() if where[1] not in ("url", "headers", "method")]
        if kinds and "ndjson" not in kinds and "{batch}" not in spoken:
            yield Fault(("request", next(iter(kinds))), 'has no "{batch}" that stands alone, where the rows would go')
        if "text" in kinds or "form" in kinds:
            yield Fault(
                ("request", "text" if "text" in kinds else "form"), "holds one row; write `json` or `ndjson` for many"
            )
    if batch.puts == "object" and not isinstance(batch.each, dict):
        yield Fault((*place, "as"), "object merges the parts of the rows; write `each` as an object with a name a row")
    for where, text in definition.templates():
        if where[:2] == ("batch", "each") and columns is not None:
            yield from _unknown(where, text, Known(columns, SPECIAL))
    yield from _match(place, batch.match, batch.items, columns)
    means = any(rule.means == "items" for rule in definition.answers)
    if means and batch.items is None:
        at = next(at for at, rule in enumerate(definition.answers) if rule.means == "items")
        yield Fault(("answers", at, "means"), "items are to be read, but batch.items does not say where they stand")
    for key in ("answers", "keep"):
        if getattr(batch, key) and batch.items is None:
            yield Fault((*place, key), "is about single items, but batch.items does not say where they stand")
    yield from rule_faults((*place, "answers"), batch.answers, _OF_ITEMS, columns, items=True)


def _match(place: Place, match: Match | None, items: str | None, columns: tuple[str, ...] | None) -> Iterator[Fault]:
    here: Place = (*place, "match")
    if items is not None and match is None:
        yield Fault(
            here, "is missing; say how an item finds its row: position, {index: …}, {item: …, row: …} or {name: …}"
        )
    if match is None:
        return
    if items is None:
        yield Fault(here, f"matches items, but {place[0]}.items does not say where they stand")
    stated = [key for key in ("index", "item", "name") if getattr(match, key) is not None]
    if len(stated) > 1:
        yield Fault(here, f"finds a row in one way; write either `{stated[0]}` or `{stated[1]}`")
    if (match.item is None) != (match.row is None):
        lacks = "row" if match.row is None else "item"
        yield Fault(
            (*here, lacks), "is missing; `item` finds what was sent in the item, `row` says what the row has there"
        )
    if match.ignore_case and not match.text:
        yield Fault((*here, "ignore_case"), "is for what is compared as text: {item: …, row: …} or {name: …}")
    if match.by_position and items is not None and reads_body(items) and shifts_positions(items):
        yield Fault(
            (*place, "items"), "drops or moves items, so that their positions would shift; name the list itself"
        )
    if match.text and columns is not None:
        where = (*here, "name" if match.name is not None else "row")
        yield from _unknown(where, match.text, Known(columns, SPECIAL))
        if not any(isinstance(piece, FromRow) for piece in _pieces(match.text)):
            yield Fault(where, 'is the same for every row; name a column, e.g. "{email}"')


def _pieces(text: str) -> tuple[Piece, ...]:
    try:
        return pieces(text)
    except TemplateError:
        return ()


def _unknown(where: Place, text: str, known: Known) -> Iterator[Fault]:
    try:
        found = pieces(text)
    except TemplateError as exc:
        yield Fault(where, f"{exc} (found {brief(text)})")
        return
    for piece in found:
        if isinstance(piece, FromRow) and piece.column not in known.names:
            yield Fault(where, known.words(piece.column))


def _step(definition: Definition, at: int, columns: tuple[str, ...] | None) -> Iterator[Fault]:
    step, place = definition.steps[at], ("steps", at)
    if not _NAME.fullmatch(step.name) or step.name in ("row", "header"):
        yield Fault(
            (*place, "name"), f"must be small letters, digits and underscores, and not `row` (found {brief(step.name)})"
        )
    if step.name in [other.name for other in definition.steps[:at]]:
        yield Fault((*place, "name"), f"another step is called {brief(step.name)} already")
    if columns is not None and any(name.startswith(f"{step.name}.") for name in columns):
        yield Fault(
            (*place, "name"), f"there is a column that begins with {step.name}., so {{{step.name}.…}} would be unclear"
        )
    if step.request is None and step.means is None:
        yield Fault(place, "needs a `request`, or `means` for how the row ends here")
    if step.request is not None and step.means is not None:
        yield Fault(place, "write either `request` or `means`, not both")
    if step.means is not None:
        for key in ("keep", "answers", "writes"):
            if getattr(step, key):
                yield Fault((*place, key), "is for a step with a request")
        if step.when is None and at < len(definition.steps) - 1:
            yield Fault(
                place, "ends every row here, so that the steps behind it are never gone through; give it a `when`"
            )
    elif step.reason is not None:
        yield Fault((*place, "reason"), "is for a step that ends the row by `means`")
    possible = tuple(each for each in get_args(Means) if each not in ("waiting", "items", "accepted"))
    yield from rule_faults((*place, "answers"), step.answers, possible, columns, bans=definition.ban.status)


def _settling(definition: Definition, columns: tuple[str, ...] | None) -> Iterator[Fault]:
    if definition.reconcile is not None:
        possible = ("done", "failed", "waiting", "unknown", "wait", "retry", "stop", "ban")
        reconciles = definition.reconcile.answers
        yield from rule_faults(("reconcile", "answers"), reconciles, possible, columns, bans=definition.ban.status)
        yield from _asks(("reconcile", "request"), definition.reconcile.request)
        if not _differs(definition.reconcile.request):
            yield Fault(
                ("reconcile", "request", "url"), 'asks the same for every row; name what finds it, e.g. "{email}"'
            )
    accepts = [*definition.answers, *(definition.batch.answers if definition.batch else ())]
    accepted = any(rule.means == "accepted" for rule in accepts)
    poll = definition.poll
    if poll is None:
        return
    yield from _asks(("poll", "request"), poll.request)
    if not accepted:
        yield Fault(("poll",), "asks about accepted rows, but no rule under `answers` means accepted")
    if not any(isinstance(piece, FromRow) for _, text in poll.request.templates() for piece in _pieces(text)):
        yield Fault(
            ("poll", "request", "url"), 'asks the same for every row; name the job that `keep` took, e.g. "{job}"'
        )
    possible = tuple(each for each in get_args(Means) if each != "waiting")
    kept, bans = definition.kept, definition.ban.status
    yield from rule_faults(("poll", "answers"), poll.answers, possible, kept, special=(), bans=bans)
    says = [(("poll", "answers", at, "missing"), rule.missing) for at, rule in enumerate(poll.answers)]
    for place, missing in [(("poll", "missing"), poll.missing), *says]:
        if missing == "retry":
            yield Fault(place, "retry is not possible: the rows of a job were sent; possible: unknown, done, failed")
    if not any(rule.means in ("done", "items", "failed") for rule in poll.answers):
        yield Fault(("poll", "answers"), "never end: no rule means done, failed or items")
    if any(rule.means == "items" for rule in poll.answers) and poll.items is None:
        yield Fault(("poll", "items"), "is missing; a rule says items, so say where they stand in the report")
    yield from _match(("poll",), poll.match, poll.items, columns)
    yield from rule_faults(("poll", "item_answers"), poll.item_answers, _OF_REPORTS, columns, items=True)


def _unread(definition: Definition) -> Iterator[Fault]:
    """Items in what need not be JSON."""
    for name, part in (("batch", definition.batch), ("poll", definition.poll)):
        if part is not None and part.items is not None and not definition.response.expects_json:
            yield Fault(
                ("response", "json"), f"is false, but {name}.items are read from JSON; leave one of the two out"
            )


def _asks(place: Place, request: Request) -> Iterator[Fault]:
    """Whether the method of a question may ask."""
    if request.method_column:
        yield Fault((*place, "method"), "must be fixed")
    elif request.method == "DELETE":
        yield Fault((*place, "method"), "asks nothing: it deletes what it should ask about; write GET")


def _differs(request: Request) -> bool:
    """Whether a request is another one for each row: by a placeholder, a key, or all columns as its body."""
    if request.idempotency_key is not None and not request.idempotency_key.is_nowhere:
        return True
    if request.has_body and not request.bodies:
        return True
    return any(isinstance(piece, FromRow) for _, text in request.templates() for piece in _pieces(text))


def _names(definition: Definition, columns: tuple[str, ...] | None) -> Iterator[Fault]:
    """Kept names that stand twice, or that are those of columns. Steps may keep the same name: the last one wins.

    What rules, reconciliation and polling keep may fill a name that another part has.
    """
    first: dict[str, str] = {}
    for place, name, owner in _kept(definition):
        if owner != "response" and ((columns and name in columns) or name in _WORDS):
            what = "the name of a column" if columns and name in columns else "a word of the results"
            yield Fault((*place, name), f"is {what} already; keep it under another name")
        elif owner in ("response", "batch", "steps") and first.setdefault(name, owner) != owner:
            yield Fault((*place, name), f"is kept under `{first[name]}` already; keep it under another name")
        first.setdefault(name, owner)


def _kept(definition: Definition) -> Iterator[tuple[Place, str, str]]:
    for name in definition.response.keep:
        yield ("response", "keep"), name, "response"
    for at, step in enumerate(definition.steps):
        for name in step.keep:
            yield ("steps", at, "keep"), name, "steps"
    if definition.batch is not None:
        for name in definition.batch.keep:
            yield ("batch", "keep"), name, "batch"
    for place, rules in lists_of_rules(definition):
        for at, rule in enumerate(rules):
            for name in rule.keep:
                yield (*place, at, "keep"), name, "answers"
    for name in definition.poll.keep if definition.poll is not None else ():
        yield ("poll", "keep"), name, "answers"


def _methods(definition: Definition, columns: tuple[str, ...] | None) -> Iterator[Fault]:
    """A method that a column holds has to come from a closed list."""
    for place, request in definition.requests:
        name = request.method_column
        column = definition.columns.get(name)
        if not name or column is None or (definition.batch is not None and place == ("request",)):
            continue
        if column.type != "str" or not column.one_of:
            yield Fault((*place, "method"), f"the column {name} must say which: {{type: str, one_of: [POST, PUT]}}")
            continue
        for value in column.one_of:
            if str(value).upper() not in METHODS:
                yield Fault(
                    (*place, "method"), f"{brief(value)} of column {name} is no method; possible: {', '.join(METHODS)}"
                )
