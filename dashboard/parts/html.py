"""HTML in which every text is escaped by construction: what files and APIs say can never become markup."""

from __future__ import annotations

from html import escape

from dashboard.words import visible

_VOID = frozenset(("br", "hr", "img"))


class Markup(str):
    """A piece of finished HTML. Made by `tag` and `join`; plain strings are text and will be escaped."""

    __slots__ = ()


Content = str | Markup | None


def tag(name: str, *content: Content, **attributes: str | int | float | bool | None) -> Markup:
    """An element. Attribute names: `cls` for class, `_` for `-`; those that are None or False are left out."""
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        shown = {"cls": "class"}.get(key, key.rstrip("_").replace("_", "-"))
        parts.append(f" {shown}" if value is True else f' {shown}="{escape(str(value), quote=True)}"')
    parts.append(">")
    if name in _VOID:
        return Markup("".join(parts))
    return Markup("".join(parts) + join(*content) + f"</{name}>")


def join(*content: Content) -> Markup:
    """Pieces one after the other, the plain ones escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(visible(part)) for part in content if part))
