"""What an answer would mean, in words for people and as an object for programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from flows.client.meaning import Meaning, OfRow, RuleAt
from flows.client.slowing import budget_in
from flows.pipeline.definition import Definition
from flows.pipeline.document import parse, read_text
from flows.pipeline.fault import Place, line_of
from flows.records import Outcome, RowState
from flows.words import duration

BUILT_IN = "no rule of the definition fits; what is built in decides"
UNREAD = "What it says of single rows is not told here: nobody has said which rows travelled."


def lines_of(path: Path) -> Mapping[Place, int]:
    """The line of each place of a definition file. Raises DefinitionError if it cannot be read."""
    return parse(read_text(path), file=str(path)).lines


def which(rule: RuleAt, lines: Mapping[Place, int], file: str = "") -> str:
    """Which rule: its number, its list and its line."""
    line = line_of(rule.place, lines)
    where = f" ({f'{file}:{line}' if file else f'line {line}'})" if line else ""
    return f"rule {rule.number} of {rule.of}{where}"


def whole(meaning: Meaning) -> str:
    """What the answer as a whole means, in a few words."""
    reply, rule = meaning.reply, meaning.rule
    if meaning.stays:
        return "asked again" if reply.means is RowState.WAITING else "nothing: the rows stay as they are"
    if meaning.goes_on:
        return f"step {meaning.step} is done" + (f"; step {meaning.then} comes next" if meaning.then else "")
    if meaning.halved:
        return "the request is refused as a whole: it goes out again in halves, until the bad row stands alone"
    if rule is not None and rule.rule.means not in ("done", reply.means.value):
        return rule.rule.means
    return reply.means.value


def limit_says(meaning: Meaning, definition: Definition) -> str:
    """What happens to everybody under the limit."""
    reply, name = meaning.reply, definition.limit_name
    if reply.renews:
        return "the token or session is renewed once for everybody; if the API says so again, the run stops"
    if reply.ban:
        return f"a ban: nothing is sent under the limit {name} until a person opens it (`rowrelay limits open {name}`)"
    if reply.stop:
        return "the run stops; other runs under this limit go on"
    if reply.pause_seconds is not None:
        again = "; if the API says so again after that, it is a ban" if reply.bans_if_again else ""
        seconds = reply.pause_seconds
        return (
            f"everybody under the limit {name} waits {f'{seconds:g} s' if seconds < 60 else duration(seconds)}{again}"
        )
    if (budget := budget_in(reply, definition.slow_by)) is not None:
        return f"{budget.words}: everybody under the limit {name} goes no faster than that"
    return "nothing changes for the limit"


def becomes(outcome: Outcome, meaning: Meaning, definition: Definition) -> str:
    """What becomes of a row."""
    if meaning.rule is not None and meaning.rule.rule.means == "waiting":
        return "is not there, so it goes out"
    if outcome.refused:
        return "goes out again in a smaller request"
    if outcome.state is RowState.WAITING:
        if not outcome.again:
            return "stays waiting"
        most = definition.retry.attempts
        return f"goes out again, at most {most} times" if outcome.counts else "goes out again; this was no attempt"
    if outcome.state is RowState.UNKNOWN and outcome.again:
        return "unknown; goes out again under the same idempotency key"
    return outcome.state.value


def by_which(each: OfRow, lines: Mapping[Place, int]) -> str:
    """By which rule a row's outcome is as it is; "" where the answer as a whole decides."""
    if not each.rules:
        return ""
    told = [which(rule, lines) if rule is not None else "no rule fits this item" for rule in each.rules]
    return "; ".join(dict.fromkeys(told))


def kept_in_words(kept: Mapping[str, Any]) -> str:
    """What is kept, by name: `contactId = 17`."""
    return ", ".join(f"{name} = {msgspec.json.encode(value, enc_hook=str).decode()}" for name, value in kept.items())


def as_object(meaning: Meaning, definition: Definition, lines: Mapping[Place, int], file: str) -> dict[str, Any]:
    """The same for programs."""
    reply = meaning.reply
    return {
        "pipeline": definition.name,
        "status": reply.status,
        "means": "stays" if meaning.stays else meaning.rule.rule.means if meaning.rule else reply.means.value,
        "rule": _rule(meaning.rule, lines, file),
        "reason": reply.reason,
        "step": meaning.step or None,
        "next_step": meaning.then or None,
        "halved": meaning.halved,
        "limit": {"name": definition.limit_name, "pause_seconds": reply.pause_seconds, "ban": reply.ban},
        "stop": reply.stop,
        "items_unread": meaning.unread,
        "rows": [_row(each, meaning.goes_on, lines, file) for each in meaning.rows],
    }


def _rule(rule: RuleAt | None, lines: Mapping[Place, int], file: str) -> dict[str, Any] | None:
    if rule is None:
        return None
    line = line_of(rule.place, lines)
    return {"list": rule.of, "number": rule.number, "file": file, "line": line, "means": rule.rule.means}


def _row(each: OfRow, goes_on: bool, lines: Mapping[Place, int], file: str) -> dict[str, Any]:
    outcome = each.outcome
    return {
        "row": each.row.row,
        "line": each.row.line,
        "state": None if goes_on else outcome.state.value,
        "reason": outcome.reason,
        "kept": outcome.kept,
        "again": outcome.again,
        "attempt": outcome.counts,
        "rules": [_rule(rule, lines, file) for rule in each.rules],
    }
