"""HTML in which every text is escaped by construction: what files and APIs say can never become markup."""

from __future__ import annotations

from html import escape

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


def visible(text: str) -> str:
    """Text in which nothing hides: controls, marks that turn the direction and what has no width are shown as such."""
    return "".join(_SHOWN.get(char, char) for char in text) if not text.isascii() or not text.isprintable() else text


_TURNING = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_UNSEEN = (0x00AD, 0x180E, *range(0x200B, 0x200E), 0x2028, 0x2029, *range(0x2060, 0x2065), 0xFEFF)
_CONTROLS = (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0))
_SHOWN = {chr(code): f"⟨U+{code:04X}⟩" for code in (*_TURNING, *_UNSEEN, *_CONTROLS)}
