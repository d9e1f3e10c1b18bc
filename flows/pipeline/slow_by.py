"""`slow_by` in a definition: the headers of answers that say how much may still be asked, and until when."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from flows.pipeline.column import Part, left_out
from flows.pipeline.fault import Fault, brief

STANDARD = "standard"
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class SlowBy(Part):
    """The names of two headers. Without any, those that are common."""

    remaining: str | None = Field(default=None, exclude_if=left_out)
    """Header that says how many requests remain"""
    reset: str | None = Field(default=None, exclude_if=left_out)
    """Header that says until when: seconds, milliseconds (NAME-Ms), Unix time, or a date"""

    @property
    def is_standard(self) -> bool:
        """Whether the common headers are read."""
        return self.remaining is None and self.reset is None


def _read(data: Any) -> Any:
    if data == STANDARD:
        return {}
    if not isinstance(data, dict | SlowBy):
        raise ValueError("must be standard, or {remaining: NAME, reset: NAME} with the names of two headers")
    return data


Slows = Annotated[SlowBy, BeforeValidator(_read, json_schema_input_type=SlowBy | Literal["standard"])]


def faults(slow_by: SlowBy | None) -> Iterator[Fault]:
    """What is wrong with it."""
    if slow_by is None or slow_by.is_standard:
        return
    for key, name in (("remaining", slow_by.remaining), ("reset", slow_by.reset)):
        if name is None:
            yield Fault(("slow_by", key), "is missing; what remains and until when go together")
        elif not _NAME.fullmatch(name):
            yield Fault(("slow_by", key), f"is no header name; letters, digits and hyphens (found {brief(name)})")
    if (slow_by.remaining or "").casefold() == (slow_by.reset or " ").casefold():
        yield Fault(("slow_by", "reset"), "names the same header as `remaining`")
