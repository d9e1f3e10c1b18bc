"""Cells that hold more than one value: JSON, or a list with something between its entries. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flows.pipeline.judge import WORDS
from flows.values import as_text

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ListForm:
    """A list; without `split` its cells hold JSON."""

    split: str | None

    def read(self, text: str) -> list[Any]:
        """The list. Raises ValueError with what is wrong with the cell."""
        if self.split is None:
            made = JSON_FORM.read(text)
            if not isinstance(made, list):
                raise ValueError(WORDS["list"])
            return made
        entries = [entry.strip(" \t") for entry in text.split(self.split)]
        if "" in entries:
            raise ValueError(f"{self.words}: an entry is empty")
        return entries

    def write(self, value: Any) -> str:
        """The list as a cell."""
        return as_text(value) if self.split is None else self.split.join(map(as_text, value))

    @property
    def words(self) -> str:
        """What a cell must be."""
        return WORDS["list"] if self.split is None else f"must be entries with {self.split!r} in between"


class JsonForm:
    """JSON, whose numbers keep all their digits."""

    words = WORDS["json"]

    def read(self, text: str) -> Any:
        """What the JSON says. Raises ValueError with what is wrong with it."""
        try:
            made = json.loads(text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_object)
        except json.JSONDecodeError as exc:
            raise ValueError(f"{self.words}: {exc.msg.lower()} at character {exc.pos + 1}") from exc
        except RecursionError as exc:
            raise ValueError(f"{self.words}: it is nested too deep") from exc
        except ArithmeticError as exc:  # no decimal has such an exponent
            raise ValueError(f"{self.words}: it has a number that is too large") from exc
        except ValueError as exc:
            said = str(exc) if str(exc).startswith("it ") else "it has a number that is too long"
            raise ValueError(f"{self.words}: {said}") from exc
        if "\\u" in text and _SURROGATE.search(json.dumps(made, ensure_ascii=False, default=str)):
            raise ValueError(f"{self.words}: it holds half a character (a surrogate alone)")
        return made

    def write(self, value: Any) -> str:
        """JSON as a cell."""
        return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else as_text(value)


JSON_FORM = JsonForm()


def _no_constant(name: str) -> None:
    raise ValueError(f"it has {name}, which is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it states {next(name for name in names if names.count(name) > 1)!r} twice")
    return made
