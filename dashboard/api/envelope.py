"""What all bodies of the HTTP API share: unknown fields are refused, every list is a page of one form."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from dashboard.api.problems import NotValid

T = TypeVar("T")


class Body(BaseModel):
    """Something sent to us: unknown fields are refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """Something that we send: a field is always there, also where it has a default."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class Page(Answer, Generic[T]):
    """Some of a list."""

    items: list[T]
    next: str | None = Field(
        default=None, description="Send this as `cursor` to get the next page. Null: there is no more"
    )


Cursor = Annotated[
    str,
    Query(description="`next` of the page before, with the same other parameters", max_length=500),
]


def cursor_of(*place: Any) -> str:
    """A place in a list as text that a client hands back as it is."""
    return urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def place_of(cursor: str, kind: type[T]) -> T | None:
    """The place that a cursor stands for, None for the beginning. Raises NotValid."""
    if not cursor:
        return None
    try:
        return msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
    except (msgspec.MsgspecError, binascii.Error, ValueError) as exc:
        raise NotValid(
            "`cursor` is not one that this list has given.",
            hint="Take `next` of the page before, and leave the other parameters as they were.",
        ) from exc
