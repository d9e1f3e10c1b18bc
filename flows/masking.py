"""Secrets out of everything that people see: excerpts, reasons, previews, log lines."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from html.entities import codepoint2name
from typing import Any

DOTS = "••••"
NO_SECRET = "missing-secret"  # noqa: S105  in place of one that is not there, where nothing is sent: fit for a header
LEAST_OF_A_SECRET = 4  # so many first characters of a secret are recognised at the end of a text that was cut
LONGEST_ESCAPE = 12  # characters that one of a secret may be written with
BEGINS_AN_ESCAPE = ("\\", "%", "&")
MOST_LEARNT, MOST_BRIEF = 24, 1024  # tokens, each with its refresh token, and cookies; signatures
_PROBE = 10  # characters by which a signature is looked for


class Masker:
    """Replaces secrets in texts, also as they look percent-encoded, in HTML, in JSON, or in JSON inside of JSON.

    Whoever escapes more or less than we would is understood too (PHP writes `\\/`, Go `\\u0026`). What an API makes
    of a secret beyond that, such as its base64, is not known for it.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._stated, self._learnt = frozenset(secrets), deque[str](maxlen=MOST_LEARNT)
        self._brief = deque[tuple[str, str]](maxlen=MOST_BRIEF)
        self._compile()

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these too from now on: tokens, cookies. Of those that come and go the latest are hidden."""
        if new := [secret for secret in secrets if secret and secret not in self._learnt]:
            self._learnt.extend(new)
            self._compile()

    def learn_briefly(self, secret: str) -> None:
        """Hide this too for the next while: a signature, of which every request has another one."""
        probe = max(re.findall(r"[A-Za-z0-9]+", secret) or [""], key=len)[:_PROBE].lower()
        if len(probe) >= LEAST_OF_A_SECRET:
            self._brief.append((probe, secret))

    def _compile(self) -> None:
        longest_first = sorted({secret for secret in (*self._stated, *self._learnt) if secret}, key=len, reverse=True)
        forms = list(dict.fromkeys(form for secret in longest_first for form in _forms(secret)))
        self._pattern = re.compile("|".join(map("".join, forms)), re.IGNORECASE) if forms else None
        self._forms = [form for form in forms if len(form) > LEAST_OF_A_SECRET]

    def __bool__(self) -> bool:
        return self._pattern is not None or bool(self._brief)

    def text(self, text: str) -> str:
        """The text with dots for every secret, and for the first part of one if it ends in the middle of it."""
        if self._brief:
            for secret in self._brief_in(text):
                text = Masker([secret]).text(text)
        return self._without_half(self._without_whole(text)) if self._pattern else text

    def _brief_in(self, text: str) -> list[str]:
        folded = text.lower()
        return [secret for probe, secret in self._brief if probe in folded]

    def value(self, value: Any) -> Any:
        """A JSON value with dots for every secret in its strings, which are whole: what looks like a part stays."""
        if not self:
            return value
        if isinstance(value, str):
            return self._whole(value)
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        if isinstance(value, dict):
            return {self._whole(name): self.value(inner) for name, inner in value.items()}
        return value

    def _whole(self, text: str) -> str:
        if self._brief and (found := self._brief_in(text)):
            text = Masker(found).value(text)
        return self._without_whole(text)

    def _without_whole(self, text: str) -> str:
        return self._pattern.sub(DOTS, text) if self._pattern else text

    def _without_half(self, text: str) -> str:
        for form in self._forms:
            near = max(0, len(text) - LONGEST_ESCAPE * len(form))
            for begin in _compiled("".join(form[:LEAST_OF_A_SECRET])).finditer(text, near):
                if _ends_within(text, begin.end(), form[LEAST_OF_A_SECRET:]):
                    return text[: begin.start()] + DOTS
        return text


Form = tuple[str, ...]  # a pattern for each character of a secret


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _ends_within(text: str, at: int, form: Form) -> bool:
    """Whether the text, from there on, is the beginning of what the form says and nothing else."""
    for char in form:
        if not (found := _compiled(char).match(text, at)):
            break
        at = found.end()
    rest = text[at:]
    return not rest or (len(rest) < LONGEST_ESCAPE and rest.startswith(BEGINS_AN_ESCAPE) and rest[-1:] not in " ;")


def _forms(secret: str) -> tuple[Form, ...]:
    """The secret in each way of writing, each for the whole of it, so that no text makes the search slow."""
    ways: tuple[Callable[[str], str], ...] = (re.escape, _in_json, _in_json_in_json, _in_url, _in_html)
    return tuple(tuple(map(way, secret)) for way in ways)


def _in_json(char: str, *, backslashes: int = 2) -> str:
    if char == "\\":
        return rf"(?:\\{{{backslashes}}}|\\{{1,2}}u005c)"
    if char.isascii() and char.isalnum():
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    escaped = "".join(rf"\\{{1,2}}u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    short = {"\n": r"\\{1,2}n", "\t": r"\\{1,2}t"}.get(char) or (r"\\{0,3}" if char in "\"'/" else "") + re.escape(char)
    return f"(?:{short}|{escaped})"


def _in_json_in_json(char: str) -> str:
    return _in_json(char, backslashes=4)


def _in_url(char: str) -> str:
    if char.isascii() and char.isalnum():
        return char
    encoded = "".join(f"%(?:25){{0,2}}{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    return f"(?:{re.escape(char)}|{encoded}{'|[+]' if char == ' ' else ''})"


def _in_html(char: str) -> str:
    if char.isascii() and char.isalnum():
        return char
    named = {"'": "apos"}.get(char) or codepoint2name.get(ord(char))
    number = f"#0*{ord(char)}|#x0*{ord(char):x}"
    return f"(?:{re.escape(char)}|&(?:amp;)?(?:{number}{f'|{named}' if named else ''});)"
