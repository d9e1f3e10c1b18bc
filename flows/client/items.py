"""What the answer to a request of many rows says of each: pure, from the items of a reply to one outcome a row.

| the answer has                                    | then                                                     |
|---------------------------------------------------|----------------------------------------------------------|
| by position: a list of another length             | every row is unknown                                     |
| an item that fits no row, or more than one        | rows that no other item speaks of are unknown            |
| no item for a row, or no body at all (204)        | what `missing` says: unknown, unless stated              |
| several items for a row                           | the worst counts                                         |
| an item that no rule fits                         | done where the answer means done, else unknown           |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from flows.client.answer import EMPTY, MESSAGE_CHARACTERS, Mask, by_rule, reason_by, shown
from flows.client.kept import kept_of
from flows.pipeline.batch import Batch, Match
from flows.pipeline.course import Poll
from flows.pipeline.definition import Definition
from flows.pipeline.expression import search
from flows.pipeline.outgoing import outgoing
from flows.pipeline.rules import Missing, Rule, Rules, Said
from flows.pipeline.template import Fixed, Text, compile_text
from flows.records import Outcome, Reply, RowState
from flows.values import as_text

_WORST = (
    RowState.FAILED,
    RowState.UNKNOWN,
    RowState.WAITING,
    RowState.ACCEPTED,
    RowState.DONE,
)
_UNSPOKEN: Mapping[Missing, tuple[RowState, str]] = {
    "unknown": (RowState.UNKNOWN, "the answer does not speak of this row"),
    "failed": (RowState.FAILED, "the answer does not speak of this row, which means that it was refused"),
    "retry": (RowState.WAITING, "the answer does not speak of this row, which means that it was not taken"),
    "done": (RowState.DONE, ""),
}
Values = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Items:
    """How one kind of answer speaks of single rows. Made once of a definition."""

    definition: Definition
    path: str | None
    match: Match
    text: Fixed | Text | None
    rules: Rules
    keep: Mapping[str, str]
    missing: Missing

    @classmethod
    def of_batch(cls, definition: Definition, batch: Batch) -> Items:
        """Of the answer to a batch."""
        return cls._of(definition, batch.items, batch.match, batch.answers, batch.keep, batch.missing)

    @classmethod
    def of_report(cls, definition: Definition, poll: Poll) -> Items:
        """Of the report of a job."""
        return cls._of(definition, poll.items, poll.match, poll.item_answers, poll.keep, poll.missing)

    @classmethod
    def _of(
        cls,
        definition: Definition,
        path: str | None,
        match: Match | None,
        rules: Sequence[Rule],
        keep: Mapping[str, str],
        missing: Missing,
    ) -> Items:
        match = match or Match()
        text = compile_text(match.text, outgoing(definition, None)) if match.text else None
        return cls(definition, path, match, text, Rules(tuple(rules), of_items=True), keep, missing)

    def value_of(self, values: Mapping[str, Any]) -> str:
        """What a row is found by; "" where its position or index says it. Two such rows never travel together."""
        return self._normal(self.text.make(values, {})) if self.text is not None else ""

    def _normal(self, value: Any) -> str:
        text = as_text(value).strip() if not isinstance(value, bool) else str(value).lower()
        return text.casefold() if self.match.ignore_case else text

    def outcomes(self, reply: Reply, rows: Sequence[int], values: Values, mask: Mask) -> list[Outcome]:
        """One outcome a row, of rows whose `values` stand in the same order."""
        if reply.value is UNSET and _is_empty(reply):
            reply = replace(reply, value=None)
        if reply.value is UNSET:
            why = reply.reason or f"the API said {reply.status}, but what it says of single rows cannot be read"
            return [Outcome(row, RowState.UNKNOWN, why, excerpt=reply.excerpt) for row in rows]
        spoken, stray = self._spoken(reply, values)
        if spoken is None:
            return [Outcome(row, RowState.UNKNOWN, shown(stray, mask)) for row in rows]
        found: list[Outcome] = []
        for at, row in enumerate(rows):
            if items := spoken.get(at):
                each = [self._of_item(item, reply, row, values[at], mask) for item in items]
                found.append(_worst(each))
            elif stray:
                found.append(Outcome(row, RowState.UNKNOWN, f"the answer does not speak of this row; {stray}"))
            else:
                found.append(self._unspoken(row, reply))
        return found

    def decided(self, reply: Reply, values: Values) -> dict[int, list[Rule | None]]:
        """The rule that each item of a row is read by, by the row's position; None where no rule fits it."""
        spoken = {} if reply.value is UNSET else self._spoken(reply, values)[0] or {}
        return {
            at: [self.rules.first(Said(reply.status or 0, reply.headers, item), values[at]) for item in items]
            for at, items in spoken.items()
        }

    def _unspoken(self, row: int, reply: Reply) -> Outcome:
        state, why = _UNSPOKEN[(reply.by_rule.missing if reply.by_rule is not None else None) or self.missing]
        return Outcome(row, state, why, again=state is RowState.WAITING)

    def _spoken(self, reply: Reply, values: Values) -> tuple[dict[int, list[Any]] | None, str]:
        """(the items by the position of their row, what is odd about others); None where no item can be told apart."""
        items = search(self.path, reply.value, reply.headers) if self.path is not None else reply.value
        if self.match.by_position:
            if not isinstance(items, list) or len(items) != len(values):
                count = len(items) if isinstance(items, list) else "no list of"
                return None, f"the answer has {count} items for the {len(values)} rows of the request"
            return {at: [item] for at, item in enumerate(items)}, ""
        if items is None:
            return {}, ""
        find = self._finder(values)
        spoken: dict[int, list[Any]] = {}
        stray = 0
        for name, item in items.items() if isinstance(items, dict) else ((None, item) for item in _list(items)):
            places = find(name, item)
            for at in [place for place in places if place is not None]:
                spoken.setdefault(at, []).append(item)
            stray += not places or None in places
        if not stray:
            return spoken, ""
        return spoken, f"{'1 item' if stray == 1 else f'{stray} items'} of it {'fits' if stray == 1 else 'fit'} no row"

    def _finder(self, values: Values) -> Callable[[Any, Any], list[int | None]]:
        """The positions of the rows of which an item speaks; None for what fits no row or more than one."""
        if self.match.index is not None:
            path, size = self.match.index, len(values)

            def by_index(name: Any, item: Any) -> list[int | None]:
                at = search(path, item)
                if isinstance(at, str) and at.strip().isdecimal() and len(at) < 10:
                    at = int(at)
                whole = isinstance(at, int) and not isinstance(at, bool)
                return [at] if whole and 0 <= at < size else []

            return by_index
        known: dict[str, list[int]] = {}
        for at, each in enumerate(values):
            known.setdefault(self.value_of(each), []).append(at)

        def named(name: Any, item: Any) -> list[int | None]:
            texts = [name] if self.match.name is not None else _list(search(self.match.item or "@", item))
            found = [[] if text is None else known.get(self._normal(text), []) for text in texts]
            return [places[0] if len(places) == 1 else None for places in found]

        return named

    def _of_item(self, item: Any, reply: Reply, row: int, values: Mapping[str, Any], mask: Mask) -> Outcome:
        said = Said(reply.status or 0, reply.headers, item)
        rule = self.rules.first(said, values)
        kept, lacks = kept_of(self.keep, item, reply.headers, values) if self.keep else ({}, "")
        if rule is None:
            if reply.by_rule is None or reply.by_rule.means != "items":
                return Outcome(row, reply.means, lacks and f"{lacks} for this row", kept)
            words = "the definition has no rule for what the answer says of this row"
            return Outcome(row, RowState.UNKNOWN, words, excerpt=_excerpt(item, mask))
        if rule.keep:
            kept |= kept_of(rule.keep, item, reply.headers, values)[0]
        if rule.means in ("done", "accepted"):
            why = lacks and f"{lacks} for this row" if rule.means == "done" else ""
            said_so = reason_by(rule, said, values, mask) if rule.reason is not None else ""
            return Outcome(row, _state(rule), "; ".join(filter(None, (said_so, why))), kept)
        body = _excerpt(item, mask)
        judged = by_rule(rule, said, body.encode(), self.definition, values=values, mask=mask)
        return Outcome(
            row,
            judged.means,
            judged.reason,
            kept,
            body,
            again=judged.means is RowState.WAITING and not judged.stop,
            counts=rule.means != "wait",
            pause_seconds=judged.pause_seconds,
            stop=judged.stop,
            ban=judged.ban,
        )


def _worst(outcomes: Sequence[Outcome]) -> Outcome:
    """What several items of one row come to. What any of them says to everybody under the limit stands."""
    if len(outcomes) == 1:
        return outcomes[0]
    worst = min(outcomes, key=lambda outcome: (_WORST.index(outcome.state), not outcome.counts))
    return replace(
        worst,
        pause_seconds=max(outcome.pause_seconds or 0.0 for outcome in outcomes) or None,
        stop=any(outcome.stop for outcome in outcomes),
        ban=any(outcome.ban for outcome in outcomes),
    )


def _is_empty(reply: Reply) -> bool:
    """Whether an answer is whole and has no body: it speaks of no row, which is no body that cannot be read."""
    said_so = reply.status in EMPTY or (reply.headers.get("content-length") or "").strip() == "0"
    return said_so and not reply.body


def _state(rule: Rule) -> RowState:
    return RowState.DONE if rule.means == "done" else RowState.ACCEPTED


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _excerpt(item: Any, mask: Mask) -> str:
    try:
        return shown(msgspec.json.encode(item, enc_hook=str).decode(), mask)[:MESSAGE_CHARACTERS]
    except (TypeError, ValueError, RecursionError):
        return ""


def adjusted(reply: Reply, outcomes: Sequence[Outcome]) -> Reply:
    """The reply with what its items say for everybody under the limit. Where all rows only wait, so does it."""
    waits = outcomes and all(outcome.state is RowState.WAITING for outcome in outcomes)
    if waits and reply.means in (RowState.DONE, RowState.ACCEPTED):
        reply = replace(reply, means=RowState.WAITING, reason=outcomes[0].reason)
    pauses = [outcome.pause_seconds for outcome in outcomes if outcome.pause_seconds]
    stop, ban = any(outcome.stop for outcome in outcomes), any(outcome.ban for outcome in outcomes)
    if not (pauses or stop or ban):
        return reply
    why = next(outcome.reason for outcome in outcomes if outcome.pause_seconds or outcome.stop or outcome.ban)
    pause = max([*pauses, reply.pause_seconds or 0.0]) or None
    return replace(reply, pause_seconds=pause, stop=reply.stop or stop, ban=reply.ban or ban, reason=why)
