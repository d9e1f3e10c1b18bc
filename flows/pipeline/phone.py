"""Telephone numbers as E.164, by the rules that Google's libphonenumber knows of each country. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flows.pipeline.judge import WORDS

_SHAPE = re.compile(r"[+\uff0b]?[0-9\s\u00a0\u202f()./\u2010-\u2015\-]+")
_SECOND = re.compile(r"/\s*[0-9]{1,2}\s*$")  # 030 123456/7: a second line of the same house
_DIGITS = re.compile(r"[^0-9]")


def regions() -> frozenset[str]:
    """The countries whose numbers are known, as two letters."""
    import phonenumbers  # takes a tenth of a second, and most definitions have no such column

    return frozenset(phonenumbers.SUPPORTED_REGIONS)


@dataclass(frozen=True, slots=True)
class PhoneForm:
    """Telephone numbers; those without + and a country are numbers of `region`."""

    region: str | None

    def read(self, text: str) -> str:
        """The number as E.164. Raises ValueError with what is wrong with it."""
        import phonenumbers

        if not _SHAPE.fullmatch(text):
            raise ValueError(self.words)
        if _SECOND.search(text):
            raise ValueError(f"{self.words}: it names two numbers")
        try:
            number = phonenumbers.parse(text, self.region)
        except phonenumbers.NumberParseException as exc:
            raise ValueError(self.words) from exc
        if not phonenumbers.is_valid_number(number):
            raise ValueError(f"{self.words}: there is no such number")
        made = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        if other := self._other(text, made):
            raise ValueError(f"may be {made}, or {other} without its plus: write it with + and its country")
        return str(made)

    def write(self, value: Any) -> str:
        """The number as E.164."""
        return str(value)

    @property
    def words(self) -> str:
        """What a cell must be."""
        own = f"must be a telephone number of {self.region}, or one with + and its country"
        return own if self.region else WORDS["phone"]

    def _other(self, text: str, made: str) -> str:
        """What the digits are with a plus in front, if that is another number; "" if it is none."""
        import phonenumbers

        digits = _DIGITS.sub("", text)
        if text.lstrip().startswith(("+", "\uff0b")) or digits.startswith("0"):
            return ""
        country = phonenumbers.country_code_for_region(self.region or "")
        if not digits.startswith(str(country)) or f"+{digits}" == made:
            return ""
        try:
            other = phonenumbers.parse(f"+{digits}", None)
        except phonenumbers.NumberParseException:
            return ""
        return f"+{digits}" if phonenumbers.is_valid_number(other) else ""
