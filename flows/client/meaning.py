"""What an answer would mean, to be shown before any comes: the rule that decides, the rows, what is kept, the limit.

It is worked out by what reads real answers; nothing is sent and nothing is recorded. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from flows.client.answer import understood
from flows.client.compiled import Compiled, CompiledStep
from flows.client.credential import turned_away
from flows.client.exchange import outcomes
from flows.client.items import Items, adjusted
from flows.client.kept import kept_of
from flows.client.pause import Headers
from flows.client.question import Question
from flows.client.request import filling
from flows.errors import RowrelayError
from flows.pipeline.auth import Auth
from flows.pipeline.expression import holds
from flows.pipeline.fault import Place, suggestion
from flows.pipeline.hosts import host_of
from flows.pipeline.rules import Rule, Rules
from flows.records import Outcome, Parcel, Reply, Row, RowState

Of = Literal["request", "reconcile", "poll"]
NOBODY = Row(1, 1, {})  # whose answer it is where no file says


@dataclass(frozen=True, slots=True)
class RuleAt:
    """A rule, and where it stands in the definition."""

    rule: Rule
    place: Place

    @property
    def number(self) -> int:
        """Which of its list it is, counted from 1."""
        return int(self.place[-1]) + 1

    @property
    def of(self) -> str:
        """The list: `answers`, `batch.answers`, `steps[0].answers`."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.place[:-1]).lstrip(".")


@dataclass(frozen=True, slots=True)
class OfRow:
    """What it means for one row. `rules`: those that decided of its items, and None for an item that none fits."""

    row: Row
    outcome: Outcome
    rules: tuple[RuleAt | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an answer means. `rule` is None where the built-in table decides.

    `stays`: no rule of a reconciliation or a poll fits, so that the rows stay as they are. `unread`: what it says of
    single rows is not told, since nobody has said which rows these are. `then`: the step that would come next.
    """

    reply: Reply
    rule: RuleAt | None
    rows: tuple[OfRow, ...]
    stays: bool = False
    unread: bool = False
    step: str = ""
    then: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether a step was answered well, so that the next one comes."""
        return bool(self.step) and self.reply.means is RowState.DONE

    @property
    def halved(self) -> bool:
        """Whether the parcel would be sent in halves, until the bad row stands alone."""
        return any(each.outcome.refused for each in self.rows)


def headers_of(lines: Sequence[str], body: bytes) -> httpx.Headers:
    """Headers as people write them, `Name: value`; a body that looks like JSON counts as JSON if they do not say.

    Raises RowrelayError for what is no header.
    """
    pairs: list[tuple[str, str]] = []
    for text in lines:
        name, colon, value = text.partition(":")
        if not (colon and name.strip()):
            raise RowrelayError(f"The header {text!r} has no colon.", hint="Write it as Retry-After: 30.")
        pairs.append((name.strip(), value.strip()))
    try:
        headers = httpx.Headers(pairs)
    except UnicodeError as exc:
        raise RowrelayError("A header has characters that HTTP does not allow.", hint="Use ASCII.") from exc
    if "content-type" not in headers and body.lstrip()[:1] in (b"{", b"["):
        headers["content-type"] = "application/json"
    return headers


def own_key(row: Row) -> str:
    """What stands for a row's idempotency key, which is not known before the row is sent."""
    return f"row-{row.row}"


def meaning(
    compiled: Compiled,
    status: int,
    headers: Headers,
    body: bytes,
    rows: Sequence[Row] = (),
    *,
    step: str = "",
    of: Of = "request",
) -> Meaning:
    """What an answer means for the rows of one request; without rows, for a row of which nothing is known.

    `headers` must find names in any case. Raises RowrelayError where the definition has no such step or question.
    """
    definition, mask = compiled.definition, compiled.masker.text
    most = definition.most_bytes
    trouble = f"the answer is longer than {most:,} bytes" if len(body) > most else ""
    parcel = Parcel(tuple(rows) or (NOBODY,))
    values = parcel.rows[0].values if len(parcel.rows) == 1 else {}
    at = _step(compiled, step) if of == "request" else None
    question = _question(compiled, at, of, values)
    reply = turned_away(_renewable(compiled, at, of), status, headers) or understood(
        status, headers, body[:most], definition, question=question, trouble=trouble, mask=mask
    )
    rule = _found(compiled, reply.by_rule, at, of)
    if of != "request":
        return _of_question(compiled, reply, rule, parcel, of, told=bool(rows))
    if at is not None:
        return _of_step(compiled, reply, rule, parcel.rows[0], at)
    items = compiled.items if reply.means is RowState.DONE else None
    if items is not None and not rows:
        return Meaning(reply, rule, (), unread=True)
    own = [own_key(row) for row in parcel.rows]
    found = outcomes(compiled, reply, parcel, own)
    return Meaning(adjusted(reply, found), rule, _by_row(compiled, items, reply, parcel, found, ("batch", "answers")))


def _step(compiled: Compiled, name: str) -> int | None:
    """The position of the step that is asked for, the first that makes a request unless it is named."""
    names = [each.step.name for each in compiled.steps if each.rendering is not None]
    if not name and names:
        name = names[0]
    if not name:
        return None
    if name not in names:
        hint = suggestion(name, names).capitalize() if names else "It has no steps."
        raise RowrelayError(f"{compiled.definition.name} has no step {name!r} that makes a request.", hint=hint)
    return next(at for at, each in enumerate(compiled.steps) if each.step.name == name)


def _question(compiled: Compiled, at: int | None, of: Of, values: Mapping[str, Any]) -> Question:
    definition = compiled.definition
    if at is not None:
        each = compiled.steps[at]
        return Question(each.rules, values, reads=not each.step.is_write)
    if of == "request":
        return compiled.question(values)
    part = definition.reconcile if of == "reconcile" else definition.poll
    if part is None:
        raise RowrelayError(f"{definition.name} has no `{of}:`.", hint="Leave the option out.")
    items = of == "poll" and definition.poll is not None and definition.poll.items is not None
    return Question(Rules.of(part.answers), values, reads=True, items=items)


def _renewable(compiled: Compiled, at: int | None, of: Of) -> Auth | None:
    """What lets such a request in; None where it goes to a host that gets nothing of it."""
    definition = compiled.definition
    part = {"reconcile": definition.reconcile, "poll": definition.poll}.get(of)
    request = part.request if part is not None else definition.steps[at].request if at is not None else definition.main
    return definition.auth if request is not None and definition.lets_in(host_of(request.url)) else None


def _lists(compiled: Compiled, at: int | None, of: Of) -> list[tuple[Place, Sequence[Rule]]]:
    """The lists of rules that are asked, in their order."""
    definition = compiled.definition
    if of == "reconcile" and definition.reconcile is not None:
        return [(("reconcile", "answers"), definition.reconcile.answers)]
    if of == "poll" and definition.poll is not None:
        return [(("poll", "answers"), definition.poll.answers)]
    own = [(("steps", at, "answers"), definition.steps[at].answers)] if at is not None else []
    return [*own, (("answers",), definition.answers)]


def _found(compiled: Compiled, rule: Rule | None, at: int | None, of: Of) -> RuleAt | None:
    return _place(rule, _lists(compiled, at, of)) if rule is not None else None


def _place(rule: Rule, lists: Sequence[tuple[Place, Sequence[Rule]]]) -> RuleAt | None:
    return next(
        (RuleAt(rule, (*place, at)) for place, rules in lists for at, each in enumerate(rules) if each is rule), None
    )


def _by_row(
    compiled: Compiled, items: Items | None, reply: Reply, parcel: Parcel, found: Sequence[Outcome], place: Place
) -> tuple[OfRow, ...]:
    if items is None:
        return tuple(OfRow(row, outcome) for row, outcome in zip(parcel.rows, found, strict=True))
    decided = items.decided(reply, [filling(row, own_key(row)) for row in parcel.rows])
    lists = [(place, items.rules.rules)]
    return tuple(
        OfRow(row, outcome, tuple(_place(rule, lists) if rule else None for rule in decided.get(at, ())))
        for at, (row, outcome) in enumerate(zip(parcel.rows, found, strict=True))
    )


def _of_step(compiled: Compiled, reply: Reply, rule: RuleAt | None, row: Row, at: int) -> Meaning:
    """What it means in a step: done there means that the next one comes."""
    each = compiled.steps[at]
    paths = {**compiled.definition.response.keep, **each.step.keep, **(rule.rule.keep if rule else {})}
    kept = compiled.masker.value(kept_of(paths, reply.value, reply.headers, row.values)[0])
    goes_on = reply.means is RowState.DONE
    counts = rule is None or rule.rule.means != "wait"
    outcome = Outcome(row.row, reply.means, reply.reason, kept, reply.excerpt, reply.again, counts=counts)
    then = _next(compiled, each, at, row, kept) if goes_on else ""
    return Meaning(reply, rule, (OfRow(row, outcome),), step=each.step.name, then=then)


def _next(compiled: Compiled, each: CompiledStep, at: int, row: Row, kept: Mapping[str, Any]) -> str:
    """The step that comes after this one, as far as what it has kept says so."""
    known: dict[str, Any] = {other.step.name: {} for other in compiled.steps}
    known |= {each.step.name: kept, "row": row.values}
    for other in compiled.steps[at + 1 :]:
        if other.step.when is None or holds(other.step.when, known, {}, filling(row, own_key(row))):
            return other.step.name
    return ""


def _of_question(
    compiled: Compiled, reply: Reply, rule: RuleAt | None, parcel: Parcel, of: Of, *, told: bool
) -> Meaning:
    """What the answer to a reconciliation or a poll means; where no rule fits, the rows stay as they are."""
    poll = compiled.definition.poll
    if rule is None:
        return Meaning(reply, None, (), stays=True)
    if of == "poll" and poll is not None and rule.rule.means == "items":
        if not told:
            return Meaning(reply, rule, (), unread=True)
        items = compiled.report or Items.of_report(compiled.definition, poll)
        values = [filling(row, own_key(row)) for row in parcel.rows]
        found = items.outcomes(reply, [row.row for row in parcel.rows], values, compiled.masker.text)
        rows = _by_row(compiled, items, reply, parcel, found, ("poll", "item_answers"))
        return Meaning(adjusted(reply, found), rule, rows)
    counts = rule.rule.means != "wait"
    kept: dict[str, Any] = {}
    if rule.rule.keep:
        kept = compiled.masker.value(kept_of(rule.rule.keep, reply.value, reply.headers, parcel.rows[0].values)[0])
    rows = tuple(
        OfRow(row, Outcome(row.row, reply.means, reply.reason, kept, reply.excerpt, reply.again, counts=counts))
        for row in parcel.rows
    )
    return Meaning(reply, rule, rows)
