"""The values that pass between the stages, and the words for their states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from msgspec import UNSET, Struct

Wanted = Literal["unfinished", "failed", "unknown", "reconcile", "accepted"]
"""Which rows of a run are meant: those that never were sent or never ended, or once more those of one state.

`reconcile`: the API is asked about the unknown ones, and those that it does not have are sent. `accepted`: it is asked
about the accepted ones, and nothing is sent.
"""

Apostrophes = Literal["ask", "keep", "remove"]
"""What an apostrophe before a formula, a number or a date means: part of the text, or a guard against spreadsheets."""


class RowState(StrEnum):
    """Where a row stands. `rejected`, or `waiting` → `sending` (→ `accepted`) → `done` | `failed` | `unknown`."""

    REJECTED = "rejected"
    WAITING = "waiting"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


class RunState(StrEnum):
    """Where a run stands. The last three are ends, though a resumed run leaves them again."""

    CHECKING = "checking"
    SENDING = "sending"
    FINISHED = "finished"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Row:
    """One accepted record.

    `row` is the 1-based ordinal of the record in the file (rejected ones count too), `line` the 1-based
    line where it begins, `values` the typed cells by column, in the definition's order. `changed`: what a person
    mended of it, by column: what stood there in the file.
    """

    row: int
    line: int
    values: dict[str, Any]
    changed: Mapping[str, str] | None = None


class Reason(Struct, frozen=True, gc=False):
    """Why a row was rejected. `column` is empty when the whole row is at fault (ragged, blank, NUL)."""

    column: str
    check: str
    value: str

    def __str__(self) -> str:
        where = f"{self.column}: " if self.column else ""
        return f"{where}{self.check}" + (f" (found {self.value!r})" if self.value else "")


AS_SAID = ", as was said"  # how a remark ends about what a person said of the file's columns
UNUSED = "Columns that the pipeline does not use"  # how the remark about them begins
_BEFORE, _NOTHING, _BY_HAND = "delivered before", ": nothing to undo", "skipped by "


def delivered_before(what: str = "") -> Reason:
    """Why a good row is left out on request: it was delivered before, `what` says as which."""
    return Reason("", f"{_BEFORE} {what}".strip(), "")


def left_alone(why: str) -> Reason:
    """Why a row of a run that undoes another is left out."""
    return Reason("", why + _NOTHING, "")


def skipped_by(person: str) -> Reason:
    """Why a row that was refused is not to be mended: a person said so. It stands in front of its other reasons."""
    return Reason("", _BY_HAND + person, "")


class Rejection(Struct, frozen=True, gc=False, omit_defaults=True):
    """A row the schema refuses: every reason, and the cells as they stand in the file, or as a person mended them.

    `changed`: what stood in the file, by the column that was mended.
    """

    row: int
    line: int
    reasons: tuple[Reason, ...]
    cells: tuple[str, ...]
    changed: dict[str, str] | None = None

    @property
    def why(self) -> str:
        """All its reasons in words."""
        return "; ".join(map(str, self.reasons))

    @property
    def skipped(self) -> bool:
        """Whether it is a good row that is only left out: it was delivered before, or there is nothing to undo."""
        if len(self.reasons) != 1 or self.reasons[0].column:
            return False
        check = self.reasons[0].check
        return check.startswith(_BEFORE) or check.endswith(_NOTHING)

    @property
    def skipped_by_hand(self) -> bool:
        """Whether a person said that it is not to be mended. It stays rejected, and counts as wrong."""
        return bool(self.reasons) and not self.reasons[0].column and self.reasons[0].check.startswith(_BY_HAND)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file reads in an encoding that fits: its header, and some lines that tell whether it is the right one."""

    encoding: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """Rows that travel in one request: claimed, keyed, sent and recorded together. In the order of the file."""

    rows: tuple[Row, ...]


class Reply(Struct, frozen=True):
    """What came of one request, and what it means for everybody who shares the limit.

    `means` is what it says of the rows that it carried: `done`, `accepted`, `failed` or `unknown`; `waiting` where the
    request surely had no effect and they may be sent again. `wrote` says whether any byte of the request may have left
    this machine. `status` is None where no answer came.
    """

    means: RowState
    reason: str = ""
    status: int | None = None
    headers: Mapping[str, str] = {}
    body: bytes = b""
    value: Any = UNSET  # the JSON of the body, where some was due and could be read
    excerpt: str = ""  # the beginning of the body, for people, where it is not what was due
    again: bool = False  # worth another attempt: always for `waiting`, for `unknown` only if the API is idempotent
    wrote: bool = True
    attempted: bool = True  # False: the permit went stale before anything was tried, so it was no attempt
    no_connection: bool = False  # none came about, so that it was no attempt
    pause_seconds: float | None = None  # the API asked everybody who shares the limit to wait this long
    ban: bool = False  # the API has shut us out: latch the limit
    bans_if_again: bool = False  # it says so and when to come back: a ban if it says so again after that
    stop: bool = False  # the definition says that the run has to stop
    renews: bool = False  # our token or session did not hold: the request had no effect, and goes again with another
    by_rule: Any = None  # the rule of the definition that decided, if one did (flows.pipeline.rules)
    took_seconds: float = 0.0  # from the permit's start to the response head, or to giving up


class Outcome(Struct, frozen=True):
    """What an exchange means for one row. `kept` is what the definition keeps of the answer, by name."""

    row: int
    state: RowState
    reason: str = ""
    kept: dict[str, Any] = {}
    excerpt: str = ""
    again: bool = False  # worth another attempt
    counts: bool = True  # False: that was no attempt of the row, since the API only asked to wait
    refused: bool = False  # its parcel was refused as a whole, and surely had no effect: it is to be split
    pause_seconds: float | None = None  # what the API says of this row asks everybody to wait this long
    stop: bool = False  # what the API says of this row stops the run
    ban: bool = False  # what the API says of this row means that it has shut us out


@dataclass(frozen=True, slots=True)
class LimitTerms:
    """The numbers of a limit, as one definition states them.

    `windows` holds (requests, seconds) pairs that all apply, and may be empty: then only `in_flight` bounds the
    pace. `max_timeout_seconds` is the longest any request under this limit may take from its permit to the head
    of its answer; `grace_seconds` the longest queue behind our socket that is accepted after giving up on one.
    `late_seconds`, if stated, is the longest a request may take to *arrive*.

    `units`: what the windows count is units, of which a request may cost any number. `calendar` holds (requests or
    units, period) pairs such as (10000, "day Europe/Berlin"). A name with a placeholder is one limit for each value.
    """

    name: str
    windows: tuple[tuple[int, float], ...]
    in_flight: int
    max_timeout_seconds: float
    grace_seconds: float = 2.0
    late_seconds: float | None = None
    units: bool = False
    calendar: tuple[tuple[int, str], ...] = ()

    @property
    def is_family(self) -> bool:
        """Whether it is one limit for each value of a column."""
        return "{" in self.name

    @property
    def is_special(self) -> bool:
        """Whether it is more than so many requests in a window."""
        return self.is_family or self.units or bool(self.calendar)

    @property
    def lapse_seconds(self) -> float:
        """How long after its start an unanswered request may still arrive."""
        return self.max_timeout_seconds + self.grace_seconds
