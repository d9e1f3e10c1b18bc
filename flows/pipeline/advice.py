"""What is no fault of a definition, but a person should know of before it sends anything. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows.pipeline.course import Step
from flows.pipeline.definition import Definition
from flows.pipeline.proxy import parts
from flows.pipeline.request import Request
from flows.pipeline.rules import Rule, Rules, Said
from flows.pipeline.template import FromRow, pieces

_REFUSAL = {"message": "refused", "code": -32602}
_DONE = ("done", "accepted")


def advice(definition: Definition) -> list[str]:
    """What to look at, each in a sentence or two that say what to write."""
    return [*_unread_refusals(definition), *_twice(definition), *_never_ending(definition), *_held_back(definition)]


def _held_back(definition: Definition) -> Iterator[str]:
    """A proxy without a statement of how long it may take."""
    if definition.proxy is None or definition.terms.late_seconds is not None:
        return
    found = parts(definition.proxy)
    named = f"http://{found[2]}:{found[3]}" if found else "that the environment names, where it names one"
    yield (
        f"requests go through the proxy {named}. It may hold back a request that Rowrelay has given up, and deliver it "
        "later, so the limit does not hold for certain; write late_seconds under `limit`, the longest that a request "
        "may take to arrive through it, and the limit holds as far as that is true"
    )


def _never_ending(definition: Definition) -> Iterator[str]:
    """Rows that are accepted, and that nobody asks about."""
    rules = [*definition.answers, *(definition.batch.answers if definition.batch else ())]
    if definition.poll is None and any(rule.means == "accepted" for rule in rules):
        yield (
            "a rule means accepted, and without `poll` nobody asks the API what became of such rows: they stay "
            "accepted for ever"
        )


def _unread_refusals(definition: Definition) -> Iterator[str]:
    """GraphQL and JSON-RPC answer 200 to what they refuse: a definition that does not look calls it done."""
    for where, request, own in _writing(definition):
        each = definition.batch.each if definition.batch is not None else None
        if request.graphql is not None or _path(request.url).endswith("/graphql"):
            kind, word, found = "GraphQL", "errors", "errors[0]"
            answer: dict[str, Any] = {"data": None, "errors": [_REFUSAL]}
        elif any(_is_call(body) for body in (request.body, each)):
            kind, word, found = "JSON-RPC", "error", "error"
            answer = {"jsonrpc": "2.0", "id": None, "error": _REFUSAL}
        else:
            continue
        rules = [*own, *definition.answers]
        if _mentions([*rules, *(definition.batch.answers if definition.batch else ())], word):
            continue
        if _is_taken(definition, rules, answer):
            yield (
                f"{where} looks like {kind}, which also answers 200 to a row that it refuses, and no rule looks at "
                f"`{word}`: a refused row would be called done. Write under answers: "
                f'{{when: "{found}", means: failed, reason: "{found}.message"}}'
            )


def _writing(definition: Definition) -> Iterator[tuple[str, Request, Sequence[Rule]]]:
    """(where it stands, a request of each row, the rules that are asked first)."""
    if definition.request is not None:
        yield "request", definition.request, ()
    for step in definition.steps:
        if step.request is not None:
            yield f"step {step.name}", step.request, step.answers


def _path(url: str) -> str:
    return re.split(r"[?#]", url, maxsplit=1)[0].rstrip("/").lower()


def _is_call(body: Any) -> bool:
    """Whether a JSON body is a call of JSON-RPC, or a list of them."""
    return any(isinstance(part, Mapping) and "jsonrpc" in part for part in (body if isinstance(body, list) else [body]))


def _mentions(rules: Sequence[Rule], word: str) -> bool:
    return any(re.search(rf"\b{word}\b", rule.when or "") for rule in rules)


def _is_taken(definition: Definition, rules: Sequence[Rule], answer: Any) -> bool:
    """Whether a refusal of this shape would be called done."""
    rule = Rules.of(rules).first(Said(200, {}, answer), {})
    if rule is None and 200 not in definition.response.success:
        return False
    if rule is not None and rule.means not in (*_DONE, "items"):
        return False
    batch = definition.batch
    if batch is None or batch.items is None:
        return True
    of_item = Rules(tuple(batch.answers), of_items=True).first(Said(200, {}, answer), {})
    return of_item.means in _DONE if of_item is not None else rule is None or rule.means != "items"


def _twice(definition: Definition) -> Iterator[str]:
    """Two rows of the same thing that are under way at once both find nothing, and create it twice."""
    if definition.key:
        return
    names = [step.name for step in definition.steps if step.when is not None and step.is_write]
    if names:
        keys = ", ".join(_looked_up(definition)) or "COLUMN"
        yield (
            f"{' and '.join(names)}: a step that writes on a condition, in a pipeline without `key`. Two rows about "
            "the same thing may be under way at once, so neither sees what the other writes, and it is created twice; "
            f"name the columns that say which row is which: key: [{keys}]"
        )


def _looked_up(definition: Definition) -> list[str]:
    """The columns by which a row is looked up."""
    reads: list[Step] = [step for step in definition.steps if step.request is not None and not step.is_write]
    texts = [text for step in reads if step.request is not None for _, text in step.request.templates()]
    found = (piece.column for text in texts for piece in pieces(text) if isinstance(piece, FromRow))
    return [name for name in dict.fromkeys(found) if name in definition.column_names]
