"""From bytes to text: which encoding a file is in, and where it is not."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flows.errors import FileError
from flows.source.readings import of_text, readings

Refuse = Callable[..., FileError]

MARKS = (  # longest first: the mark of UTF-32-LE begins with that of UTF-16-LE
    (codecs.BOM_UTF32_LE, "utf-32-le", "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "utf-32"),
    (codecs.BOM_UTF8, "utf-8", "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16"),
)
NO_FILES = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
HEAD = 1 << 16  # bytes of the file's beginning that are kept to show how it reads
LINE = re.compile(r'(?:[^"\r\n]++|"[^"]*+")*+')
CONTROL_8859 = re.compile(rb"[\x80-\x9f]")
CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b"))


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to read a file: the name to show, the codec for what follows the mark, and the mark's length."""

    name: str
    codec: str
    mark: int


def find(head: bytes, asked: str | None, refuse: Refuse) -> Encoding:
    """The encoding of a file that begins with `head`: the one of its byte order mark, the one asked for, or UTF-8.

    Raises FileError for an unknown name, for a mark that contradicts it, and for binary data.
    """
    name = _known(asked, refuse) if asked else None
    for mark, codec, general in MARKS:
        if head.startswith(mark):
            if name not in (None, codec, general):
                raise refuse(
                    f"begins with the mark of {codec}, but {name} was asked for", hint="Leave the encoding out."
                )
            return Encoding(codec, codec, len(mark))
    if name in ("utf-16", "utf-32"):
        raise refuse(
            f"has no byte order mark, so {name} does not say in which order its bytes come",
            hint=f"Ask for {name}-le or {name}-be.",
        )
    if name is None:
        _refuse_binary(head, refuse)
    return Encoding(name or "utf-8", "utf-8" if name in (None, "utf-8-sig") else name, 0)


def decode(blocks: Iterator[bytes], encoding: Encoding, refuse: Refuse) -> Iterator[str]:
    """The text of the blocks. Raises FileError naming the line of the first byte that is not valid."""
    decoder = codecs.getincrementaldecoder(encoding.codec)(errors="strict")
    lines, ends, head = 0, "", b""
    skip = encoding.mark
    block: bytes | None = b""
    while block is not None:
        block = next(blocks, None)
        try:
            text = decoder.decode((block or b"")[skip:], final=block is None)
            _refuse_control(block or b"", encoding)
        except UnicodeDecodeError as exc:
            before = exc.object[: exc.start].decode(encoding.codec, errors="replace")
            raise _invalid(exc, encoding, lines + before.count(ends or line_end(before)) + 1, head, refuse) from exc
        skip, head = 0, head or (block or b"")[:HEAD]
        if text:
            ends = ends or line_end(text)
            lines += text.count(ends)
            yield text


def line_end(text: str) -> str:
    """What ends the lines of a file that begins so: a line feed, or in a file of the old Mac kind a carriage return."""
    first = LINE.match(text)
    at = first.end() if first else 0
    if at == len(text):  # a quote is not closed, or there is but one line
        at = min((at for char in "\r\n" if (at := text.find(char)) >= 0), default=len(text))
    return "\r" if text[at : at + 1] == "\r" and text[at + 1 : at + 2] != "\n" else "\n"


def _refuse_control(block: bytes, encoding: Encoding) -> None:
    """ISO 8859 has control characters where Windows has its dashes, quotes and the euro; texts hold only the latter."""
    if encoding.codec.startswith("iso8859") and (found := CONTROL_8859.search(block)):
        raise UnicodeDecodeError(encoding.codec, block, found.start(), found.start() + 1, "no character of a text")


def _known(asked: str, refuse: Refuse) -> str:
    try:
        info = codecs.lookup(asked)
    except (LookupError, ValueError) as exc:
        raise refuse(
            f"{asked!r} is no encoding that is known here", hint="Common ones: utf-8, cp1252, utf-16."
        ) from exc
    if not getattr(info, "_is_text_encoding", True) or info.name.replace("-", "_") in NO_FILES:
        raise refuse(f"{asked!r} is no encoding of text files", hint="Common ones: utf-8, cp1252, utf-16.")
    return info.name


def _refuse_binary(head: bytes, refuse: Refuse) -> None:
    head = head[:HEAD]
    odd = len(head) - len(head.translate(None, delete=CONTROL))
    if odd <= max(1, 0.05 * len(head)):
        return
    for order in ("le", "be"):
        if text := _wide(head, order):
            name = f"utf-16-{order}"
            raise refuse(
                "looks like UTF-16 without a byte order mark, or is binary",
                hint=f"If it is text, ask for the encoding {name}.",
                readings=[of_text(text, name)],
            )
    raise refuse("is a binary file, not text", hint="Save it as CSV (UTF-8).")


def _wide(head: bytes, order: str) -> str:
    """The text if it is UTF-16 in this order: lines of characters that can be seen, of few alphabets; or nothing."""
    try:
        text = head[: len(head) // 2 * 2].decode(f"utf-16-{order}")
    except UnicodeDecodeError as exc:
        if exc.reason != "unexpected end of data":
            return ""
        text = head[: exc.start].decode(f"utf-16-{order}")
    seen = sum(char.isprintable() or char in "\t\r\n" for char in text)
    ends = text.count("\n") + text.count("\r")
    return (
        text if ends and "\0" not in text and seen > 0.99 * len(text) and len({ord(c) >> 8 for c in text}) < 40 else ""
    )


def _invalid(exc: UnicodeDecodeError, encoding: Encoding, line: int, head: bytes, refuse: Refuse) -> FileError:
    wrong = " ".join(f"0x{byte:02X}" for byte in exc.object[exc.start : max(exc.end, exc.start + 1)][:4])
    if exc.end == len(exc.object) and exc.reason in ("unexpected end of data", "truncated data"):
        return refuse("is cut off: it ends within a character", line=line, hint="Copy or download it again.")
    found = readings(head or bytes(exc.object), bytes(exc.object), exc.start, encoding.codec)
    hint = "No common encoding fits there; the file may be damaged."
    if found:
        hint = "Encodings that would fit there: " + ", ".join(f"{each.encoding} ({text!r})" for each, text in found[:3])
        hint += ". Name the one that reads right with --encoding, or save the file as UTF-8."
    return refuse(
        f"is not valid {encoding.name}: byte {wrong}", line=line, hint=hint, readings=[each for each, _ in found]
    )
