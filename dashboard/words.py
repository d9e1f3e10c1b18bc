"""The words, colours and signs of states, and text in which nothing hides: the same on pages, charts and over HTTP."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from flows.ledger.run import KINDS, Run
from flows.records import RowState


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is shown. Colours go by kind, never alone: a sign and a word are always beside them."""

    color: str
    sign: str
    word: str
    meaning: str = ""


# Told apart with any kind of colour vision, and at least 3 : 1 against the light and the dark background (but
# for `rejected` on white, which always has its outline and word).
ROW: dict[RowState, Look] = {
    RowState.DONE: Look("#0d9c75", "✓", "done", "the API took it"),
    RowState.ACCEPTED: Look("#a37e59", "…", "accepted", "the API took it for later; it is asked about it"),
    RowState.SENDING: Look("#2f8fd8", "→", "sending", "its request is under way"),
    RowState.WAITING: Look("#8b95a3", "·", "waiting", "not sent yet"),
    RowState.FAILED: Look("#d55e00", "✕", "failed", "the API refused it"),
    RowState.UNKNOWN: Look("#b565a7", "?", "unknown", "sent, but it is not known whether the API acted on it"),
    RowState.REJECTED: Look("#c29200", "⊘", "rejected", "not valid, never sent"),
}
ORDER = tuple(ROW)  # of lists and filters
SKIPPED = Look(
    "#7d8fd1", "↷", "skipped", "left out: delivered before, or nothing to undo"
)  # counts as rejected in the ledger
SHOWN: dict[str, Look] = {str(state): look for state, look in ROW.items()} | {"skipped": SKIPPED}  # `Run.shown_counts`

_SIGNS = {
    "starting": ("#8b95a3", "◌"),
    "checking": ("#2f8fd8", "◔"),
    "checked": ("#8b95a3", "◇"),
    "sending": ("#2f8fd8", "→"),
    "cancelling": ("#8b95a3", "◌"),
    "asks": ("#8b95a3", "?"),
    "interrupted": ("#d55e00", "!"),
    "finished": ("#0d9c75", "✓"),
    "accepted": ("#a37e59", "…"),
    "with errors": ("#b98a00", "!"),
    "stopped": ("#d55e00", "✕"),
    "cancelled": ("#8b95a3", "–"),
}
RUN = {kind: Look(*_SIGNS[kind], word) for kind, word in KINDS.items()}  # by `Run.kind`
SEVERAL_READINGS = "The letters of this file can be read in several ways."
LIMIT_COLOR = "#8b95a3"


OTHERWISE = "Read it otherwise"  # the part of the page where that is said of a file for which there are controls
CONTROLS = {
    "encoding": "Encoding",
    "delimiter": "Between the cells",
    "sheet": "Sheet",
    "merged": "Merged cells",
    "path": "Where its rows are",
    "header_row": "Row that names the columns",
    "skip_footer": "Rows at the end that are none",
}
MERGED = {"refuse": "Refuse the file", "fill": "Each gets the value that they show"}
_FLAGS = "|".join(key.replace("_", "-") for key in CONTROLS)
_STATED = r'\(in a definition source: \{[a-z_]+: (?:"(?:[^"\\]|\\.)*"|[^"}]*)\}\)'
_OPTION = re.compile(rf"--({_FLAGS}) ((?:'[^']*'|\\'|[^\s'])+) {_STATED}")
_FOLDERS = re.compile(
    r"(^|: )(?:[a-z0-9]+:/)?/(?:[^/\n:]+/)+(?=[^/\n:]+(?::\d+)?: )|(?<=: )(')/(?:[^/\n']+/)*(?=[^/\n']+'$)",
    re.MULTILINE,
)
_BUTTONS = (  # what the page has buttons for, beside what is said
    (re.compile(r"Say what is meant: --apostrophes .*?\}\)"), "Choose below what is meant"),
    (re.compile(r": `--skip-delivered`.*? leaves out what was delivered\."), "."),
)

_ENCODINGS = {  # flows.source.readings.COMMON as office programs call them
    "utf-8": "Unicode (UTF-8)",
    "cp1252": "Western European (Windows-1252)",
    "cp1250": "Central European (Windows-1250)",
    "cp1251": "Cyrillic (Windows-1251)",
    "cp932": "Japanese (Shift-JIS)",
    "gb18030": "Simplified Chinese (GB18030)",
    "big5": "Traditional Chinese (Big5)",
    "cp949": "Korean (Windows-949)",
    "cp1253": "Greek (Windows-1253)",
    "cp1254": "Turkish (Windows-1254)",
    "cp1257": "Baltic (Windows-1257)",
    "cp1255": "Hebrew (Windows-1255)",
    "cp1256": "Arabic (Windows-1256)",
    "mac-roman": "Western European (old Macintosh)",
    "koi8-r": "Cyrillic (KOI8-R)",
    "cp866": "Cyrillic (DOS 866)",
    "cp850": "Western European (DOS 850)",
    "cp437": "United States (DOS 437)",
}


def encoding_in_words(name: str) -> str:
    """An encoding as people know it, its code name behind: that is what definitions and commands take."""
    return f"{_ENCODINGS[name]}, {name}" if name in _ENCODINGS else name


def reason(run: Run) -> tuple[str, str]:
    """Why a run ended as it did, and what to do: the file by its name, as it lies in a folder that says nothing."""
    message, _, hint = run.reason.partition("\n")
    return by_name(message), on_page(hint)


def on_page(text: str) -> str:
    """A notice or a hint with the controls of the page that do what it says, in place of options of the commands."""
    for pattern, words in _BUTTONS:
        text = pattern.sub(words, text)
    return _OPTION.sub(_control, text)


def _control(found: re.Match[str]) -> str:
    key, value = found[1].replace("-", "_"), "".join(shlex.split(found[2]))
    return f"“{CONTROLS[key]}: {MERGED.get(value, value) if key == 'merged' else value}” under “{OTHERWISE}”"


def by_name(message: str) -> str:
    """What is said of files, by their names: the folders of this or another machine tell people nothing."""
    return _FOLDERS.sub(lambda found: found[1] or found[2] or "", message)


def visible(text: str) -> str:
    """Text in which nothing hides: controls, marks that turn the direction and what has no width are shown as such."""
    return "".join(_SAID.get(char, char) for char in text) if not text.isascii() or not text.isprintable() else text


_TURNING = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_UNSEEN = (0x00AD, 0x180E, *range(0x200B, 0x200E), 0x2028, 0x2029, *range(0x2060, 0x2065), 0xFEFF)
_CONTROLS = (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0))
_SAID = {chr(code): f"⟨U+{code:04X}⟩" for code in (*_TURNING, *_UNSEEN, *_CONTROLS)}
