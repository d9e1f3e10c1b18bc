"""A YAML file as plain values, with the line of every key.

Read event by event instead of by a YAML loader: so duplicate keys, anchors (which can blow a small file up), tags and
forgotten quotes round a placeholder are found, and a deeply nested file cannot exhaust the stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from flows.pipeline.fault import Fault, Place, refusal

MOST_BYTES = 256 * 1024  # ten times what a definition of 500 columns takes
DEEPEST = 32


@dataclass(slots=True)
class Document:
    """What stands in one file: plain values, the line of each place, and the faults found in reading."""

    data: Any = None
    lines: dict[Place, int] = field(default_factory=lambda: {(): 1})
    faults: list[Fault] = field(default_factory=list)


def read_text(path: Path) -> str:
    """The text of a definition file. Raises DefinitionError if it is no UTF-8 text file of a sensible size."""
    file = str(path)
    try:
        if not path.is_file():
            what = "is a folder, not a definition file" if path.is_dir() else "there is no such file"
            raise refusal([Fault((), what)], file=file)
        with path.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except OSError as exc:
        raise refusal([Fault((), f"cannot be read: {exc.strerror}")], file=file) from exc
    if len(raw) > MOST_BYTES:
        raise refusal([Fault((), f"is larger than {MOST_BYTES // 1024} kB: no pipeline definition")], file=file)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw[: exc.start].count(b"\n") + 1
        raise refusal([Fault((), "is not UTF-8 text; save it as UTF-8", line)], file=file) from exc


def parse(text: str, *, file: str = "") -> Document:
    """The document in `text`. Raises DefinitionError where nothing sensible can be read at all."""
    document = Document()
    try:
        _Builder(document).take(YAML(typ="safe", pure=True).parse(text))
    except MarkedYAMLError as exc:
        raise refusal([_syntax(exc, text)], file=file) from exc
    except YAMLError as exc:
        line = text[: getattr(exc, "position", 0)].count("\n") + 1
        raise refusal([Fault((), "holds a control character; remove it", line)], file=file) from exc
    except _Hopeless as exc:
        raise refusal([*document.faults, exc.fault], file=file) from exc
    return document


class _Hopeless(Exception):
    """Nothing after this fault can be trusted."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    place: Place
    line: int
    values: Any
    flow: bool = False
    key: str | None = None
    bare: bool = False  # the last value was left out entirely, as in `{userId}`
    ignored: bool = False  # below a key that is refused anyway


class _Builder:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.open: list[_Open] = []
        self.documents = 0
        self.refused: set[Place] = set()

    def take(self, events: Iterable[Event]) -> None:
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, DocumentStartEvent):
                self._start_document(line)
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                self._close()
            elif isinstance(event, AliasEvent):
                self._value(None, line, "anchors and aliases (& and *) are not used here; write the value out")
            elif isinstance(event, ScalarEvent):
                self._scalar(event, line)
            elif isinstance(event, MappingStartEvent | SequenceStartEvent):
                self._start(event, line)

    def _start_document(self, line: int) -> None:
        self.documents += 1
        if self.documents > 1:
            raise _Hopeless(Fault((), "a second document begins here (---); one file describes one pipeline", line))

    def _start(self, event: MappingStartEvent | SequenceStartEvent, line: int) -> None:
        if len(self.open) >= DEEPEST:
            raise _Hopeless(Fault((), f"is nested deeper than {DEEPEST} levels", line))
        self._plain(event, line)
        top = self.open[-1] if self.open else None
        if top and isinstance(top.values, dict) and top.key is None:
            raise _Hopeless(Fault(top.place, 'a key must be plain text; put "quotes" round {placeholders}', line))
        values: Any = {} if isinstance(event, MappingStartEvent) else []
        place = self._place()
        self._value(values, line)
        flow = bool(event.flow_style)
        ignored = bool(top and (top.ignored or place in self.refused))
        self.open.append(_Open(place, line, values, flow=flow, ignored=ignored))

    def _refuse(self, place: Place, message: str, line: int) -> None:
        if self.open and self.open[-1].ignored:
            return
        self.refused.add(place)
        self.document.faults.append(Fault(place, message, line))

    def _scalar(self, event: ScalarEvent, line: int) -> None:
        top = self.open[-1] if self.open else None
        text = whole_text(event.value, line)
        if top and isinstance(top.values, dict) and top.key is None:
            self._key(top, text, line)
            return
        self._plain(event, line)
        plain = bool(event.implicit[0])
        if top:
            top.bare = plain and text == ""
        self._value(plain_value(text) if plain else text, line)

    def _key(self, top: _Open, key: str, line: int) -> None:
        place = (*top.place, key)
        if key in top.values and not top.ignored:
            first = self.document.lines.get(place)
            self._refuse(place, f"stands here twice (first in line {first})", line)
        elif not top.ignored:
            self.document.lines[place] = line
        top.key = key

    def _plain(self, event: Any, line: int) -> None:
        what = "tags (!…) are not used here; put text in quotes" if event.tag else ""
        what = "anchors and aliases (& and *) are not used here; write the value out" if event.anchor else what
        if what:
            self._refuse(self._place(), what, line)

    def _place(self) -> Place:
        if not self.open:
            return ()
        top = self.open[-1]
        return (*top.place, len(top.values) if isinstance(top.values, list) else str(top.key))

    def _value(self, value: Any, line: int, refused: str = "") -> None:
        place = self._place()
        if refused:
            self._refuse(place, refused, line)
        if not self.open:
            self.document.data = value
            return
        top = self.open[-1]
        if isinstance(top.values, list):
            self.document.lines.setdefault(place, line)
            top.values.append(value)
        else:
            top.values.setdefault(top.key, value)
            top.key = None

    def _close(self) -> None:
        done = self.open.pop()
        if done.flow and done.bare and isinstance(done.values, dict) and len(done.values) == 1 and not done.ignored:
            name = next(iter(done.values))
            what = f'{{{name}}} without quotes is a YAML mapping; write "{{{name}}}"'
            self._refuse(done.place, what, done.line)


_SURROGATE = re.compile("[\ud800-\udfff]")
_INT = re.compile(r"[-+]?[0-9]{1,4000}|0x[0-9a-fA-F]{1,1000}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def plain_value(text: str) -> str | int | float | bool | None:
    """What unquoted text means in YAML 1.2. Dates stay text (a column's type decides), and `no` is no boolean."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text, 16 if "x" in text else 10)
    if _FLOAT.fullmatch(text):
        return float(text.replace(".", "", 1) if text[-1] in "fFnN" else text)
    return text


def whole_text(text: str, line: int) -> str:
    """The text with pairs of surrogates as the characters that they stand for, as in JSON: `"\\ud83d\\ude00"`."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise _Hopeless(
            Fault((), "holds half a character (a surrogate alone); write the character itself", line)
        ) from None


def _syntax(exc: MarkedYAMLError, text: str) -> Fault:
    mark = exc.problem_mark or exc.context_mark
    line = mark.line + 1 if mark else 1
    there = (text.splitlines() or [""])[min(line, text.count("\n") + 1) - 1 : line]
    if "\\t" in str(exc.problem) or (there and there[0].lstrip(" ").startswith("\t")):
        return Fault((), "a tab in the indentation; YAML wants spaces", line)
    advice = "; put values with { } : # or quotes in them in quotes" if re.search(r"[{}:#'\"]", "".join(there)) else ""
    return Fault((), f"is not valid YAML: {exc.problem or exc.context}{advice}", line)
