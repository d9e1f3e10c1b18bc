"""A JSON file from beginning to end, in memory that does not grow: the lists in it, and the texts of their items."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from flows.source.encoding import Refuse
from flows.source.json_records import decode
from flows.source.quoting import MAX_CELL

BLOCK = 1 << 20
DEEPEST = 50  # objects within each other, outside the list of rows
SLOW, SLOWEST = 100, 10_000  # items that are taken one by one where many at once could not be; ever more of them
GUESSES = 4
PIECE = 1 << 16  # characters that are decoded at once, if an item ends there
MEND = "What follows is not certain: mend it there."
SEVERAL = "If records stand one below the other, write each in one line (jq -c .), or all in a list: [{…}, {…}]."
_BLANK = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r'[ \t\r\n]*,[ \t\r\n]*\{[ \t\r\n]*(?:"[^"\\]{0,100}"[ \t\r\n]*:)?')
_scan = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode  # of any length: only the end of a value matters


@dataclass(slots=True)
class Items:
    """Consecutive items of a list: their text with commas in between, and what it says, if it was decoded."""

    text: str
    decoded: list[Any] | None = None
    raws: list[str] = field(default_factory=list)

    def each(self) -> list[str]:
        """The text of each item."""
        if not self.raws:
            at = 0
            while at < len(self.text):
                end = _scan(self.text, at)[1]
                self.raws.append(self.text[at:end])
                at = _BLANK.match(self.text, _after_comma(self.text, end)).end()  # type: ignore[union-attr]
        return self.raws


class Walk:
    """Goes through the text of a JSON file once. Raises FileError with line and column where it is no JSON."""

    def __init__(self, blocks: Iterator[str], refuse: Refuse) -> None:
        self._blocks, self._refuse = blocks, refuse
        self._text, self._at = "", 0
        self._lines = 0  # line ends before the text
        self._line_start = 0  # where its first line begins, mostly before 0
        self._inside, self._between, self._slow = False, "", SLOW

    def lists(self, asked: str | None) -> Iterator[str]:
        """The path of each list of objects that is in no other list, or of the list that is asked for alone.

        Each is to be read by `items`, or is passed over.
        """
        yield from self._value((), asked)
        if self._peek():
            hint = SEVERAL if self._peek() == "{" else MEND
            self._wrong("other data behind its end", hint)

    def items(self) -> Iterator[Items]:
        """The items of the list that was found last, up to its end."""
        while self._inside:
            if (many := self._many()) is not None:
                yield many
                continue
            raws: list[str] = []
            while self._inside and len(raws) < (self._slow if self._between else 2):
                raws.append(self._item())
            yield Items("", None, raws)

    def _value(self, path: tuple[str, ...], asked: str | None) -> Iterator[str]:
        char = self._peek()
        if char == "{" and len(path) < DEEPEST:
            self._at += 1
            closed = self._closed("}")
            while not closed:
                name = self._scalar('"')[0]
                self._take(":")
                yield from self._value((*path, name), asked)
                closed = self._take(",}") == "}"
        elif char == "[":
            self._at += 1
            self._inside, self._between = not self._closed("]"), ""
            name = ".".join(path)
            if name == asked or (asked is None and self._inside and self._peek() == "{"):
                yield name
            for _ in self.items():
                pass
        else:
            self._scalar("")

    def _item(self) -> str:
        """The text of the next item, and over the comma or the end behind it."""
        raw = self._scalar("")[1]
        if raw.endswith("}") and (found := _BETWEEN.match(self._text, self._at)):
            self._between = "}" + found[0]
        if self._take(",]") == "]":
            self._inside = False
        return raw

    def _many(self) -> Items | None:
        """As many items as are there, by a guess where the last of them ends that decoding confirms."""
        if not self._between or self._peek() != "{":
            return None
        while len(self._text) - self._at < BLOCK and self._more():
            pass
        last = self._at + PIECE
        if self._text.rfind(self._between, self._at, last) < 0:
            last = len(self._text)
        for _ in range(GUESSES):
            if (last := self._text.rfind(self._between, self._at, last)) < 0:
                break
            text = self._text[self._at : last + 1]
            with suppress(ValueError):
                decoded = decode(f"[{text}]")
                self._at, self._slow = self._text.index("{", last + 1), SLOW
                return Items(text, decoded)
        self._slow = min(4 * self._slow, SLOWEST)
        return None

    def _scalar(self, first: str) -> tuple[Any, str]:
        """The next value, whatever it is, and its text; `first`: what it must begin with."""
        if not self._peek().startswith(first):
            self._wrong(f"{first} is missing")
        while True:
            try:
                value, end = _scan(self._text, self._at)
            except json.JSONDecodeError as exc:
                self._go_on(exc)
            except RecursionError:
                self._wrong("values that are nested too deep")
            else:
                if end < len(self._text) or not self._more():  # else a number may go on
                    raw, self._at = self._text[self._at : end], end
                    return value, raw

    def _peek(self) -> str:
        """The next character that is not blank; none at the end."""
        while True:
            self._at = _BLANK.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _take(self, chars: str) -> str:
        char = self._peek()
        if not char or char not in chars:
            self._wrong(" or ".join(chars) + " is missing")
        self._at += 1
        return char

    def _closed(self, char: str) -> bool:
        if self._peek() != char:
            return False
        self._at += 1
        return True

    def _more(self) -> bool:
        """Add the next block, and forget what lies behind."""
        if (block := next(self._blocks, None)) is None:
            return False
        gone = self._text[: self._at]
        if ends := gone.count("\n"):
            self._lines += ends
            self._line_start = gone.rfind("\n") + 1
        self._line_start -= self._at
        self._text, self._at = self._text[self._at :] + block, 0
        return True

    def _go_on(self, exc: json.JSONDecodeError) -> None:
        """Read on where a value may only seem wrong because it is not there to its end."""
        unclosed = exc.msg.startswith("Unterminated")
        if unclosed or exc.pos >= len(self._text) - 10:
            if len(self._text) - self._at > MAX_CELL:
                self._wrong(f"a value that is longer than {MAX_CELL:,} characters")
            if self._more():
                return
            if unclosed or exc.pos >= len(self._text.rstrip()):
                self._cut()
        self._at = exc.pos
        self._wrong(f"a mistake: {exc.msg[:1].lower()}{exc.msg[1:]}")

    def _wrong(self, what: str, hint: str = MEND) -> NoReturn:
        if self._at >= len(self._text) and "behind" not in what:
            self._cut()
        line, column = self._place()
        raise self._refuse(
            f"is no valid JSON: {what} (column {column:,})",
            line=line,
            hint=hint,
        )

    def _cut(self) -> NoReturn:
        raise self._refuse("is cut off: its JSON has no end", hint="Copy or download it again.")

    def _place(self) -> tuple[int, int]:
        before = self._text[: self._at]
        start = before.rfind("\n") + 1 if "\n" in before else self._line_start
        return self._lines + before.count("\n") + 1, self._at - start + 1


def _after_comma(text: str, at: int) -> int:
    found = text.find(",", at)
    return found + 1 if found >= 0 else len(text)
