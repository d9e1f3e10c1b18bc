"""The words, colours and signs of states, the same on every page, chart and table; style.css goes with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import PurePath

from dashboard.parts.html import Content, Markup, join, tag
from flows.ledger.view import KINDS, Run
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
    RowState.DONE: Look("#0d9c75", "✓", "done", "the API accepted it"),
    RowState.SENDING: Look("#2f8fd8", "→", "sending", "its request is under way"),
    RowState.WAITING: Look("#8b95a3", "·", "waiting", "not sent yet"),
    RowState.FAILED: Look("#d55e00", "✕", "failed", "the API refused it"),
    RowState.UNKNOWN: Look("#b565a7", "?", "unknown", "sent, but the answer was lost: the API may have acted on it"),
    RowState.REJECTED: Look("#c29200", "⊘", "rejected", "not valid, never sent"),
}
ORDER = tuple(ROW)  # of lists and filters
SKIPPED = Look("#7d8fd1", "↷", "skipped", "left out: an earlier run delivered it")  # counts as rejected in the ledger
_SHOWN: dict[str, Look] = {str(state): look for state, look in ROW.items()} | {"skipped": SKIPPED}  # `Run.shown_counts`

_SIGNS = {
    "starting": ("#8b95a3", "◌"),
    "checking": ("#2f8fd8", "◔"),
    "checked": ("#8b95a3", "◇"),
    "sending": ("#2f8fd8", "→"),
    "cancelling": ("#8b95a3", "◌"),
    "interrupted": ("#d55e00", "!"),
    "finished": ("#0d9c75", "✓"),
    "with errors": ("#b98a00", "!"),
    "stopped": ("#d55e00", "✕"),
    "cancelled": ("#8b95a3", "–"),
}
RUN = {kind: Look(*_SIGNS[kind], word) for kind, word in KINDS.items()}  # by `Run.kind`
LIMIT_COLOR = "#8b95a3"


def reason(run: Run) -> tuple[str, str]:
    """Why a run ended as it did, and what to do: the file by its name, as it lies in a folder that says nothing."""
    message, _, hint = run.reason.partition("\n")
    where, slash, rest = message.partition(f"/{run.facts.get('name') or PurePath(run.file).name}:")
    if slash and " " not in where:
        message = f"{slash[1:]}{rest}"
    return message, hint


def chip(look: Look) -> Markup:
    """A state as a small coloured sign and its word."""
    return tag("span", _sign(look), tag("span", look.word), cls="rr-chip", title=look.meaning or None)


def _sign(look: Look) -> Markup:
    return tag("span", look.sign, cls="rr-sign", style=f"--c:{look.color}", aria_hidden="true")


def bar(counts: Mapping[str, int], total: int, *, thin: bool = False) -> Markup:
    """The rows of a run as one bar, a piece for each of its `shown_counts`."""
    there = {state: count for state in _SHOWN if (count := counts[state])}
    pieces = [
        tag("span", style=f"flex:{count} 1 0;background:{_SHOWN[state].color}", title=f"{count} {state}")
        for state, count in there.items()
    ]
    words = ", ".join(f"{count} {state}" for state, count in there.items()) or "no rows yet"
    return tag(
        "div", *pieces, cls="rr-bar rr-thin" if thin else "rr-bar", role="img", aria_label=f"{total} rows: {words}"
    )


def notice(kind: str, title: Content, *body: Content, live: bool = False) -> Markup:
    """A calm message: `info`, `good`, `warn` or `bad`.

    A screen reader says it when it appears; not one that is `live`, as its words change every second.
    """
    signs = {"info": "i", "good": "✓", "warn": "!", "bad": "✕"}
    return tag(
        "div",
        tag("span", signs[kind], cls="rr-notice-sign", aria_hidden="true"),
        tag(
            "div", tag("div", prose(title), cls="rr-notice-title"), *(tag("div", prose(part)) for part in body if part)
        ),
        cls=f"rr-notice rr-{kind}",
        role=None if live else "alert" if kind == "bad" else "status",
    )


def prose(text: Content) -> Content:
    """Text in which what stands between backticks is a command to be typed."""
    if text is None or isinstance(text, Markup) or text.count("`") < 2:
        return text
    parts = text.split("`")
    return join(*(tag("code", part) if n % 2 and n < len(parts) - 1 else part for n, part in enumerate(parts)))


def facts(*pairs: tuple[str, Content]) -> Markup:
    """Names and values in two columns that wrap where there is no room."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value or "–")) for name, value in pairs), cls="rr-facts")


def numbers(*items: tuple[str, str, str]) -> Markup:
    """Figures side by side: (label, value, note)."""
    cells = (
        tag(
            "div", tag("div", label, cls="rr-label"), tag("div", value, cls="rr-value"), tag("div", note, cls="rr-note")
        )
        for label, value, note in items
    )
    return tag("div", *cells, cls="rr-numbers")


def empty(title: str, *body: Content) -> Markup:
    """What to do first where there is nothing yet."""
    rest = (tag("div", prose(part)) for part in body)
    return tag("div", tag("div", title, cls="rr-empty-title"), *rest, cls="rr-empty")


def code(text: str) -> Markup:
    """Text as it is, in a fixed font, wrapped."""
    return tag("pre", text, cls="rr-code", tabindex=0)


@lru_cache(maxsize=1)
def style() -> Markup:
    """The style sheet, to be put on every page once."""
    return Markup(f"<style>{files('dashboard.parts').joinpath('style.css').read_text('utf-8')}</style>")


def legend(counts: Mapping[str, int], total: int, number: Callable[[float], str]) -> Markup:
    """Every state with its number, those that have no row left out unless they are part of every run; and the total."""
    always = (RowState.DONE, RowState.FAILED, RowState.WAITING)
    states = (
        tag("span", _sign(look), tag("span", look.word), tag("b", number(counts[state])), cls="rr-chip",
            title=look.meaning)
        for state, look in _SHOWN.items()
        if counts[state] or state in always
    )  # fmt: skip
    rows = "row" if total == 1 else "rows"
    of = tag("span", tag("span", "of"), tag("b", number(total)), rows, cls="rr-chip rr-muted")
    return tag("div", *states, of, cls="rr-legend")


def lines(*content: Content) -> Markup:
    """Pieces under each other."""
    return join(*(tag("div", part) for part in content if part))
