"""The only gate to a Definition: from its file, from what a run has stored of it, or from another one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from flows.pipeline import consistency
from flows.pipeline.definition import Definition
from flows.pipeline.document import parse, read_text
from flows.pipeline.environment import resolve
from flows.pipeline.fault import Fault, Place, in_words, nearest, refusal, unknown_key
from flows.pipeline.open_secret import open_secrets
from flows.pipeline.request import BODIES
from flows.pipeline.secret_hosts import UNRESTRICTED, SecretHosts


def load(path: Path | str, *, environ: Mapping[str, str] = os.environ, hosts: SecretHosts = UNRESTRICTED) -> Definition:
    """The definition in a YAML file. Raises one DefinitionError that names what is wrong with it.

    `hosts`: where its secrets may go. A value of the wrong shape hides what else is wrong with its section or column;
    all other faults are named.
    """
    file = str(path)
    document = parse(read_text(Path(path)), file=file)
    faults = document.faults
    if document.data is None:
        raise refusal([*faults, Fault((), "is empty; `rowrelay init` writes a definition to begin with")], file=file)
    if not isinstance(document.data, dict):
        raise refusal([*faults, Fault((), "must be a mapping of keys such as `name:` and `columns:`", 1)], file=file)
    faults += _new_faults(open_secrets(document.data), _places(faults))
    unset: list[Fault] = []
    data = resolve(document.data, unset, environ)
    faults += _new_faults(unset, _places(faults))
    faults += _new_faults(_without_value(data, document.blank), _places(faults))
    made, wrong, hidden = _shape(data)
    faults += _new_faults(wrong, _places(faults))
    faults += _new_faults(consistency.faults(made), _places(faults) | hidden)
    faults += _new_faults(hosts.faults(made), _places(faults) | hidden)
    if faults:
        raise refusal(faults, file=file, lines=document.lines)
    return made


def from_resolved(data: Mapping[str, Any]) -> Definition:
    """The definition that `resolved` gave `data` of, in this version or an earlier one.

    It was judged when the run began and is not judged again: an earlier version may have allowed more. Raises
    DefinitionError if it cannot be read, or its pandera model cannot be imported here.
    """
    made, faults, _ = _shape(dict(data))
    if faults or (faults := list(consistency.model_faults(made))):
        raise refusal(faults, file=f"stored definition {data.get('name', '')}".strip())
    return made


def redirected(definition: Definition, url: str) -> Definition:
    """The same, sent to another address. Raises DefinitionError if the address will not do."""
    data = definition.resolved()
    if definition.request is None:
        why = Fault(("steps",), "have several addresses; change them in the definition")
        raise refusal([why], file="the address given")
    return _sibling(definition, data | {"request": data["request"] | {"url": url}}, file="the address given")


def with_limit_of(definition: Definition, other: Definition) -> Definition:
    """The same under the limit of `other`: a resumed run takes the limit's numbers afresh.

    Raises DefinitionError where the two do not go together.
    """
    data, theirs = definition.resolved(), other.resolved()
    kept = {key: value for key, value in data.items() if key not in _LIMITS}
    return _sibling(definition, kept | {key: theirs[key] for key in _LIMITS if key in theirs})


_LIMITS = ("limit", "limits")


def _sibling(definition: Definition, data: Mapping[str, Any], *, file: str = "") -> Definition:
    """What `data` makes, judged by what is new about it."""
    made, known = from_resolved(data), {fault.place for fault in consistency.faults(definition)}
    if new := [fault for fault in consistency.faults(made) if fault.place not in known]:
        raise refusal(new, file=file)
    return made


def _shape(data: dict[str, Any]) -> tuple[Definition, list[Fault], set[Place]]:
    """The definition as far as its shape allows, the faults of the shape, and the places that they hide.

    A section or a column with a fault is left out, so that what is wrong with the others is found in the same go.
    """
    try:
        return Definition.model_validate(data), [], set()
    except ValidationError as exc:
        errors = [(error, _place(error["loc"])) for error in exc.errors(include_url=False)]
    # What an unknown key misspells is not called missing as well.
    meant = {
        (*place[:-1], nearest(str(place[-1]), _keys(_model_at(place[:-1]))))
        for error, place in errors
        if error["type"] == "extra_forbidden"
    }
    faults = [_fault(error, place) for error, place in errors if error["type"] != "missing" or place not in meant]
    wrong = [place for _, place in errors] + [place for place in meant if place[0] not in data]
    hidden = {place[: 2 if place[0] == "columns" else 1] for place in wrong}
    columns = data.get("columns")
    known = {key: value for key, value in data.items() if (key,) not in hidden}
    if isinstance(columns, dict) and "columns" in known:
        known["columns"] = {
            name: _COLUMN if ("columns", name) in hidden else column for name, column in columns.items()
        }
    least = {key: value for key, value in _LEAST.items() if key != "request" or "steps" not in known}
    return Definition.model_validate(least | known), faults, hidden


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


def _new_faults(new: Iterable[Fault], places: set[Place]) -> list[Fault]:
    """Those of `new` that are not the mere consequence of a fault at the same place or around it."""
    return [fault for fault in new if not any(fault.place[:size] in places for size in range(1, len(fault.place) + 1))]


def _without_value(data: Any, blank: Set[Place], place: Place = ()) -> Iterator[Fault]:
    """Keys with nothing behind them: left empty by mistake, and never to be taken for a default."""
    if _is_within_body(place):
        return  # null is JSON
    if data is None and not (_may_be_null(place) and place not in blank):
        yield Fault(place, "has no value; give it one, or leave the key out")
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from _without_value(value, blank, (*place, key))


def _may_be_null(place: Place) -> bool:
    """Whether null is a word there, as long as it is written out."""
    if place[:1] == ("columns",):
        return place[2:] == ("other",) or (place[2:3] == ("map",) and len(place) == 4)
    return place == ("request", "empty")


def _is_within_body(place: Place) -> bool:
    """Whether what stands there is the user's own JSON, not a key of the language."""
    if place[:2] == ("batch", "each"):
        return len(place) > 2
    if "request" not in place:
        return False
    inner = place[place.index("request") + 1 :]
    return inner[:1] in [(kind,) for kind in BODIES] and len(inner) > 1 + (inner[0] == "graphql")


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
