"""A definition ready to be sent: its requests compiled, and the rules for the answer to each. Made once a client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from flows.client.items import Items
from flows.client.kept import is_altered
from flows.client.question import Question
from flows.client.request import build, filling
from flows.masking import Masker
from flows.pipeline.course import Step
from flows.pipeline.definition import Definition
from flows.pipeline.rendering import Rendering
from flows.pipeline.rules import Rules
from flows.pipeline.template import FromRow, Unsendable, pieces
from flows.records import Row


@dataclass(frozen=True, slots=True)
class CompiledStep:
    """One step: its request where it makes one."""

    step: Step
    rendering: Rendering | None
    rules: Rules
    needs: tuple[str, ...] = ()  # what earlier steps have to have kept for it: step.name


@dataclass(frozen=True, slots=True)
class Compiled:
    """What exchanges work with."""

    definition: Definition
    rendering: Rendering
    rules: Rules
    secrets: Mapping[str, str]
    masker: Masker
    items: Items | None = None
    steps: tuple[CompiledStep, ...] = ()
    report: Items | None = None  # of a job
    _asks: Mapping[str, tuple[Rendering, Rules]] = field(default_factory=dict, repr=False)
    _fixed: Question | None = field(default=None, repr=False)

    @classmethod
    def of(cls, definition: Definition, secrets: Mapping[str, str], *, hidden: Iterable[str] = ()) -> Compiled:
        """Compile a definition. `hidden`: what is not to be shown either. Raises TemplateError."""
        rules, batch = Rules.of(definition.answers), definition.batch
        rendering = Rendering.of(definition, None if definition.request is not None else definition.main)
        items = Items.of_batch(definition, batch) if batch is not None and batch.items is not None else None
        steps = tuple(
            CompiledStep(
                step,
                Rendering.of(definition, step.request) if step.request is not None else None,
                Rules.of(step.answers, definition.answers),
                _needs(definition, step),
            )
            for step in definition.steps
        )
        needs_values = any(rule.columns for rule in rules.rules)
        fixed = (
            None
            if needs_values
            else Question(rules, None, items=items is not None, timeout_seconds=rendering.timeout_seconds)
        )
        parts = {"reconcile": definition.reconcile, "poll": definition.poll}
        asks = {
            name: (Rendering.of(definition, part.request), Rules.of(part.answers))
            for name, part in parts.items()
            if part is not None
        }
        poll = definition.poll
        report = Items.of_report(definition, poll) if poll is not None and poll.items is not None else None
        masker = Masker([*secrets.values(), *hidden])
        return cls(definition, rendering, rules, dict(secrets), masker, items, steps, report, asks, fixed)

    def reconciliation(self, row: Row, own_key: str, kept: Mapping[str, Any]) -> httpx.Request:
        """The question about what became of a row. `own_key` is the key that went with it. Raises Unsendable."""
        rendering, rules = self._asks["reconcile"]
        if altered := [name for name in rendering.names if is_altered(kept.get(name))]:
            raise Unsendable(f"{', '.join(altered)} holds a secret or is too long, and is not stored as it was")
        request = build(rendering, row, key=own_key, secrets=self.secrets, more=kept)
        values = {**filling(row, own_key), **kept}
        request.extensions["question"] = Question(rules, values, reads=True, timeout_seconds=rendering.timeout_seconds)
        return request

    def poll(self, kept: Mapping[str, Any]) -> httpx.Request:
        """The question about a job. Raises Unsendable where its name was not kept."""
        rendering, rules = self._asks["poll"]
        if missing := [name for name in rendering.names if kept.get(name) in (None, "")]:
            raise Unsendable(f"the answer did not name the job: {', '.join(missing)} was not in it")
        if altered := [name for name in rendering.names if is_altered(kept[name])]:
            raise Unsendable(f"{', '.join(altered)} holds a secret or is too long, and is not stored as it was")
        request = build(rendering, Row(0, 0, dict(kept)), key="", secrets=self.secrets)
        request.extensions["question"] = Question(
            rules, kept, reads=True, items=self.report is not None, timeout_seconds=rendering.timeout_seconds
        )
        return request

    def question(self, values: Mapping[str, Any] | None) -> Question:
        """What the main request asks, for a row of these values."""
        if self._fixed is not None:
            return self._fixed
        return Question(
            self.rules, values, items=self.items is not None, timeout_seconds=self.rendering.timeout_seconds
        )


def _needs(definition: Definition, step: Step) -> tuple[str, ...]:
    """The kept values of other steps that stand in a step's request."""
    if step.request is None:
        return ()
    names = {each.name for each in definition.steps}
    found = (
        piece.column for _, text in step.request.templates() for piece in pieces(text) if isinstance(piece, FromRow)
    )
    return tuple(dict.fromkeys(name for name in found if name.partition(".")[0] in names and "." in name))
