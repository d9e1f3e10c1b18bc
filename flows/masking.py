"""Secrets out of everything that people see: excerpts, reasons, previews, log lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

DOTS = "••••"


class Masker:
    """Replaces secrets in texts, also as they look percent-encoded, form-encoded or inside a JSON string."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if forms else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def text(self, text: str) -> str:
        """The text with dots for every secret."""
        return self._pattern.sub(DOTS, text) if self._pattern else text

    def value(self, value: Any) -> Any:
        """A JSON value with dots for every secret in its strings."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        if isinstance(value, dict):
            return {self.text(name): self.value(inner) for name, inner in value.items()}
        return value


def _forms(secret: str) -> tuple[str, ...]:
    escaped = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    return (secret, quote(secret, safe=""), quote(secret), quote_plus(secret), *escaped)
