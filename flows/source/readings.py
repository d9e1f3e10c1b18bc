"""How a file could be meant whose encoding nobody has said: the encodings that fit, and what is read with each."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from flows.records import Reading

COMMON = (
    "utf-8", "cp1252", "cp1250", "cp1251", "cp932", "gb18030", "big5", "cp949", "cp1253", "cp1254", "cp1257", "cp1255",
    "cp1256", "mac-roman", "koi8-r", "cp866", "cp850", "cp437",
)  # fmt: skip
EASTERN = {"cp932", "gb18030", "big5", "cp949"}  # their pairs of bytes fit almost any other text, too
OF_WINDOWS = {  # what is called so is mostly this
    "iso8859-1": "cp1252", "iso8859-15": "cp1252", "iso8859-2": "cp1250", "iso8859-5": "cp1251", "iso8859-6": "cp1256",
    "iso8859-7": "cp1253", "iso8859-8": "cp1255", "iso8859-9": "cp1254", "iso8859-13": "cp1257", "iso8859-4": "cp1257",
}  # fmt: skip
WINDOW = 1 << 15  # bytes on either side of a wrong one that a proposed encoding must fit
MOST = 6  # readings that are shown
LINES, LINE_CHARS = 4, 300  # of a reading
JUDGED_CHARS = 4000

_WORD = re.compile(r"[^\W\d_]+")
_SIGNS = {"So", "Sm", "Sk", "Sc", "No", "Lm", "Cf", "Co", "Cn"}
_AT_HOME = frozenset("°©®™§±²³½¼¾µ€£¥")  # signs that texts of many languages hold


def readings(head: bytes, data: bytes, at: int, refused: str) -> list[tuple[Reading, str]]:
    """How a file that begins with `head` reads in other encodings than `refused`, the likeliest first.

    `data` is the part with the wrong byte, which is the one `at`. Beside each reading stands the text at that place.
    Encodings that read the place alike count as one, under the name of the most common.
    """
    from charset_normalizer import from_bytes  # slow to import, and only ever needed here

    line = data.rfind(b"\n", 0, at) + 1
    last = data.rfind(b"\n", at, at + WINDOW) + 1  # not within a character of an encoding that is tried
    window = data[max(line, at - WINDOW) : last or at + WINDOW]
    likely = [match.encoding.replace("_", "-") for match in from_bytes(window)]
    order = [*(name for name in likely if name in COMMON), *COMMON]
    texts: dict[str, str] = {}
    for name in dict.fromkeys(order):
        try:
            text = window.decode(name)
        except UnicodeDecodeError:
            continue
        if name != refused and not re.search("[\x80-\x9f]", text):
            texts[name] = text
    alike: dict[str, list[str]] = {}
    for name in sorted(texts, key=lambda name: _strangeness(name, texts[name], refused)):
        place = data[max(line, at - 24) : at + 24].decode(name, errors="ignore").splitlines()[0]
        alike.setdefault(place, []).append(name)
    lines = _telling(head, data, line)
    found = [(min(names, key=COMMON.index), place) for place, names in alike.items()][:MOST]
    return [(Reading(name, _decoded(lines, name)), place) for name, place in found]


def of_text(text: str, encoding: str) -> Reading:
    """The one reading of a file that begins with this text."""
    return Reading(encoding, tuple(line[:LINE_CHARS] for line in text.splitlines()[:LINES]))


def _telling(head: bytes, data: bytes, line: int) -> list[bytes]:
    """The header, and the lines from the wrong byte on that are more than ASCII."""
    header = head.split(b"\n", 1)[0]
    following = data[line : line + WINDOW].split(b"\n")
    found = [each for each in following if not each.isascii() and each.strip() != header.strip()]
    return [header, *found[: LINES - 1]]


def _decoded(lines: Sequence[bytes], encoding: str) -> tuple[str, ...]:
    return tuple(line.decode(encoding, errors="ignore").rstrip("\r")[:LINE_CHARS] for line in lines)


def _strangeness(encoding: str, text: str, refused: str) -> float:
    """How odd a text looks in this encoding, by the words in it that are more than ASCII; 0 is not at all."""
    if encoding == OF_WINDOWS.get(refused):
        return -1
    beyond = [word for word in re.split(r"[\x00-\x40\[-`{-\x7f]+", text[:JUDGED_CHARS]) if not word.isascii()]
    odd = sum(map(_is_odd, beyond)) / len(beyond) if beyond else 0.0
    return round(odd, 1) + (0.05 if encoding in EASTERN else 0.0)


def _is_odd(word: str) -> bool:
    """Whether signs, letters of two scripts, or capitals behind small letters stand in a word."""
    if any(unicodedata.category(char) in _SIGNS and char not in _AT_HOME for char in word):
        return True
    for letters in _WORD.findall(word):
        if (
            len({unicodedata.name(char, "?").split()[0].split("-")[0] for char in letters} - {"HIRAGANA", "KATAKANA"})
            > 1
        ):
            return True
        if not letters.isascii() and _case_jumps(letters):
            return True
        if len(letters) > 3 and not re.search("[A-Za-z]", letters) and "LATIN" in unicodedata.name(letters[0], ""):
            return True  # nothing but accents
    return False


def _case_jumps(letters: str) -> bool:
    return any(one.islower() and two.isupper() for one, two in pairwise(letters))
