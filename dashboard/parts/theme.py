"""What pages are made of, the same everywhere: notices, figures, states as chips and bars; style.css goes with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.resources import files

from dashboard.parts.html import Content, Markup, join, tag
from dashboard.words import SHOWN, Look
from flows.records import RowState


def chip(look: Look) -> Markup:
    """A state as a small coloured sign and its word."""
    return tag("span", _sign(look), tag("span", look.word), cls="rr-chip", title=look.meaning or None)


def _sign(look: Look) -> Markup:
    return tag("span", look.sign, cls="rr-sign", style=f"--c:{look.color}", aria_hidden="true")


def bar(counts: Mapping[str, int], total: int, *, thin: bool = False) -> Markup:
    """The rows of a run as one bar, a piece for each of its `shown_counts`."""
    there = {state: count for state in SHOWN if (count := counts[state])}
    pieces = [
        tag("span", style=f"flex:{count} 1 0;background:{SHOWN[state].color}", title=f"{count} {state}")
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


def marked(path: str) -> Markup:
    """A style by which the navigation marks the page at this path, for a page of its own that belongs to it."""
    link = f'[data-testid$="NavLink"][href$="/{path}"]'
    return Markup(
        f"<style>{link} {{ background: light-dark(rgba(151,166,195,.25), rgba(163,179,199,.25)) }} "
        f"{link} span {{ color: var(--rr-text); font-weight: 600 }}</style>"
    )


def legend(counts: Mapping[str, int], total: int, number: Callable[[float], str], address: str = "") -> Markup:
    """Every state with its number, those that have no row left out unless they are part of every run; and the total.

    `address`: a state that has rows leads to them there, by its word at the end.
    """
    always = (RowState.DONE, RowState.FAILED, RowState.WAITING)
    states = (
        _counted(state, look, number(counts[state]), address if counts[state] else "")
        for state, look in SHOWN.items()
        if counts[state] or state in always
    )
    rows = "row" if total == 1 else "rows"
    of = tag("span", tag("span", "of"), tag("b", number(total)), rows, cls="rr-chip rr-muted")
    return tag("div", *states, of, cls="rr-legend")


def _counted(state: str, look: Look, count: str, address: str) -> Markup:
    parts = (_sign(look), tag("span", look.word), tag("b", count))
    if not address:
        return tag("span", *parts, cls="rr-chip", title=look.meaning)
    href, says = f"{address}{state}#rows", f"{look.meaning}: show these rows"
    return tag("a", *parts, cls="rr-chip", title=says, href=href, target="_self")


def lines(*content: Content) -> Markup:
    """Pieces under each other."""
    return join(*(tag("div", part) for part in content if part))
