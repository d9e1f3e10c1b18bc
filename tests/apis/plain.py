"""Reads a definition and delivers rows by it, one request after another: a second reading of the language, to hold the
definitions, the stand-ins and the expectations against each other without the product.

It is no sender: it knows no limit, no time-out, no ledger, and only what the example definitions say.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import jmespath
from ruamel.yaml import YAML

from flows.pipeline.environment import resolve
from flows.pipeline.pipelines import examples_folder

HERE = examples_folder()
_PLACEHOLDER = re.compile(r"\{([\w.]+)\}")
Row = dict[str, Any]


@dataclass
class Outcome:
    """What became of one row."""

    state: str
    reason: str = ""
    kept: dict[str, Any] = field(default_factory=dict)


def definition(name: str, environ: Mapping[str, str]) -> Any:
    """An example definition as data, with its variables filled in."""
    faults: list[Any] = []
    data = resolve(YAML(typ="safe").load(HERE / f"{name}.yaml"), faults, environ)
    assert not faults
    return data


def filled(template: Any, values: Mapping[str, Any], *, url: bool = False) -> Any:
    """A template with its placeholders replaced. One that is alone keeps the type of its value."""
    if isinstance(template, dict):
        return {filled(key, values): filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, values) for value in template]
    if not isinstance(template, str):
        return template
    if (alone := _PLACEHOLDER.fullmatch(template)) and not url:
        return values[alone[1]]
    return _PLACEHOLDER.sub(lambda found: quote(str(values[found[1]])) if url else str(values[found[1]]), template)


def found(expression: str, body: Any, row: Mapping[str, Any] | None = None) -> Any:
    """What an expression finds in an answer; `{column}` stands for a literal. Null if it errs."""
    for name, value in (row or {}).items():
        literal = json.dumps(value).replace("`", "\\`")
        expression = expression.replace(f"{{{name}}}", f"`{literal}`")
    try:
        return jmespath.search(expression, body)
    except jmespath.exceptions.JMESPathError:
        return None


def true(value: Any) -> bool:
    """JMESPath's truth, in which 0 is true."""
    return value is not None and value is not False and value not in ("", [], {})


def _status_fits(wanted: Any, status: int) -> bool:
    if isinstance(wanted, list):
        return any(_status_fits(each, status) for each in wanted)
    return wanted == "any" or str(status) == str(wanted) or str(wanted) == f"{status // 100}xx"


def rule_for(rules: Sequence[Any], status: int, body: Any, *, item: bool = False) -> Any:
    """The first rule that fits, or nothing."""
    for rule in rules:
        fits = _status_fits(rule.get("status", "any" if item else "2xx"), status)
        if fits and ("when" not in rule or true(found(rule["when"], body))):
            return rule
    return None


def built_in(status: int) -> Any:
    """The rule for an answer that no rule of the definition fits."""
    if status == 429:
        return {"means": "wait", "seconds": 0}
    means = "done" if status < 300 else "ban" if status == 403 else "failed" if status < 500 else "unknown"
    return {"means": means, "reason": "message"}


class Plain:
    """One delivery by one definition."""

    def __init__(self, data: Any, http: httpx.Client) -> None:
        self.data, self.http = data, http
        self.outcomes: dict[int, Outcome] = {}
        self.requests = 0
        self._jobs: dict[Any, list[Row]] = {}

    def deliver(self, rows: Sequence[Row]) -> dict[int, Outcome]:
        """What became of each row, by its number."""
        size = self.data.get("batch", {}).get("rows", 1)
        todo = [{**row, "idempotency_key": f"key-{row['row']}"} for row in rows]
        while todo:
            parcel, todo = todo[:size], todo[size:]
            todo += self._steps(parcel[0]) if "steps" in self.data else self._send(parcel)
        for job, waiting in self._jobs.items():
            self._ask(job, waiting)
        return self.outcomes

    def _request(self, request: Any, values: Mapping[str, Any], parcel: Sequence[Row] = ()) -> tuple[int, Any]:
        self.requests += 1
        answer = self.http.request(
            request["method"], filled(request["url"], values, url=True), **self._body(request, values, parcel)
        )
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, None

    def _body(self, request: Any, values: Mapping[str, Any], parcel: Sequence[Row]) -> dict[str, Any]:
        batch = self.data.get("batch", {})
        if "ndjson" in request:
            lines = [json.dumps(filled(line, row)) for row in parcel for line in request["ndjson"]]
            return {"content": "\n".join(lines) + "\n", "headers": {"Content-Type": "application/x-ndjson"}}
        if "graphql" in request:
            variables = filled(request["graphql"]["variables"], values)
            return {"json": {"query": request["graphql"]["query"], "variables": variables}}
        if "each" in batch and parcel:
            parts = [filled(batch["each"], row) for row in parcel]
            together = {key: value for part in parts for key, value in part.items()} if "as" in batch else parts
            return {"json": filled(request.get("json", "{batch}"), {"batch": together})}
        return {"json": filled(request["json"], values)} if "json" in request else {}

    def _send(self, parcel: list[Row]) -> list[Row]:
        """Deliver a parcel; the rows that go again."""
        status, body = self._request(self.data["request"], parcel[0], parcel)
        rule = rule_for(self.data.get("answers", ()), status, body) or built_in(status)
        if rule["means"] == "failed" and len(parcel) > 1:
            half = len(parcel) // 2
            return self._send(parcel[:half]) + self._send(parcel[half:])
        if rule["means"] in ("done", "items") and "items" in self.data.get("batch", {}):
            return self._items(self.data["batch"], self.data["batch"].get("answers", ()), rule, body, parcel)
        return self._apply(rule, body, parcel)

    def _apply(self, rule: Any, body: Any, rows: Sequence[Row], keep: Mapping[str, str] | None = None) -> list[Row]:
        """Give rows the outcome of a rule; those that go again."""
        means = rule["means"]
        if means in ("retry", "wait"):
            seconds = rule.get("seconds", 0)
            time.sleep((found(seconds, body) if isinstance(seconds, str) else seconds) or 0)
            return list(rows)
        kept = {name: found(path, body) for name, path in {**(keep or {}), **rule.get("keep", {})}.items()}
        reason = rule.get("reason", "")
        for row in rows:
            self.outcomes[row["row"]] = Outcome(means, str(found(reason, body) or ""), kept)
        if means == "accepted":
            self._jobs.setdefault(kept["job"], []).extend(rows)
        return []

    def _items(self, told: Any, rules: Sequence[Any], whole: Any, body: Any, parcel: Sequence[Row]) -> list[Row]:
        """Give each row the outcome of its item; those that go again."""
        missing = whole.get("missing", told.get("missing", "unknown"))
        pairs = list(_matched(told["match"], found(told["items"], body), parcel))
        if any(row is None for row, _ in pairs):
            missing = "unknown"
        worst: dict[int, tuple[Any, Any]] = {}
        for row, item in pairs:
            if row is not None:
                otherwise = {"means": "unknown" if whole["means"] == "items" else "done"}
                rule = rule_for(rules, 200, item, item=True) or otherwise
                worst[row["row"]] = min(worst.get(row["row"], (rule, item)), (rule, item), key=_badness)
        again = []
        for row in parcel:
            rule, item = worst.get(row["row"], ({"means": missing}, None))
            again += self._apply(rule, item, [row], told.get("keep"))
        return again

    def _ask(self, job: Any, rows: list[Row]) -> None:
        poll = self.data["poll"]
        while True:
            status, body = self._request(poll["request"], {"job": job})
            rule = rule_for(poll["answers"], status, body) or {"means": "unknown"}
            if rule["means"] != "accepted":
                break
            time.sleep(0.02)
        if rule["means"] == "items":
            self._items(poll, poll["item_answers"], rule, body, rows)
        else:
            self._apply(rule, body, rows)

    def _steps(self, row: Row) -> list[Row]:
        values: dict[str, Any] = {"row": row}
        outcome = Outcome("failed", "no step fitted")
        for step in self.data["steps"]:
            if "when" in step and not true(found(step["when"], values)):
                continue
            if "request" not in step:
                self.outcomes[row["row"]] = Outcome(step["means"], step["reason"])
                return []
            flat = {f"{name}.{key}": kept for name, each in values.items() for key, kept in each.items()}
            status, body = self._request(step["request"], {**row, **flat})
            rule = rule_for(step.get("answers", ()), status, body) or built_in(status)
            if rule["means"] != "done":
                return self._apply(rule, body, [row])
            values[step["name"]] = {name: found(path, body) for name, path in step.get("keep", {}).items()}
            outcome.kept.update(values[step["name"]])
            outcome = Outcome("done", "", outcome.kept) if "when" in step else outcome
        self.outcomes[row["row"]] = outcome
        return []


def _badness(said: tuple[Any, Any]) -> int:
    return ("failed", "unknown", "retry", "wait", "accepted", "done").index(said[0]["means"])


def _matched(match: Any, items: Any, parcel: Sequence[Row]) -> Iterator[tuple[Row | None, Any]]:
    """Each item with its row, or with none."""
    if match == "position":
        fits = len(items) == len(parcel)
        yield from zip(parcel if fits else [None] * len(items), items, strict=True)
        return
    if "name" in match:
        named = {filled(match["name"], row): row for row in parcel}
        yield from ((named.get(name), item) for name, item in (items or {}).items())
        return
    for item in items or ():
        if "index" in match:
            at = found(match["index"], item)
            yield (parcel[at] if at < len(parcel) else None), item
            continue
        echoed = {_text(filled(match["row"], row), match): row for row in parcel}
        yield echoed.get(_text(found(match["item"], item), match)), item


def _text(value: Any, match: Any) -> str:
    text = str(value).strip()
    return text.lower() if match.get("ignore_case") else text
