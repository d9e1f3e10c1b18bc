"""What the HTTP API takes and gives of files and runs, as pydantic models: the source of /api/docs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import PurePath
from typing import Literal

from pydantic import Field

from dashboard.absent import NotBegun
from dashboard.api.envelope import Answer, Body, Page
from dashboard.words import by_name
from flows.ledger import run as ledger
from flows.ledger.plain import plain
from flows.pipeline.file_form import AS_FOUND, FileForm
from flows.records import Apostrophes, RowState, RunState, Wanted


class RunStatus(StrEnum):
    """Where a run stands. `starting`: no worker has begun it."""

    STARTING = "starting"
    CHECKING = "checking"
    SENDING = "sending"
    FINISHED = "finished"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


class RunKind(StrEnum):
    """How a run stands.

    `checked`: nothing of it is sent; `asks`: its check needs an answer; `accepted`: all is sent, and the API has not
    decided about some rows; `with errors`: it is finished, with some rows not done.
    """

    STARTING = "starting"
    CHECKING = "checking"
    CHECKED = "checked"
    ASKS = "asks"
    SENDING = "sending"
    CANCELLING = "cancelling"
    INTERRUPTED = "interrupted"
    FINISHED = "finished"
    ACCEPTED = "accepted"
    WITH_ERRORS = "with errors"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


class ShownAs(StrEnum):
    """The state of a run in the words of the pages."""

    STARTING = "starting"
    CHECKING = "checking"
    CHECKED = "checked, not sent"
    NEEDS_ANSWER = "checked, needs an answer"
    SENDING = "sending"
    CANCELLING = "cancelling"
    INTERRUPTED = "interrupted"
    FINISHED = "finished"
    ACCEPTED = "sent, waiting for the API"
    WITH_ERRORS = "finished, some not done"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


class NewRun(Body):
    """A run to start."""

    pipeline: str = Field(description="Name of the pipeline, see /pipelines", examples=["posts"])
    file: str = Field(description="`file` of an upload, or a name below the inbox", examples=["posts.csv"])
    dry_run: bool = Field(False, description="Only check the file; the run can be resumed to send it")
    skip_delivered: bool = Field(
        False, description="Leave out rows that earlier runs of the pipeline delivered, by its `key` columns"
    )
    encoding: str = Field("", description="What the file is written in; empty: it is found", examples=["cp1251"])
    apostrophes: Apostrophes | None = Field(
        None, description="Before a formula, number or date: part of the text (keep), or a guard (remove)"
    )
    source: FileForm = Field(
        AS_FOUND,
        description="How else the file is to be read: the keys of `source` in a definition",
        examples=[{"sheet": "Orders", "header_row": 3}],
    )
    map: dict[str, str] = Field(
        {},
        description="Which column of the pipeline a column of the file is, where they are not called alike",
        examples=[{"E-mail": "email"}],
    )


class Resume(Body):
    """Which rows of a run to send."""

    rows: Wanted = "unfinished"
    reason: str = Field("", description="Of failed or unknown rows: only those with this reason, as `groups` has it")
    definition: Literal["own", "new"] = Field(
        "own", description="`new`: by the pipeline as it is at present, where that changes no row that was sent"
    )

    delivered_too: bool = Field(
        False,
        description="Send also rows that a later run has delivered since, as the pipeline's `key` says. Otherwise the"
        " answer is 409 where there are such rows",
    )


class UndoRun(Body):
    """How to undo a run."""

    dry_run: bool = Field(False, description="Only check what would be undone; the new run can be resumed to undo it")


class MarkDone(Body):
    """Which unknown rows to call done."""

    rows: list[int] | None = Field(
        None, description="Row numbers; all unknown rows if left out", min_length=1, max_length=100_000
    )


class Uploaded(Answer):
    """A file that has arrived whole."""

    file: str = Field(description="What a run is started with")
    name: str
    bytes: int
    sha256: str
    runs_with_same_content: list[str] = Field(description="Ids of runs that sent a file of the same content")


class File(Answer):
    """A file that a run can be started with."""

    file: str = Field(description="What a run is started with")
    name: str
    bytes: int | None = Field(description="Null for an upload that lies in an object store, as is `modified`")
    modified: datetime | None


class FilePage(Page[File]):
    """Files of the inbox, newest first."""


class Started(Answer):
    """What was asked of Prefect. `id` is the run's, `flow_run` the flow run's that will deliver it."""

    id: str
    flow_run: str


class Moved(Answer):
    """How many rows were changed."""

    rows: int


class Counts(Answer):
    """How many rows are in each state."""

    rejected: int
    waiting: int
    sending: int
    accepted: int = Field(description="The API took them for later; it is asked about them")
    done: int
    failed: int
    unknown: int


class DeliveredBefore(Answer):
    """How many rows earlier runs had delivered, by the `key` columns: in all, and by the id of each such run."""

    rows: int
    runs: dict[str, int]


class Checked(Answer):
    """How far the check of the file is, or was when it ended."""

    rows: int
    bytes: int
    of_bytes: int


class Reading(Answer):
    """How the file reads in an encoding that fits: its header, and lines that tell whether it is the right one."""

    encoding: str
    lines: list[str]


class Run(Answer):
    """A run as it stands. total = rejected + waiting + sending + accepted + done + failed + unknown."""

    id: str
    pipeline: str
    file: str = Field(description="The file's name")
    state: RunStatus
    kind: RunKind = Field(description="How it stands, for programs: these words stay the same")
    shown_as: ShownAs = Field(description="The same in the words of the pages")
    reason: str = Field(description="Why it ended as it did, and what to do; empty where there is nothing to say")
    by: str
    created: datetime | None
    ended: datetime | None
    total: int
    counts: Counts
    skipped: int = Field(description="So many of the rejected rows are good: delivered before, or nothing to undo")
    being_delivered: bool
    cancelling: bool
    undoes: str = Field(description="Id of the run that this one undoes; empty for all others")
    undone_by: dict[str, int] = Field(description="How many of its rows were undone, by the id of each run that did it")
    notices: list[str] = Field(description="What was noticed of the file as a whole, and of the answers")
    delivered_before: DeliveredBefore
    checked: Checked
    digest: str = Field(description="SHA-256 of the file's content, once it is checked")
    encoding: str = Field(description="What a text file is written in, once that is known")
    file_kind: str = Field(description="What kind of file it is, once that is known")
    sheet: str = Field(description="Which sheet of a workbook was read; empty for other kinds")
    map: dict[str, str] = Field(description="By column of the file the column of the pipeline that it was said to be")
    header: list[str] = Field(description="Columns of the file, where they are not those of the pipeline")
    definition_digest: str = Field(description="Of the pipeline's definition: another definition has another one")
    limit: str = Field(description="Name of the limit that it sends under")
    sent: int = Field(description="Requests, retries included")
    seconds: float = Field(description="How long sending took")
    rate: float = Field(description="Requests a second; 0 if it was too short to say")
    peak: int = Field(description="Most requests in any window of the limit's shortest length")
    used_of_limit: float = Field(description="Share of the limit that was used, from 0 to 1")
    used_of_guaranteed: float = Field(description="Share of the rate that was safe at this round trip, from 0 to 1")
    round_trip_seconds: float = Field(description="Mean time from a request to its answer")
    held_by: dict[str, float] = Field(description="Seconds that sending waited, by what for, longest first")
    readings: list[Reading] = Field(
        description="Where the file is not in the encoding taken for it: those that fit, likeliest first"
    )

    @classmethod
    def of(cls, run: ledger.Run, *, asked: bool = False) -> Run:
        """From the ledger's view of it. `asked`: it was asked for, and nobody delivers it yet."""
        shown = {"shown_as": ledger.KINDS["starting"]} if asked else {}
        told = {"reason": by_name(run.reason), "notices": list(map(by_name, run.notices))}
        return cls.model_validate(plain(run) | told | shown)

    @classmethod
    def not_begun(cls, run: NotBegun) -> Run:
        """A run that Prefect alone knows."""
        flow, given = run.flow, run.flow.parameters
        created = flow.created or flow.expected
        nothing = ledger.Run(
            id=flow.id,
            pipeline=str(given.get("pipeline") or ""),
            file=PurePath(str(given.get("file") or "")).name,
            state=RunState.CHECKING,
            reason="\n".join(run.words) if flow.ended else "",
            by=next((tag[3:] for tag in flow.tags if tag.startswith("by:")), "Prefect"),
            created=created or 0.0,
            ended=None,
            total=0,
            counts=dict.fromkeys(RowState, 0),
            cancelling=False,
            busy=False,
        )
        shown = {"state": run.kind, "kind": run.kind, "shown_as": ledger.KINDS[run.kind], "created": created}
        return cls.model_validate(plain(nothing) | shown)


class RunPage(Page[Run]):
    """Runs, newest first."""


class Event(Answer):
    """Something that happened, in words."""

    at: datetime
    text: str


class EventPage(Page[Event]):
    """What happened, newest first."""


class Moment(Answer):
    """A second or a minute: how many requests were sent in it, and what came of those that ended in it."""

    at: datetime
    sent: int = 0
    accepted: int = 0
    done: int = 0
    failed: int = 0
    unknown: int = 0
    waiting: int = Field(0, description="Attempts without effect, whose rows wait to be sent again")


class Chart(Answer):
    """Moments in which something happened, oldest first."""

    span: Literal["seconds", "minutes"]
    moments: list[Moment]

    @classmethod
    def of(cls, span: Literal["seconds", "minutes"], found: Mapping[int, Mapping[str, int]]) -> Chart:
        """From what the ledger has counted, by Unix second or Unix minute."""
        length = 60 if span == "minutes" else 1
        moments = [Moment(at=datetime.fromtimestamp(at * length, UTC), **counts) for at, counts in found.items()]
        return cls(span=span, moments=moments)
