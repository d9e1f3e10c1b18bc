"""A whole answer of a stand-in API, before anything goes wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers beside those that describe the body."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()


def answer(status: int, value: Any, **headers: str) -> Answer:
    """An answer in JSON. Headers by name, `retry_after="2"` for Retry-After."""
    named = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return Answer(status, msgspec.json.encode(value), named)
