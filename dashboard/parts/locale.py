"""Numbers, sizes and times as the person at the screen reads them: their locale, their time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

NARROW = "\u202f"
_POINTS = "az bs ca da de el es eu gl hr id is it mk nl pt ro sl sr tr vi"  # 1.234.567 and 6,4
_SPACES = "be bg cs et fi fr hu hy kk lt lv nb nn no pl ru sk sq sv uk"  # 1 234 567 and 6,4
_OF_PLACES = {"de-at": NARROW, "de-ch": "’", "de-li": "’", "it-ch": "’", "es-mx": ",", "es-us": ",", "pt-pt": NARROW}
_GROUPS = dict.fromkeys(_POINTS.split(), ".") | dict.fromkeys(_SPACES.split(), NARROW) | _OF_PLACES
_TWELVE_HOURS = ("en-us", "en-ca", "en-au", "en-nz", "en-in", "hi")


@dataclass(frozen=True, slots=True)
class Locale:
    """How one person reads: `zone` of their clock, thousands separator, and whether the day has twice twelve hours.

    Whatever language is not known here reads 1,234,567 and 6.4, as most of the world does.
    """

    zone: tzinfo
    group: str = ","
    twelve_hours: bool = False

    @classmethod
    def of(cls, locale: str | None, timezone: str | None) -> Locale:
        """From what a browser says about itself; UTC and English where it says nothing usable."""
        tag = (locale or "en-GB").lower()
        try:
            zone = ZoneInfo(timezone or "UTC")
        except (ZoneInfoNotFoundError, ValueError, OSError):
            zone = ZoneInfo("UTC")
        group = _GROUPS.get(tag) or _GROUPS.get(tag.split("-")[0], ",")
        return cls(zone, group, tag in _TWELVE_HOURS)

    @property
    def place(self) -> str:
        """Whose clock the times are told by: Europe/Berlin."""
        return str(self.zone).replace("_", " ")

    def number(self, value: float) -> str:
        """12345 as 12,345 (or as the reader's locale has it)."""
        return f"{round(value):,}".replace(",", self.group)

    def rate(self, value: float) -> str:
        """A rate with one decimal below a hundred."""
        if value >= 100:
            return self.number(value)
        text = f"{value:.1f}"
        return text.replace(".", ",") if self.group in (".", NARROW) else text

    def time(self, at: float | None, *, seconds: bool = False) -> str:
        """A moment: the time today, otherwise with its date."""
        if at is None:
            return "–"
        moment, now = datetime.fromtimestamp(at, self.zone), datetime.now(self.zone)
        clock = self._clock(moment, seconds=seconds)
        if moment.date() == now.date():
            return clock
        year = "" if moment.year == now.year else f" {moment.year}"
        return f"{moment.day} {moment:%b}{year}, {clock}"

    def day_and_time(self, at: float | None) -> str:
        """A moment with its day: Mon 7 Dec, 07:00."""
        if at is None:
            return "–"
        moment, now = datetime.fromtimestamp(at, self.zone), datetime.now(self.zone)
        year = "" if moment.year == now.year else f" {moment.year}"
        return f"{moment:%a} {moment.day} {moment:%b}{year}, {self._clock(moment)}"

    def _clock(self, moment: datetime, *, seconds: bool = False) -> str:
        form = "%I:%M" if self.twelve_hours else "%H:%M"
        clock = moment.strftime(form + (":%S" if seconds else "") + (" %p" if self.twelve_hours else ""))
        return clock.lstrip("0") if self.twelve_hours else clock


def size(count: float) -> str:
    """Bytes in a unit that fits."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return ""
