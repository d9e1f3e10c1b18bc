"""From a definition file, or what a run stored of one, to a sound Definition: every fault found in one go."""

from __future__ import annotations

import copy
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

_PASSES = 4  # shape, then what was left out, then what that laid open


def read(path: Path, environ: Mapping[str, str] = os.environ) -> Definition:
    """The definition in a file. Raises one DefinitionError with every fault."""
    file = str(path)
    document = parse(read_text(path), file=file)
    found = document.faults
    if document.data is None:
        raise refusal([*found, Fault((), "is empty; `rowrelay init` writes a definition to begin with")], file=file)
    if not isinstance(document.data, dict):
        raise refusal([*found, Fault((), "must be a mapping of keys such as `name:` and `columns:`", 1)], file=file)
    found += _unheard(list(open_secrets(document.data)), found)
    unset: list[Fault] = []
    data = resolve(document.data, unset, environ)
    found += _unheard(unset, found)
    found += _unheard(list(_without_value(data)), found)
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
    made, shape = _shape(data)
    faults += _unheard(shape, faults)
    if made is not None:
        wrong = (fault for fault in consistency_faults(made) if not stored or fault.place[:1] == ("schema",))
        faults += _unheard(list(wrong), faults)
    if faults or made is None:
        raise refusal(faults, file=file, lines=lines)
    return made


def _shape(data: dict[str, Any]) -> tuple[Definition | None, list[Fault]]:
    """The definition as far as its shape allows, and the faults of the shape.

    What is at fault is left out and the rest read again, so that faults between keys are found in the same go.
    """
    found: list[Fault] = []
    for _ in range(_PASSES):
        try:
            return Definition.model_validate(data, context={"shape_only": True}), found
        except ValidationError as exc:
            data = copy.deepcopy(data)
            errors = [(error, _place(error["loc"])) for error in exc.errors(include_url=False)]
            meant = {_meant(place) for error, place in errors if error["type"] == "extra_forbidden"}
            for error, place in errors:
                if error["type"] != "missing" or place not in meant:
                    found += _unheard([_fault(error, place)], found)
                _leave_out(data, place)
    return None, found


def _meant(place: Place) -> Place:
    """Where an unknown key should probably stand: what it misspells is not called missing as well."""
    return (*place[:-1], nearest(str(place[-1]), _keys(_model_at(place[:-1]))))


def _place(loc: tuple[str | int, ...]) -> Place:
    return tuple(part for part in loc if part != "[key]")


def _fault(error: Any, place: Place) -> Fault:
    if error["type"] != "extra_forbidden":
        return in_words(error, place)
    return unknown_key(place, _keys(_model_at(place[:-1])), _ELSEWHERE)


_STAND_INS: dict[Place, Any] = {
    ("name",): "x",
    ("request",): {"url": "https://api.example.invalid/"},
    ("request", "url"): "https://api.example.invalid/",
    ("limit",): {"name": "x", "in_flight": 1},
    ("limit", "name"): "x",
    ("limit", "windows"): [{"requests": 1, "seconds": 1.0}],
}

_ENTRIES: dict[Place, int] = {("response", "success"): 200, ("ban", "status"): 403}


def _leave_out(data: dict[str, Any], place: Place) -> None:
    """Take the value at `place` out, or put something harmless where it cannot be missing."""
    holder: Any = data
    for part in place[:-1]:
        if not _has(holder, part):
            return  # gone already, with another fault of the same entry
        holder = holder[part]
    last = place[-1]
    if (stand_in := _stand_in(place)) is not None:
        holder[last] = stand_in
    elif isinstance(holder, dict) and last in holder:
        del holder[last]
    elif len(place) > 1:  # something is missing, or an entry of a list is wrong: the whole of it has to go
        _leave_out(data, place[:-1])


def _has(holder: Any, part: str | int) -> bool:
    return part in holder if isinstance(holder, dict) else isinstance(holder, list) and isinstance(part, int)


def _stand_in(place: Place) -> Any:
    """Something harmless for a value that cannot be missing, or None where it can."""
    if place[0] == "columns" and len(place) in (2, 3):
        return {"type": "str"} if len(place) == 2 else "str" if place[2] == "type" else None
    if place[:2] == ("limit", "windows") and len(place) == 4:
        return {"requests": 1, "seconds": 1000.5 + int(place[2])}.get(str(place[3]))
    return copy.deepcopy(_STAND_INS.get(place, _ENTRIES.get(place[:-1])))


def _unheard(new: list[Fault], known: list[Fault]) -> list[Fault]:
    """Those of `new` that are not the mere consequence of a fault at the same place or around it."""
    places = {fault.place[:-1] if fault.place[-1:] == ("type",) else fault.place for fault in known}
    places.discard(())
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
