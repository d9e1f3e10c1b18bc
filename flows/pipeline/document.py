"""A YAML file as plain values, with the line of every key.

ruamel.yaml reads the text into its tree of nodes, and a walk over the tree finds what YAML allows and a definition does
not: keys that stand twice, anchors (which can blow a small file up), tags, and quotes missing round a placeholder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError, MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from flows.pipeline.fault import Fault, Place, refusal

MOST_BYTES = 256 * 1024  # ten times what a definition of 500 columns takes
DEEPEST = 32


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


@dataclass(slots=True)
class Document:
    """What stands in one file: plain values, the line of each place, and the faults found in reading.

    `blank` has the places where nothing stands, not even the word null.
    """

    text: str
    data: Any = None
    lines: dict[Place, int] = field(default_factory=lambda: {(): 1})
    faults: list[Fault] = field(default_factory=list)
    blank: set[Place] = field(default_factory=set)

    def value(self, node: Node, place: Place) -> Any:
        """The plain value of a node; None where it is refused. Raises _Unreadable."""
        line = _line(node)
        self.lines.setdefault(place, line)
        if refused := _REFUSED.get(self.text[node.start_mark.index : node.start_mark.index + 1]):
            self.faults.append(Fault(place, refused, line))
            return None
        if isinstance(node, ScalarNode):
            text = _text(node)
            if _left_out(node):
                self.blank.add(place)
            return text if node.style else plain_value(text)
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        return [self.value(item, (*place, at)) for at, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in node.value:
            line = _line(key)
            if not isinstance(key, ScalarNode):
                raise _Unreadable(Fault(place, 'a key must be plain text; put "quotes" round {placeholders}', line))
            name = _text(key)
            inner = (*place, name)
            if name in made:
                self.faults.append(Fault(inner, f"stands here twice (first in line {self.lines[inner]})", line))
                continue
            self.lines[inner] = line
            made[name] = self.value(value, inner)
            if node.flow_style and len(node.value) == 1 and isinstance(value, ScalarNode) and _left_out(value):
                said = f'{{{name}}} without quotes is a YAML mapping; write "{{{name}}}"'
                self.faults.append(Fault(place, said, _line(node)))
        return made


_REFUSED = {
    "!": "tags (!…) are not used here; put text in quotes",
    "&": "anchors and aliases (& and *) are not used here; write the value out",
}


class _Unreadable(Exception):
    """Nothing after this fault can be trusted."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def parse(text: str, *, file: str = "") -> Document:
    """The document in `text`. Raises DefinitionError where nothing sensible can be read at all."""
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = DEEPEST + 1  # a value that is nested so deep is one more to it
    yaml.composer.warn_double_anchors = False  # they are refused
    document = Document(text)
    try:
        if (root := yaml.compose(text)) is not None:
            document.data = document.value(root, ())
    except MarkedYAMLError as exc:
        raise refusal([_syntax(exc, text)], file=file) from exc
    except YAMLError as exc:
        line = text[: getattr(exc, "position", 0)].count("\n") + 1
        raise refusal([Fault((), "holds a control character; remove it", line)], file=file) from exc
    except _Unreadable as exc:
        raise refusal([*document.faults, exc.fault], file=file) from exc
    return document


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _left_out(node: ScalarNode) -> bool:
    """Whether no value stands there at all, as in `{userId}`."""
    return not node.style and not node.value


_SURROGATE = re.compile("[\ud800-\udfff]")


def _text(node: ScalarNode) -> str:
    """A node's text, with pairs of surrogates as the characters that they stand for, as in JSON: `"\\ud83d\\ude00"`."""
    text = str(node.value)
    if text.isascii() or not _SURROGATE.search(text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        said = "holds half a character (a surrogate alone); write the character itself"
        raise _Unreadable(Fault((), said, _line(node))) from None


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


def _syntax(exc: MarkedYAMLError, text: str) -> Fault:
    mark = exc.problem_mark or exc.context_mark
    line = mark.line + 1 if mark else 1
    if isinstance(exc, MaxDepthExceededError):
        return Fault((), f"is nested deeper than {DEEPEST} levels", line)
    if isinstance(exc, ComposerError) and exc.context:
        return Fault((), "a second document begins here (---); one file describes one pipeline", line)
    there = (text.splitlines() or [""])[min(line, text.count("\n") + 1) - 1 : line]
    if "\\t" in str(exc.problem) or (there and there[0].lstrip(" ").startswith("\t")):
        return Fault((), "a tab in the indentation; YAML wants spaces", line)
    advice = "; put values with { } : # or quotes in them in quotes" if re.search(r"[{}:#'\"]", "".join(there)) else ""
    return Fault((), f"is not valid YAML: {exc.problem or exc.context}{advice}", line)
