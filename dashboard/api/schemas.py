"""What the HTTP API takes and gives, as pydantic models: the source of /api/docs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dashboard.absent import NotBegun
from dashboard.rows.question import Found
from flows.ledger.view import KINDS, Run
from flows.records import Apostrophes, Rejection, RowState, Wanted


class Body(BaseModel):
    """Something sent to us: unknown fields are refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")


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


class Resume(Body):
    """Which rows of a run to send."""

    rows: Wanted = "unfinished"


class MarkDone(Body):
    """Which unknown rows to call done."""

    rows: list[int] | None = Field(
        None, description="Row numbers; all unknown rows if left out", min_length=1, max_length=100_000
    )


class UploadOut(BaseModel):
    """A file that has arrived whole."""

    file: str
    name: str
    bytes: int
    sha256: str
    runs_with_same_content: list[str]


class Started(BaseModel):
    """What was asked of Prefect. `id` is the run's, `flow_run` the flow run's that will deliver it."""

    id: str
    flow_run: str


class Moved(BaseModel):
    """How many rows were changed."""

    rows: int


class ReadingOut(BaseModel):
    """How the file reads in an encoding that fits: its header, and lines that tell whether it is the right one."""

    encoding: str
    lines: list[str]


class RunOut(BaseModel):
    """A run as it stands. total = rejected + waiting + sending + done + failed + unknown."""

    id: str
    pipeline: str
    file: str
    state: str
    shown_as: str = Field(description="The state in the dashboard's words, e.g. `checked, not sent`")
    reason: str
    by: str
    created: datetime | None
    ended: datetime | None
    total: int
    counts: dict[str, int]
    skipped: int = Field(description="So many of the rejected rows are good: an earlier run delivered them")
    being_delivered: bool
    cancelling: bool
    notices: list[str] = Field(default=[], description="What was noticed of the file as a whole, and of the answers")
    facts: dict[str, str]
    readings: list[ReadingOut] = Field(
        default=[], description="Where the file is not in the encoding taken for it: those that fit, likeliest first"
    )

    @classmethod
    def of(cls, run: Run) -> RunOut:
        """From the ledger's view of it."""
        return cls(
            id=run.id,
            pipeline=run.pipeline,
            file=run.facts.name or run.file,
            state=run.state,
            shown_as=run.shown_as,
            reason=run.reason,
            by=run.by,
            created=datetime.fromtimestamp(run.created, UTC),
            ended=datetime.fromtimestamp(run.ended, UTC) if run.ended else None,
            total=run.total,
            counts={str(state): count for state, count in run.counts.items()},
            skipped=run.skipped,
            being_delivered=run.busy,
            cancelling=run.cancelling,
            notices=run.notices,
            facts={name: value for name, value in run.stored.items() if name != "readings"},
            readings=[ReadingOut(encoding=each.encoding, lines=list(each.lines)) for each in run.facts.readings],
        )

    @classmethod
    def not_begun(cls, run: NotBegun) -> RunOut:
        """A run that Prefect alone knows."""
        flow, given = run.flow, run.flow.parameters
        created = flow.created or flow.expected
        return cls(
            id=flow.id,
            pipeline=str(given.get("pipeline") or ""),
            file=PurePath(str(given.get("file") or "")).name,
            state=run.kind,
            shown_as=KINDS[run.kind],
            reason="\n".join(run.words) if flow.ended else "",
            by=next((tag[3:] for tag in flow.tags if tag.startswith("by:")), "Prefect"),
            created=datetime.fromtimestamp(created, UTC) if created else None,
            ended=None,
            total=0,
            counts={str(state): 0 for state in RowState},
            skipped=0,
            being_delivered=False,
            cancelling=False,
            facts={},
        )


class Runs(BaseModel):
    """Some runs, newest first, of `total` that fit."""

    runs: list[RunOut]
    total: int


class RowOut(BaseModel):
    """A row: what stands in the file, and what became of it."""

    row: int
    line: int
    state: str
    values: dict[str, Any]
    attempts: int
    status: int | None
    kept: dict[str, Any]
    reason: str
    answer_excerpt: str
    took_seconds: float | None
    at: datetime | None

    @classmethod
    def of(cls, found: Found) -> RowOut:
        """From a row of the rowbook."""
        record = found.record
        return cls(
            row=record.row,
            line=found.line,
            state=record.state,
            values=found.values,
            attempts=record.attempts,
            status=record.status,
            kept=record.kept,
            reason=found.why,
            answer_excerpt=record.excerpt,
            took_seconds=record.took_seconds,
            at=datetime.fromtimestamp(record.at, UTC) if record.at else None,
        )


class RowsOut(BaseModel):
    """A page of rows. `note` says where what was asked for could not be done in full."""

    rows: list[RowOut]
    matching: int
    page: int
    pages: int
    note: str = ""


class RequestOut(BaseModel):
    """A row's request as it goes out, with secrets masked."""

    method: str
    url: str
    headers: dict[str, str]
    body: str
    problem: str = ""


class RowDetail(RowOut):
    """A row with its request."""

    request: RequestOut | None = None


class RejectionOut(BaseModel):
    """A row that was refused, and why."""

    row: int
    line: int
    reasons: list[dict[str, str]]
    cells: list[str]

    @classmethod
    def of(cls, rejection: Rejection) -> RejectionOut:
        """From the ledger's sample of it."""
        reasons = [{"column": r.column, "check": r.check, "value": r.value} for r in rejection.reasons]
        return cls(row=rejection.row, line=rejection.line, reasons=reasons, cells=list(rejection.cells))


class Preview(BaseModel):
    """What a check found: the first rejected rows, the first requests, and the shortest time it can take."""

    rejections: list[RejectionOut]
    requests: list[RequestOut]
    rows_to_send: int
    seconds: float | None
    runs_with_same_content: list[str]


class EventOut(BaseModel):
    """Something that happened, in words."""

    at: datetime
    text: str


class NewSchedule(Body):
    """A schedule of Prefect's: one of `cron`, `interval_seconds` and `rrule`."""

    pipeline: str
    source: str = Field("", description="Folder or URL to deliver from; empty: the pipeline's own inbox")
    cron: str | None = Field(None, examples=["0 6 * * 1-5"])
    interval_seconds: float | None = Field(None, ge=1, le=366 * 86_400)
    rrule: str | None = Field(None, examples=["FREQ=MONTHLY;BYDAY=1MO;BYHOUR=6;BYMINUTE=0;BYSECOND=0"], max_length=2000)
    timezone: str = Field("UTC", examples=["Europe/Berlin"])


class ScheduleChange(Body):
    """Pause or go on."""

    active: bool
