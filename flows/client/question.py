"""What a request asks, for whoever reads its answer: the rules, and whether anything may have come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.pipeline.rules import NO_RULES, Rules


@dataclass(frozen=True, slots=True)
class Question:
    """A request as its answer has to be read. `values` are the row's; a request of many rows has none.

    `reads`: it changes nothing, so that of no answer and of a 5xx nothing follows. `items`: the answer has to be read
    whole, for what it says of single rows.
    """

    rules: Rules = NO_RULES
    values: Mapping[str, Any] | None = None
    reads: bool = False
    items: bool = False
    timeout_seconds: float = 2.0
