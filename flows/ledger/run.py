"""A run as it stands, and how its state is told to people."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from flows.ledger import facts
from flows.ledger.facts import Facts
from flows.records import RowState, RunState

KINDS = {  # how a run stands, for programs, and how that is shown to people, everywhere
    "starting": "starting",
    "checking": "checking",
    "checked": "checked, not sent",
    "asks": "checked, needs an answer",
    "sending": "sending",
    "cancelling": "cancelling",
    "interrupted": "interrupted",
    "finished": "finished",
    "accepted": "sent, waiting for the API",
    "with errors": "finished, some not done",
    "stopped": "stopped",
    "cancelled": "cancelled",
}
_TAKEN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it stands. `counts` has every row state; times are Unix seconds; `stored` are the facts in Redis."""

    id: str
    pipeline: str
    file: str
    state: RunState
    reason: str
    by: str
    created: float
    ended: float | None
    total: int
    counts: dict[RowState, int]
    cancelling: bool
    busy: bool  # somebody holds its lease: it is being delivered now
    facts: Facts = field(default_factory=Facts)
    stored: Mapping[str, str] = field(default_factory=dict)
    held_until: float = 0.0  # end of the latest lease: about when somebody last worked on it
    undone: Mapping[str, int] = field(default_factory=dict)  # how many of its rows which runs have undone

    @property
    def kind(self) -> str:
        """Which of KINDS it is."""
        if self.state is RunState.FINISHED:
            if self.counts[RowState.ACCEPTED]:
                return "accepted"
            return "finished" if self.ended_well else "with errors"
        if self.state is RunState.STOPPED and not self.total and self.facts.readings:
            return "asks"  # how its letters are to be read: a file is checked anew with the answer, as another run
        if self.state in (RunState.STOPPED, RunState.CANCELLED):
            return str(self.state)
        if self.busy:
            return "cancelling" if self.cancelling else str(self.state)
        if self.state is RunState.CHECKING and self.total:
            return "checked"
        if not self.facts.epoch and time.time() - self.created < _TAKEN_SECONDS:
            return "starting"  # written down, and about to be taken
        return "interrupted"  # its deliverer is gone

    @property
    def shown_as(self) -> str:
        """Its state in words."""
        return KINDS[self.kind]

    @property
    def shown_file(self) -> str:
        """The file's name, without the folders that it was put into."""
        return self.facts.name or PurePath(self.file).name

    @property
    def finished_rows(self) -> int:
        """Rows that need not be sent any more: all but the waiting and the sending."""
        return self.total - self.counts[RowState.WAITING] - self.counts[RowState.SENDING]

    @property
    def decided_rows(self) -> int:
        """Rows that need nothing more at all: the finished ones but those that the API only accepted."""
        return self.finished_rows - self.counts[RowState.ACCEPTED]

    @property
    def any_sent(self) -> bool:
        """Whether any row has been sent, or may have been."""
        return self.total > self.counts[RowState.REJECTED] + self.counts[RowState.WAITING]

    @property
    def skipped(self) -> int:
        """How many of the rejected rows are good ones, left out because an earlier run delivered them."""
        return self.facts.skipped

    @property
    def wrong(self) -> int:
        """How many rows the check refused for what stands in them: the rejected ones but the skipped."""
        return self.counts[RowState.REJECTED] - self.skipped

    @property
    def to_correct(self) -> int:
        """How many rows a person has to correct before they can be sent again."""
        return self.wrong + self.counts[RowState.FAILED]

    @property
    def notices(self) -> list[str]:
        """What its check noticed of the file as a whole, its sending of the answers, and what was undone of it."""
        back = [f"Run {run[:8]} has undone {rows:,} of its rows." for run, rows in self.undone.items()]
        undoes = [f"It undoes run {self.facts.undoes[:8]}."] if self.facts.undoes else []
        return [*self.facts.notices, *filter(None, [self.facts.kept_notice]), *undoes, *back]

    @property
    def ended_well(self) -> bool:
        """Whether it is finished and every row is done, now or by an earlier run."""
        return self.state is RunState.FINISHED and self.counts[RowState.DONE] + self.skipped == self.total

    @property
    def shown_counts(self) -> dict[str, int]:
        """Rows by state, for people: the skipped ones apart from those that are wrong."""
        counts = {str(state): self.counts[state] for state in RowState}
        counts.pop("rejected")
        rejected = {"rejected": self.wrong, "skipped": self.skipped}
        return rejected | counts


_OWN = {
    "pipeline",
    "file",
    "state",
    "reason",
    "by",
    "created",
    "ended",
    "total",
    "cancel",
    "lease",
    "leased",
    "owner",
    *RowState,
}


def read(run: str, raw: Mapping[bytes, bytes], now: float) -> Run:
    """A run from its hash in Redis. `now` is milliseconds by Redis's clock."""
    fields = {name.decode(): value.decode() for name, value in raw.items()}
    counts = {state: int(fields.get(state) or 0) for state in RowState}
    stored = {name: value for name, value in fields.items() if name not in _OWN}
    lease = float(fields.get("lease") or 0)
    longest = float(fields.get("leased") or "inf")  # more is left only if Redis's clock was set back
    return Run(
        id=run,
        pipeline=fields.get("pipeline", ""),
        file=fields.get("file", ""),
        state=RunState(fields.get("state", RunState.CHECKING)),
        reason=fields.get("reason", ""),
        by=fields.get("by", ""),
        created=int(fields["created"]) / 1000,
        ended=int(fields["ended"]) / 1000 if fields.get("ended") else None,
        total=int(fields.get("total") or 0),
        counts=counts,
        cancelling=bool(fields.get("cancel")),
        busy=now < lease <= now + longest,
        facts=facts.read(stored),
        stored=stored,
        held_until=lease / 1000,
    )
