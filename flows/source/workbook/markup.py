"""XML in pieces, within bounds: no document types, no entities of its own, no endless nesting."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from xml.parsers import expat

from flows.source.encoding import Refuse

_DEPTH = 256
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ENTITY = re.compile(r"&(?:(\w+)|#([0-9]+)|#x([0-9a-fA-F]+));|&")
CONTROL = re.compile("[\x00-\x08\x0b-\x1f]")  # not for XML, or, as a carriage return, not what it means
_HEX = re.compile(r"_x([0-9A-Fa-f]{4})_")

Start = Callable[[str, Mapping[str, str]], None]
End = Callable[[str], None]


class Odd(Exception):
    """Text that is not written as plainly as the quick way of reading it needs."""


@dataclass(frozen=True, slots=True)
class Element:
    """The beginning of an element: its name and attributes without prefixes, and the elements around it."""

    name: str
    attributes: Mapping[str, str]
    around: tuple[str, ...]

    def get(self, name: str) -> str:
        """An attribute; "" if it is not there."""
        return self.attributes.get(name, "")

    def within(self, name: str) -> bool:
        """Whether it stands right below an element of this name."""
        return bool(self.around) and self.around[-1] == name


class Markup:
    """Takes XML piece by piece and tells of elements and text. Names have no prefixes but where they are whole.

    Raises FileError.
    """

    def __init__(
        self,
        refuse: Refuse,
        start: Start,
        end: End,
        text: Callable[[str], None] | None = None,
        *,
        whole_names: bool = False,
    ) -> None:
        self._refuse, self._start, self._end, self._depth = refuse, start, end, 0
        self._whole_names = whole_names
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._finish
        self._parser.StartDoctypeDeclHandler = self._doctype
        if text is not None:
            self._parser.CharacterDataHandler = text

    def feed(self, block: bytes, *, last: bool = False) -> None:
        """Take the next piece."""
        try:
            self._parser.Parse(block, last)
        except expat.ExpatError as exc:
            raise self._refuse(f"is damaged: {exc}", hint="Copy it again, or save it anew.") from exc
        except (ValueError, UnicodeError) as exc:  # an encoding that is not known, a number that is none
            raise self._refuse("is damaged: its XML cannot be read", hint="Copy it again, or save it anew.") from exc

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEPTH:
            raise self._refuse(f"is nested deeper than {_DEPTH}, which no workbook is")
        if self._whole_names:
            self._start(name, attributes)
            return
        self._start(name.rpartition(":")[2], {key.rpartition(":")[2]: value for key, value in attributes.items()})

    def _finish(self, name: str) -> None:
        self._depth -= 1
        self._end(name if self._whole_names else name.rpartition(":")[2])

    def _doctype(self, *_: object) -> None:
        raise self._refuse("declares a document type or entities, which no workbook does")


def parsed(blocks: Iterable[bytes], refuse: Refuse) -> Iterator[Element]:
    """All elements of a document, as they begin."""
    found: list[Element] = []
    around: list[str] = []

    def start(name: str, attributes: Mapping[str, str]) -> None:
        found.append(Element(name, attributes, tuple(around)))
        around.append(name)

    def end(name: str) -> None:
        around.pop()

    markup = Markup(refuse, start, end)
    for block in blocks:
        markup.feed(block)
        yield from found
        found.clear()
    markup.feed(b"", last=True)


class Stretches:
    """The content of one element in stretches of whole inner ones, as text. `head`: all before it, and its own tag.

    Raises Odd before the first stretch where the document is not plain: another encoding, prefixes before names.
    """

    def __init__(self, blocks: Iterable[bytes], outer: str, inner: str, refuse: Refuse) -> None:
        self._blocks, self._refuse, self._outer = iter(blocks), refuse, outer
        self._opening = re.compile(rb"<%s(?: [^<>]*)?>" % outer.encode())
        self._closing, self._inner = f"</{outer}>".encode(), f"<{inner}".encode()
        self.head = self._tail = b""

    def __iter__(self) -> Iterator[str]:
        buffer = b""
        found = None
        while found is None:
            block = next(self._blocks, b"")
            buffer += block
            found = self._opening.search(buffer)
            if not block or (found is None and len(buffer) > 4 << 20) or not _utf8(buffer):
                raise Odd
        self.head, buffer = buffer[: found.end()], buffer[found.end() :]
        if found[0].endswith(b"/>"):
            self._tail = buffer
            return
        while (end := buffer.find(self._closing)) < 0:
            if (cut := buffer.rfind(self._inner)) > 0:
                yield self._text(buffer[:cut])
                buffer = buffer[cut:]
            block = next(self._blocks, b"")
            if not block:
                raise self._refuse("is damaged, or cut off", hint="Copy it again, or save it anew.")
            if len(buffer) > 64 << 20:
                raise self._refuse("has a row of more than 64 MB, which no workbook has")
            buffer += block
        if end:
            yield self._text(buffer[:end])
        self._tail = buffer[end:]

    def rest(self) -> Iterator[bytes]:
        """What comes behind it."""
        yield self._tail
        yield from self._blocks

    def _text(self, block: bytes) -> str:
        try:
            return block.decode()
        except UnicodeDecodeError as exc:
            raise self._refuse("is damaged: its text is not valid UTF-8", hint="Save it anew.") from exc


def _utf8(head: bytes) -> bool:
    found = re.search(rb"encoding=[\"']([^\"']+)", head[:200])
    return found is None or found[1].lower() in (b"utf-8", b"utf8")


def has_control(text: str) -> bool:
    """Whether it holds characters that XML does not allow, or a carriage return, which is not what it means."""
    return not text.isprintable() and CONTROL.search(text) is not None


def unescaped(text: str) -> str:
    """The text that XML means. Raises Odd for an entity that is not one of XML's own."""
    return _ENTITY.sub(_meant, text) if "&" in text else text


def _meant(found: re.Match[str]) -> str:
    name, decimal, hexadecimal = found.groups()
    if name in _ENTITIES:
        return _ENTITIES[name]
    try:
        return chr(int(decimal) if decimal else int(hexadecimal, 16))
    except (TypeError, ValueError, OverflowError) as exc:
        raise Odd from exc


def of_excel(text: str) -> str:
    """The text with the characters that Excel writes as _x000D_."""
    return _HEX.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text
