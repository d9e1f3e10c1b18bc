"""Many rows in one request: how they are put together, and how the answer speaks of each."""

from __future__ import annotations

import operator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from flows.pipeline.column import Bool, Int, Part, left_out
from flows.pipeline.expression import Expression
from flows.pipeline.request import Json
from flows.pipeline.rules import Missing, Rule

MOST_ROWS = 50_000


class Match(Part):
    """How an item of the answer finds its row. Without any of its keys: by its position."""

    index: Expression | None = Field(default=None, exclude_if=left_out)
    """Expression into the item that finds the position of its row in the request, counted from 0"""
    item: Expression | None = Field(default=None, exclude_if=left_out)
    """Expression into the item that finds what was sent; compared as text with `row`"""
    row: str | None = Field(default=None, exclude_if=left_out)
    """What the row has there, e.g. "{email}\""""
    ignore_case: Bool = Field(default=False, exclude_if=operator.not_)
    """true: compared without regard to case"""
    name: str | None = Field(default=None, exclude_if=left_out)
    """The items are an object; the name under which a row's item stands, e.g. "{idempotency_key}\""""

    @property
    def by_position(self) -> bool:
        """Whether the n-th item is the n-th row's."""
        return self.index is None and self.item is None and self.name is None

    @property
    def text(self) -> str:
        """The template of what a row is found by; "" where it has none."""
        return self.name or self.row or ""


def _position(data: Any) -> Any:
    if isinstance(data, str) and data != "position":
        raise ValueError("must be position, {index: …}, {item: …, row: …} or {name: …}")
    return {} if data == "position" else data


Matching = Annotated[Match, BeforeValidator(_position, json_schema_input_type=Match | Literal["position"])]


class Batch(Part):
    """How many rows travel in one request, and what the answer says of each."""

    rows: Annotated[Int, Field(ge=1, le=MOST_ROWS)]
    """Most rows of one request"""
    bytes: Annotated[Int, Field(ge=1, le=1 << 30)] | None = Field(default=None, exclude_if=left_out)
    """Most bytes of its body"""
    each: Json = Field(default=None, exclude_if=left_out)
    """One row's part of the JSON body. Default: all columns"""
    puts: Literal["list", "object"] = Field(default="list", alias="as")
    """list: the parts stand in a list. object: they are merged into one object"""
    items: Expression | None = Field(default=None, exclude_if=left_out)
    """Expression that finds what the answer says of single rows. None: one outcome for all"""
    match: Matching | None = Field(default=None, exclude_if=left_out)
    """position, {index: …}, {item: …, row: "{column}"} or {name: "{column}"}"""
    keep: dict[str, Expression] = Field(default={}, exclude_if=operator.not_)
    """Name in the results → expression into the row's item"""
    answers: list[Rule] = Field(default=[], exclude_if=operator.not_)
    """Rules on one item"""
    missing: Missing = "unknown"
    """What becomes of rows that no item speaks of: unknown, done, failed or retry"""
    refused: Literal["split", "fail"] = "split"
    """The whole batch is refused: split it until the bad row stands alone, or fail all its rows"""

    @model_validator(mode="before")
    @classmethod
    def _none(cls, data: Any) -> Any:
        return (
            {key: value for key, value in data.items() if not (key == "items" and value is None)}
            if isinstance(data, dict)
            else data
        )
