"""What the HTTP API takes and gives of pipelines, limits, schedules and services, as pydantic models."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from dashboard import target
from dashboard.api.envelope import Answer, Body, Page
from dashboard.prefect_api.schedules import Schedule as Planned
from flows.credentials.account import Standing
from flows.limit.status import LimitStatus
from flows.pipeline.advice import advice
from flows.pipeline.definition import Definition
from flows.words import limit_words


class Pace(Answer):
    """The limit that a pipeline sends under."""

    name: str
    pace: str = Field(description="In words", examples=["7 per second"])
    in_flight: int


class Pipeline(Answer):
    """A pipeline: where it sends to, which columns it takes, how fast it goes."""

    name: str
    description: str
    host: str = Field(description="The server that its requests go to")
    this_machine: bool = Field(description="Whether that is the machine of the dashboard itself")
    columns: list[str]
    limit: Pace

    @classmethod
    def of(cls, definition: Definition) -> Pipeline:
        """From its definition."""
        return cls.model_validate(_pipeline(definition))


class PipelinePage(Page[Pipeline]):
    """All pipelines; there is never a next page."""


class PipelineDetail(Pipeline):
    """A pipeline with its whole definition."""

    definition: dict[str, Any] = Field(description="Its keys are those of docs/pipelines.md; secrets are only named")
    advice: list[str] = Field(description="What is no fault, but to be known before anything is sent")

    @classmethod
    def of(cls, definition: Definition, shown: dict[str, Any] | None = None) -> PipelineDetail:
        """From its definition, and what of it may be shown."""
        return cls.model_validate({**_pipeline(definition), "definition": shown or {}, "advice": advice(definition)})


class LimitState(StrEnum):
    """Whether requests may go. `cooling down`: earlier ones may still count. `latched`: a person has to open the limit,
    as the API has shut us out.
    """

    OPEN = "open"
    COOLING_DOWN = "cooling down"
    PAUSED = "paused"
    LATCHED = "latched"


class Window(Answer):
    """At most `requests` (or units) in any `seconds`, or in a period of the calendar; `held` are taken now."""

    requests: int
    seconds: float
    held: int
    units: bool = Field(description="It counts units, of which a request may cost several")
    period: str = Field(description="By the calendar, e.g. `day Europe/Berlin`; empty: by seconds")


class Limit(Answer):
    """How a limit stands. Moments are null where nothing of the kind is going on."""

    name: str
    state: LimitState
    windows: list[Window]
    in_flight: int = Field(description="Most requests at once; 0 where nobody uses the limit now")
    in_flight_now: int
    processes: int = Field(description="Processes that used the limit in the last ten seconds")
    numbers_in_force: int = Field(description="More than 1: pipelines state different numbers, and all are kept to")
    cooling_down_until: datetime | None = Field(description="Nothing is sent before, as earlier requests may count")
    cooling_down_because: str
    paused_until: datetime | None = Field(description="The API asked for a pause")
    paused_because: str
    latched_at: datetime | None = Field(description="The API shut us out")
    latched_because: str
    latched_by_run: str
    values: int = Field(description="Of a limit for each value: how many are in use; their places are not in `held`")
    slowed_until: datetime | None = Field(description="The API said how much is left until then, which is spread out")
    slow_seconds: float = Field(description="So far apart requests start until then")

    @classmethod
    def of(cls, limit: LimitStatus) -> Limit:
        """From what the limit's own record says."""
        return cls(
            name=limit.name,
            state=LimitState(_STATES.get(limit.state, limit.state)),
            windows=[Window(**asdict(window)) for window in limit.windows],
            in_flight=limit.in_flight,
            in_flight_now=limit.flying,
            processes=limit.askers,
            numbers_in_force=limit.numbers_in_force,
            cooling_down_until=_moment(limit.quarantine_until),
            cooling_down_because=limit.quarantine_reason,
            paused_until=_moment(limit.paused_until),
            paused_because=limit.pause_reason,
            latched_at=_moment(limit.latched_at),
            latched_because=limit.latch_reason,
            latched_by_run=limit.latch_run,
            values=limit.values,
            slowed_until=_moment(limit.slowed_until),
            slow_seconds=limit.slow_seconds,
        )


class LimitPage(Page[Limit]):
    """All limits; there is never a next page."""


class Opened(Answer):
    """Whether a limit was opened: false if it was open."""

    opened: bool


class NewSchedule(Body):
    """A schedule of Prefect's: one of `cron`, `interval_seconds` and `rrule`."""

    pipeline: str
    source: str = Field("", description="Folder or URL to deliver from; empty: the pipeline's own inbox")
    cron: str | None = Field(None, examples=["0 6 * * 1-5"])
    interval_seconds: float | None = Field(None, ge=1, le=366 * 86_400)
    rrule: str | None = Field(None, examples=["FREQ=MONTHLY;BYDAY=1MO;BYHOUR=6;BYMINUTE=0;BYSECOND=0"], max_length=2000)
    timezone: str = Field("UTC", examples=["Europe/Berlin"])
    skip_delivered: bool = Field(
        False, description="Leave out the rows that earlier runs delivered, by the pipeline's `key`"
    )


class ScheduleChange(Body):
    """Pause or resume; other times: one of `cron`, `interval_seconds` and `rrule`; or which rows are left out."""

    active: bool | None = Field(None, description="false: paused")
    cron: str | None = Field(None, examples=["0 6 * * 1-5"])
    interval_seconds: float | None = Field(None, ge=1, le=366 * 86_400)
    rrule: str | None = Field(None, max_length=2000)
    timezone: str | None = Field(None, description="Goes with other times; empty: as before")
    skip_delivered: bool | None = Field(None, description="Whether to leave out the rows that earlier runs delivered")

    @property
    def times(self) -> bool:
        """Whether it is to come at other times."""
        return any(each is not None for each in (self.cron, self.interval_seconds, self.rrule, self.timezone))

    @model_validator(mode="after")
    def _something(self) -> ScheduleChange:
        if self.active is None and self.skip_delivered is None and not self.times:
            raise ValueError("says nothing; state `active`, `skip_delivered`, or other times")
        return self


class Schedule(Answer):
    """When Prefect starts a delivery."""

    id: str
    pipeline: str
    rule: str = Field(description="In words where it is simple, else as it was stated")
    timezone: str
    source: str = Field(description="Folder or URL to deliver from; empty: the pipeline's own inbox")
    active: bool
    skip_delivered: bool = Field(description="Rows that earlier runs delivered are left out")
    next_times: list[datetime] = Field(description="When it starts something next")
    last: str | None = Field(description="The state of the last flow run that it started")

    @classmethod
    def of(cls, each: Planned, coming: list[datetime] | None = None) -> Schedule:
        """From what Prefect has of it; `coming` where Prefect has not planned its runs yet."""
        return cls(
            id=each.id,
            pipeline=each.deployment.name,
            rule=each.rule,
            timezone=each.timezone,
            source=each.source,
            active=each.active,
            skip_delivered=each.skips,
            next_times=coming or [datetime.fromtimestamp(at, UTC) for at in each.coming],
            last=each.last.state if each.last else None,
        )


class SchedulePage(Page[Schedule]):
    """All schedules; there is never a next page."""


class Service(Answer):
    """One part of the whole: what it is for, whether it is well, and what to do if not."""

    name: str
    well: bool
    says: str
    does: str
    todo: str
    address: str


class Account(Answer):
    """The OAuth2 token of a pipeline: one for everything that uses the same account."""

    pipeline: str
    grant: str
    connected: bool = Field(description="There is a token, or the next run can fetch one by itself")
    expires: datetime | None = Field(description="When the token runs out; it is renewed before")
    refused: str = Field(description="What the token server said when it refused us last; empty: it did not")
    todo: str

    @classmethod
    def of(cls, standing: Standing) -> Account:
        """From how it stands."""
        return cls(
            pipeline=standing.pipeline,
            grant=standing.grant,
            connected=standing.connected,
            expires=_moment(standing.expires),
            refused=standing.trouble,
            todo=standing.todo,
        )


class Status(Answer):
    """Whether everything that sending needs is there."""

    well: bool
    services: list[Service]
    accounts: list[Account] = Field(description="Of the pipelines that fetch tokens")


class ProblemKind(Answer):
    """A problem that this API may answer with."""

    type: str
    title: str
    status: int
    description: str


class ProblemPage(Page[ProblemKind]):
    """All kinds of problems; there is never a next page."""


_STATES = {"waiting to be sure": "cooling down"}


def _pipeline(definition: Definition) -> dict[str, Any]:
    terms = definition.terms
    return {
        "name": definition.name,
        "description": definition.description,
        "host": target.host_of(definition),
        "this_machine": target.stays_here(definition),
        "columns": list(definition.column_names),
        "limit": {
            "name": terms.name,
            "pace": limit_words(terms.windows, terms.in_flight),
            "in_flight": terms.in_flight,
        },
    }


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
