"""What an API says in its own words when it refuses: found in the shapes that APIs use, a line of text. Pure.

Known are RFC 9457 (`detail`, `title`), `message`, `error` as text or object, lists and objects of `errors` with the
field that each is about (JSON:API, Spring, Rails, Laravel, FastAPI, GraphQL, HubSpot, SendGrid, Twilio).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

MOST = 3  # messages of one answer
_DEEPEST = 5
_TEXTS = ("detail", "message", "error_description", "errorMessage", "error_message", "msg", "description", "title")
_CODES = ("reason", "code", "error", "status")  # what is said where there is no sentence
_ABOUT = ("field", "path", "loc", "location", "pointer", "property", "propertyName", "param", "parameter", "name")
_INNER = (
    "errors", "error", "detail", "details", "validation", "violations", "fieldErrors", "field_errors", "invalid-params",
    "invalidParams", "issues", "problems", "messages", "errorMessages", "non_field_errors", "fault",
)  # fmt: skip


def message_of(answer: Any) -> str:
    """What a JSON value says is wrong, the first few things of it; empty where it says nothing that is known."""
    return "; ".join(islice(dict.fromkeys(_messages(answer, within=False, deep=0)), MOST))


def _messages(value: Any, *, within: bool, deep: int) -> Iterator[str]:
    """`within`: this is a list or an object of faults, so that its texts are messages and its names are fields."""
    if deep > _DEEPEST:
        return
    if isinstance(value, str):
        if within and value.strip():
            yield value.strip().removesuffix(".")
    elif isinstance(value, list):
        for item in value:
            yield from _messages(item, within=within or isinstance(item, dict), deep=deep + 1)
    elif isinstance(value, dict):
        yield from _of_object(value, within=within, deep=deep)


def _of_object(value: dict[str, Any], *, within: bool, deep: int) -> Iterator[str]:
    said = _first(value, _TEXTS)
    inner = [message for name in _INNER for message in _inner(value.get(name), deep)]
    inner = [message for message in dict.fromkeys(inner) if message != said]
    if said or inner:
        yield from inner  # first, as what stands above them says less: "Validation failed"
        about = _about(value) if said and within else ""
        yield from [f"{about}: {said}" if about else said] if said else []
        return
    if code := _first(value, _CODES):
        yield code
    elif within:
        for name, found in value.items():
            for message in _messages(found, within=True, deep=deep + 1):
                yield f"{name}: {message}"


def _inner(value: Any, deep: int) -> list[str]:
    return [] if isinstance(value, str) else list(_messages(value, within=True, deep=deep + 1))


def _first(value: dict[str, Any], names: tuple[str, ...]) -> str:
    found = (value.get(name) for name in names)
    return next((text.strip().removesuffix(".") for text in found if isinstance(text, str) and text.strip()), "")


def _about(value: dict[str, Any]) -> str:
    """The field that a message is about."""
    source = value.get("source")
    for place in (value, source) if isinstance(source, dict) else (value,):
        for name in _ABOUT:
            match place.get(name):
                case str(text) if text.strip():
                    return text.strip()
                case [*steps] if steps and all(isinstance(step, str | int) for step in steps):
                    return ".".join(map(str, steps))
    return ""
