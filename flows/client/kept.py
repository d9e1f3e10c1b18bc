"""What is kept of an answer, by name. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from flows.masking import DOTS
from flows.pipeline.expression import reads_body, search

KEPT_CHARACTERS = 2000  # of one kept value, as JSON
_NOTHING: Mapping[str, Any] = {}


def kept_of(
    paths: Mapping[str, str], answer: Any, headers: Mapping[str, str] = _NOTHING, values: Mapping[str, Any] = _NOTHING
) -> tuple[dict[str, Any], str]:
    """What is kept of an answer, by name, and in words what there was not, or not whole.

    An `answer` that is UNSET has no JSON: it is read as null, and nothing is said of what it does not have.
    """
    read = answer is not UNSET
    found = {name: search(path, answer if read else None, headers, values) for name, path in paths.items()}
    missing = [paths[name] for name, value in found.items() if value is None and (read or not reads_body(paths[name]))]
    kept = {name: capped(value) for name, value in found.items()}
    cut = [paths[name] for name, value in found.items() if kept[name] is not value]
    said = [f"the answer has no {', '.join(missing)}"] if missing else []
    said += [f"of {', '.join(cut)} the first {KEPT_CHARACTERS:,} characters are kept"] if cut else []
    return kept, "; ".join(said)


def without_body(paths: Mapping[str, str]) -> str:
    """What is kept of an answer that has no JSON, in words; "" where nothing is lost by that."""
    lost = [path for path in paths.values() if reads_body(path)]
    return ("nothing was kept" if len(lost) == len(paths) else "only headers were kept") if lost else ""


def capped(value: Any) -> Any:
    """The value, or where it is too long the beginning of its text."""
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() <= 64):
        return value
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists in lists
        return None
    return value if len(text) <= KEPT_CHARACTERS else text[:KEPT_CHARACTERS] + "…"


def is_altered(value: Any) -> bool:
    """Whether a kept value is not what the answer had: a secret in it is hidden, or its end is cut."""
    if not isinstance(value, str):
        return False
    return DOTS in value or (len(value) == KEPT_CHARACTERS + 1 and value.endswith("…"))
