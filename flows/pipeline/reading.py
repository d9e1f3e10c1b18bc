"""From a definition file, or what a run stored of one, to a sound Definition: every fault found in one go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from flows.pipeline.consistency import faults as consistency_faults
from flows.pipeline.definition import Definition
from flows.pipeline.document import parse, read_text
from flows.pipeline.environment import resolve
from flows.pipeline.fault import Fault, Place, in_words, nearest, refusal, unknown_key
from flows.pipeline.open_secret import open_secrets


def read(path: Path, environ: Mapping[str, str] = os.environ) -> Definition:
    """The definition in a file. Raises one DefinitionError with every fault."""
    file = str(path)
    document = parse(read_text(path), file=file)
    found = document.faults
    if document.data is None:
        raise refusal([*found, Fault((), "is empty; `rowrelay init` writes a definition to begin with")], file=file)
    if not isinstance(document.data, dict):
        raise refusal([*found, Fault((), "must be a mapping of keys such as `name:` and `columns:`", 1)], file=file)
    found += _unheard(list(open_secrets(document.data)), _places(found))
    unset: list[Fault] = []
    data = resolve(document.data, unset, environ)
    found += _unheard(unset, _places(found))
    found += _unheard(list(_without_value(data)), _places(found))
    return build(data, file=file, found=found, lines=document.lines)


def build(
    data: dict[str, Any],
    *,
    file: str = "",
    found: list[Fault] | None = None,
    lines: Mapping[Place, int] | None = None,
    stored: bool = False,
) -> Definition:
    """The definition that `data` makes. `found` are faults known before; `lines` where each place stands.

    One that is `stored` was judged when its run began. Only what depends on the machine is looked at: whether its model
    can be imported.
    """
    faults = list(found or [])
    made, shape, hidden = _shape(data)
    faults += _unheard(shape, _places(faults))
    wrong = [fault for fault in consistency_faults(made) if not stored or fault.place[:1] == ("schema",)]
    faults += _unheard(wrong, _places(faults) | hidden)
    if faults:
        raise refusal(faults, file=file, lines=lines)
    return made


def _shape(data: dict[str, Any]) -> tuple[Definition, list[Fault], set[Place]]:
    """The definition as far as its shape allows, the faults of the shape, and the places that they hide.

    A section or a column with a fault is left out, so that what is wrong with the others is found in the same go.
    """
    try:
        return Definition.model_validate(data, context=_SHAPE), [], set()
    except ValidationError as exc:
        errors = [(error, _place(error["loc"])) for error in exc.errors(include_url=False)]
    # What an unknown key misspells is not called missing as well.
    meant = {
        (*place[:-1], nearest(str(place[-1]), _keys(_model_at(place[:-1]))))
        for error, place in errors
        if error["type"] == "extra_forbidden"
    }
    faults = [_fault(error, place) for error, place in errors if error["type"] != "missing" or place not in meant]
    hidden = {place[: 2 if place[0] == "columns" else 1] for place in meant.union(place for _, place in errors)}
    columns = data.get("columns")
    known = {key: value for key, value in data.items() if (key,) not in hidden}
    if isinstance(columns, dict) and "columns" in known:
        known["columns"] = {
            name: _COLUMN if ("columns", name) in hidden else column for name, column in columns.items()
        }
    return Definition.model_validate(_LEAST | known, context=_SHAPE), faults, hidden


_SHAPE = {"shape_only": True}
_COLUMN = {"type": "str"}
_LEAST = {
    "name": "x",
    "request": {"url": "https://api.example.invalid/"},
    "limit": {"name": "x", "in_flight": 1},
}


def _place(loc: tuple[str | int, ...]) -> Place:
    return tuple(part for part in loc if part != "[key]")


def _fault(error: Any, place: Place) -> Fault:
    if error["type"] != "extra_forbidden":
        return in_words(error, place)
    return unknown_key(place, _keys(_model_at(place[:-1])), _ELSEWHERE)


def _places(known: list[Fault]) -> set[Place]:
    return {fault.place[:-1] if fault.place[-1:] == ("type",) else fault.place for fault in known}


def _unheard(new: list[Fault], places: set[Place]) -> list[Fault]:
    """Those of `new` that are not the mere consequence of a fault at the same place or around it."""
    return [fault for fault in new if not any(fault.place[:size] in places for size in range(1, len(fault.place) + 1))]


def _without_value(data: Any, place: Place = ()) -> Iterator[Fault]:
    """Keys with nothing behind them: left empty by mistake, and never to be taken for a default."""
    if place[:2] in (("request", "json"), ("request", "form")) and len(place) > 2:
        return  # null is JSON
    if data is None:
        yield Fault(place, "has no value; give it one, or leave the key out")
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from _without_value(value, (*place, key))


def _keys(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _model_at(place: Place) -> type[BaseModel] | None:
    """The model whose keys are valid at a place, if one is."""
    current: Any = Definition
    for part in place:
        if isinstance(current, type) and issubclass(current, BaseModel):
            named = {field.alias or name: field for name, field in current.model_fields.items()}
            current = named[str(part)].annotation if part in named else None
        else:
            current = next(iter(get_args(current)[-1:]), None)
        if get_origin(current) in (Union, UnionType):
            current = next(option for option in get_args(current) if option is not type(None))
        if hasattr(current, "__metadata__"):
            current = get_args(current)[0]
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


_SECTIONS = ("request", "response", "limit", "retry", "ban", "source")
_ELSEWHERE: dict[str, str] = {
    key: section for section in reversed(_SECTIONS) for key in _keys(_model_at((section,))) if key != "name"
}
