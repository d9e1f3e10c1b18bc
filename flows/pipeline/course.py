"""What a definition may ask beside its one request: steps, reconciliation, polling, undo."""

from __future__ import annotations

import operator
from typing import Annotated, Literal

from pydantic import Field

from flows.pipeline.batch import Matching
from flows.pipeline.column import Bool, Float, Part, left_out
from flows.pipeline.expression import Expression
from flows.pipeline.request import READING, Request
from flows.pipeline.rules import Missing, Rule


class Step(Part):
    """One of several requests of a row, in order; or an end that its `when` leads to."""

    name: str
    """How later steps call it: small letters, digits, underscores"""
    when: Expression | None = Field(default=None, exclude_if=left_out)
    """Expression over what steps have kept (`find.found`) and the row (`row.email`); without it always"""
    request: Request | None = Field(default=None, exclude_if=left_out)
    """The request of this step"""
    keep: dict[str, Expression] = Field(default={}, exclude_if=operator.not_)
    """Name → expression into this step's answer; later steps write {step.name}"""
    answers: list[Rule] = Field(default=[], exclude_if=operator.not_)
    """Rules on this step's answer, asked before the common ones; done means: go on"""
    writes: Bool | None = Field(default=None, exclude_if=left_out)
    """false: it only reads. Default: true, except for GET and HEAD"""
    means: Literal["done", "failed", "unknown"] | None = Field(default=None, exclude_if=left_out)
    """Instead of a request: how the row ends here"""
    reason: str | None = Field(default=None, exclude_if=left_out)
    """Why, in words"""

    @property
    def is_write(self) -> bool:
        """Whether its request may change something."""
        if self.request is None:
            return False
        return self.request.method not in READING if self.writes is None else self.writes


class Reconcile(Part):
    """How `unknown` rows are settled: by asking the API."""

    request: Request
    """A request that finds what the row would have made"""
    after_seconds: Annotated[Float, Field(ge=0, le=86_400)] = 10.0
    """How long a lost write may take to show"""
    answers: Annotated[list[Rule], Field(min_length=1)]
    """Rules on its answer; waiting means: it is not there, send it. None fits: it stays unknown"""


class Hours(Part):
    """How long."""

    hours: Annotated[Float, Field(gt=0, le=24 * 31)] = 24.0
    """Hours"""


class Poll(Part):
    """How rows that the API only accepted are asked about until it has decided."""

    request: Request
    """A request that asks about the job; {job} is what the first answer named and `keep` took"""
    every_seconds: Annotated[Float, Field(ge=1, le=86_400)] = 5.0
    """How long between two questions"""
    until: Hours = Hours()
    """How long it is asked; after that the rows are unknown"""
    answers: Annotated[list[Rule], Field(min_length=1)]
    """Rules on its answer; accepted means: not yet"""
    items: Expression | None = Field(default=None, exclude_if=left_out)
    """Expression that finds what the report says of single rows, where a rule says items"""
    match: Matching | None = Field(default=None, exclude_if=left_out)
    """How an item of the report finds its row, as in batch"""
    item_answers: list[Rule] = Field(default=[], exclude_if=operator.not_)
    """Rules on one item of the report"""
    keep: dict[str, Expression] = Field(default={}, exclude_if=operator.not_)
    """Name in the results → expression into the row's item, or the answer"""
    missing: Missing = "unknown"
    """What becomes of rows that no item of the report speaks of"""


class Undo(Part):
    """The request that takes back what a row has done."""

    request: Request
    """Its placeholders are what the results of the run have: columns and kept fields"""
    answers: list[Rule] = Field(default=[], exclude_if=operator.not_)
    """Rules on its answer"""
