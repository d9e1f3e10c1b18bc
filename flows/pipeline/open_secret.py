"""Secrets that stand in the open: given by `${NAME}`, so that they would be stored with every run and shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from flows.masking import DOTS
from flows.pipeline.environment import variables
from flows.pipeline.fault import Fault, Place

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET = re.compile(
    "(access|api|app|auth|secret)?(key|token)s?|auth|authorization|bearer|cookies?|credentials?|jwt"
    "|passphrase|passwd|passwords?|pwd|secrets?",
    re.IGNORECASE,
)


def looks_secret(name: str) -> bool:
    """Whether a header, field or variable of this name holds a secret: `X-Api-Key`, `accessToken`, `DB_PASSWORD`."""
    return any(map(_SECRET.fullmatch, _WORD.findall(name)))


def open_secrets(data: Any) -> Iterator[Fault]:
    """The faults of a definition as it stands in its file, before anything is taken from the environment."""
    if isinstance(data, Mapping) and isinstance(batch := data.get("batch"), Mapping):
        yield from _within(batch.get("each"), ("batch", "each"), "")
    if isinstance(data, Mapping):
        yield from _of_auth(data.get("auth"), ("auth",))
    for place, request in _requests(data):
        for part in _PARTS:
            yield from _within(request.get(part), (*place, part), "")
        if isinstance(url := request.get("url"), str):
            yield from _faults(_path(url.partition("?")[0]), (*place, "url"), "")
            for pair in url.partition("?")[2].split("&"):
                name, _, value = pair.partition("=")
                yield from _faults(value, (*place, "url"), name)


_OF_AUTH = ("bearer", "client_secret", "refresh_token", "password", "private_key", "key", "extra", "claims", "headers")


def _of_auth(value: Any, place: Place) -> Iterator[Fault]:
    """The parts of `auth` that hold secrets, wherever they stand in it; its requests are among the others."""
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        if key in _OF_AUTH:
            yield from _within(inner, (*place, key), "" if isinstance(inner, Mapping) else str(key))
        elif key != "request":
            yield from _of_auth(inner, (*place, key))


_HOST = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?(?:\$\{[^}]*\}|[^/$]|\$(?!\{))*")
_PARTS = ("headers", "json", "form", "ndjson", "multipart", "text", "graphql")


def _requests(data: Any, place: Place = ()) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Every request of a definition, wherever it stands."""
    items = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        if key == "request" and isinstance(value, Mapping):
            yield (*place, key), value
        elif key in ("steps", "reconcile", "poll", "undo", "auth") or place[:1] in (("steps",), ("auth",)):
            yield from _requests(value, (*place, key))


def _path(address: str) -> str:
    """What stands behind the host. A variable in place of the host is none that holds a secret, whatever its name."""
    return _HOST.sub("", address, count=1)


def _within(value: Any, place: Place, name: str) -> Iterator[Fault]:
    """`name` is that of the field around the value."""
    if isinstance(value, str):
        yield from _faults(value, place, name)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _within(inner, (*place, key), str(key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _within(inner, (*place, at), name)


def _faults(text: str, place: Place, name: str) -> Iterator[Fault]:
    for variable in variables(text):
        if looks_secret(name) or looks_secret(variable):
            yield Fault(
                place,
                f"${{{variable}}} looks like a secret, and would be stored and shown as it is; "
                f"write ${{secret:{variable}}}, which is looked up in the same variable and shown nowhere",
            )
            return


def veiled(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved definition for people to see: dots for secrets that stand in it as they are."""
    return {
        key: _veiled_request(value)
        if key == "request" and isinstance(value, Mapping)
        else {**veiled(value), "each": _veiled(value["each"], "")}
        if key == "batch" and isinstance(value, Mapping) and "each" in value
        else veiled(value)
        if isinstance(value, Mapping)
        else [veiled(each) if isinstance(each, Mapping) else each for each in value]
        if isinstance(value, list)
        else value
        for key, value in definition.items()
    }


def _veiled_request(stated: Mapping[str, Any]) -> dict[str, Any]:
    request = dict(stated)
    for part in _PARTS:
        if part in request:
            request[part] = _veiled(request[part], "")
    path, mark, query = str(request["url"]).partition("?")
    pairs = (pair.partition("=") for pair in query.split("&"))
    request["url"] = path + mark + "&".join(name + equals + _veiled(value, name) for name, equals, value in pairs)
    return request


def _veiled(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return DOTS if value and "{" not in value and looks_secret(name) else value
    if isinstance(value, dict):
        return {key: _veiled(inner, str(key)) for key, inner in value.items()}
    return [_veiled(inner, name) for inner in value] if isinstance(value, list) else value
