"""`${NAME}` and `${NAME:-default}` in a definition, taken from the environment before anything else is looked at."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flows.pipeline.fault import Fault, Place, suggestion

_NAMED = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?", re.DOTALL)
SECRET = re.compile(r"secret:[A-Za-z_][A-Za-z0-9_.-]*")


def variables(text: str) -> Iterator[str]:
    """The names of the variables that a text takes from the environment; of one that is not well-formed, none."""
    try:
        named = [_NAMED.fullmatch(part) for part, inside in _split(text) if inside]
    except _Unresolved:
        return
    for found in named:
        if found:
            yield found["name"]
            yield from variables((found["default"] or "")[2:])


class EnvironmentText(str):
    """Text that holds a value from the environment: where a number or true/false is due, it is read as one."""

    __slots__ = ()


def resolve(data: Any, faults: list[Fault], environ: Mapping[str, str] = os.environ, place: Place = ()) -> Any:
    """`data` with every environment placeholder replaced; what cannot be replaced is left and added to `faults`."""
    if isinstance(data, dict):
        return {key: resolve(value, faults, environ, (*place, key)) for key, value in data.items()}
    if isinstance(data, list):
        return [resolve(value, faults, environ, (*place, at)) for at, value in enumerate(data)]
    if not isinstance(data, str) or "${" not in data:
        return data
    try:
        return _text(data, environ)
    except _Unresolved as exc:
        faults.append(Fault(place, str(exc)))
        return data


class _Unresolved(Exception):
    """A placeholder that cannot be replaced; the message says why."""


def _text(text: str, environ: Mapping[str, str]) -> str:
    parts = list(_split(text))
    if not any(inside for _, inside in parts):
        return text
    made = "".join(_lookup(part, environ) if inside else part for part, inside in parts)
    only_secrets = all(SECRET.fullmatch(part) for part, inside in parts if inside)
    return made if only_secrets else EnvironmentText(made)


def _split(text: str) -> Iterator[tuple[str, bool]]:
    """The text cut into (piece, whether it stood between `${` and its closing brace). `$${` is left alone."""
    done = 0
    while (start := text.find("${", done)) >= 0:
        if start > 0 and text[start - 1] == "$":
            yield text[done : start + 2], False
            done = start + 2
            continue
        yield text[done:start], False
        depth, end = 1, start + 2
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        if depth:
            raise _Unresolved("`${` without its closing brace; write $${ for the characters themselves")
        yield text[start + 2 : end - 1], True
        done = end
    yield text[done:], False


def _lookup(inside: str, environ: Mapping[str, str]) -> str:
    if SECRET.fullmatch(inside):
        return f"${{{inside}}}"  # stays: secrets are looked up when a request is built, and stored nowhere
    found = _NAMED.fullmatch(inside)
    if not found:
        raise _Unresolved(f"${{{inside}}} is no placeholder; write ${{NAME}}, ${{NAME:-default}} or ${{secret:NAME}}")
    name, default = found["name"], found["default"]
    if value := environ.get(name):
        return value
    if default is not None:
        return str(_text(default[2:], environ))
    similar = suggestion(name, sorted(environ))
    like = f" ({similar})" if similar.startswith("did") and name[:3] in similar else ""
    raise _Unresolved(f"the environment variable {name} is not set{like}; set it, or write ${{{name}:-default}}")
