"""What an API says in its own words when it refuses: found in the shapes that APIs use, a line of text. Pure.

Known are RFC 9457 (`detail`, `title`, `invalid-params`), `message` and `error` as text, list or object, and lists and
objects of `errors` with the field that each is about (JSON:API, Spring, Rails, Laravel, FastAPI, NestJS, JSend,
GraphQL, GitHub, HubSpot, SendGrid, Twilio).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

MOST = 3  # messages of one answer
_DEEPEST = 5
_TEXTS = (
    "detail", "message", "error_description", "errorMessage", "error_message", "msg", "reason", "description", "title",
)  # fmt: skip
_CODES = ("error", "code")  # what is said where there is no sentence
_ABOUT = ("field", "path", "loc", "location", "pointer", "property", "propertyName", "param", "parameter", "name")
_OF_A_FAULT = ("message", "msg", "detail", "code", "reason", "field", "path", "loc", "pointer", "property", "param")
_INNER = (
    "errors", "error", "message", "detail", "details", "validation", "violations", "fieldErrors", "field_errors",
    "invalid-params", "invalidParams", "issues", "problems", "messages", "errorMessages", "non_field_errors", "fault",
)  # fmt: skip

Mask = Callable[[str], str]


def message_of(answer: Any, mask: Mask = str) -> str:
    """What a JSON value says is wrong, the first few things of it; empty where it says nothing that is known.

    `mask` hides secrets in each text, as it was said.
    """
    found = dict.fromkeys(_messages(answer, mask, within=False, deep=0))
    return "; ".join(islice(found, MOST))


def _messages(value: Any, mask: Mask, *, within: bool, deep: int) -> Iterator[str]:
    """`within`: this is a list or an object of faults, so that its texts are messages and its names are fields."""
    if deep > _DEEPEST:
        return
    if isinstance(value, str):
        if within and value.strip():
            yield _said(value, mask)
    elif isinstance(value, list):
        for item in value:
            yield from _messages(item, mask, within=within or isinstance(item, dict), deep=deep + 1)
    elif isinstance(value, dict):
        yield from _of_object(value, mask, within=within, deep=deep)


def _of_object(value: dict[str, Any], mask: Mask, *, within: bool, deep: int) -> Iterator[str]:
    if within and _is_by_field(value):
        for name, found in value.items():
            for message in _messages(found, mask, within=True, deep=deep + 1):
                yield f"{name}: {message}"
        return
    said = _first(value, _TEXTS, mask)
    inner = [message for name in _INNER for message in _inner(name, value, mask, deep)]
    if value.get("status") == "fail":  # JSend: what failed, by field
        inner += _messages(value.get("data"), mask, within=True, deep=deep + 1)
    inner = [message for message in dict.fromkeys(inner) if message != said]
    yield from inner  # first, as what stands above them says less: "Validation failed"
    if said := said or ("" if inner else _first(value, _CODES, mask)):
        about = _about(value, mask) if within else ""
        yield f"{about}: {said}" if about else said


def _is_by_field(value: dict[str, Any]) -> bool:
    """Whether the names of an object of faults are fields: it holds texts alone, and no name of a fault's own parts."""
    texts = all(
        isinstance(found, str) or (isinstance(found, list) and all(isinstance(each, str) for each in found))
        for found in value.values()
    )
    return bool(value) and texts and not any(name in value for name in _OF_A_FAULT)


def _inner(name: str, value: dict[str, Any], mask: Mask, deep: int) -> list[str]:
    found = value.get(name)
    if isinstance(found, str):
        return [_said(found, mask)] if name == "errors" and found.strip() else []
    return list(_messages(found, mask, within=True, deep=deep + 1))


def _first(value: dict[str, Any], names: tuple[str, ...], mask: Mask) -> str:
    found = (value.get(name) for name in names)
    return next((_said(text, mask) for text in found if isinstance(text, str) and text.strip()), "")


def _said(text: str, mask: Mask) -> str:
    return mask(text.strip()).removesuffix(".")


def _about(value: dict[str, Any], mask: Mask) -> str:
    """The field that a message is about."""
    source = value.get("source")
    for place in (value, source) if isinstance(source, dict) else (value,):
        for name in _ABOUT:
            match place.get(name):
                case str(text) if text.strip():
                    return mask(text.strip())
                case [*steps] if steps and all(isinstance(step, str | int) for step in steps):
                    return mask(".".join(map(str, steps)))
    return ""
