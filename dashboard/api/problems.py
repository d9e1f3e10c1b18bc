"""Errors of the HTTP API as application/problem+json (RFC 9457).

`type` and `title` follow from the class of an error and stay the same: programs go by `type`. `detail` is what happened
this time, `hint` what to do about it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from dashboard.files.upload import TooLarge
from dashboard.prefect_api.schedules import ScheduleRefused
from dashboard.prefect_api.server import NotInPrefect, PrefectRefused
from dashboard.refusals import NotFound
from dashboard.words import by_name
from flows.delivery.changes import ChangesRefused
from flows.errors import (
    DefinitionError,
    FileError,
    LedgerError,
    RowrelayError,
    RunBusy,
    RunNotFound,
    SecretAbroad,
    SecretMissing,
    SettingError,
    SpoolDamaged,
    SpoolGone,
    StackError,
    StorageError,
)
from flows.flow_runs.start import KeyReused
from flows.pipeline.timing import RuleRefused

logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
PLACE = "/api/problems/"  # the same whatever the dashboard is called: programs compare it
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class NotValid(RowrelayError):
    """The request is not valid."""


class UnreadableBody(RowrelayError):
    """The body of the request cannot be read."""


class SignInNeeded(RowrelayError):
    """Only those who sign in get through."""


class OtherSite(RowrelayError):
    """The request came from a page of another site."""


class WrongHost(RowrelayError):
    """This server does not go by that name."""


class SecretsUnreadable(RowrelayError):
    """The dashboard's secrets cannot be read, so nobody gets through."""


class InternalError(RowrelayError):
    """Something went wrong in the dashboard."""


_STATUS: tuple[tuple[type[RowrelayError], int], ...] = (  # the first that fits
    (RunNotFound, 404),
    (NotFound, 404),
    (NotInPrefect, 404),
    (RunBusy, 409),
    (TooLarge, 413),
    (StorageError, 503),
    (SpoolGone, 410),
    (SpoolDamaged, 500),
    (NotValid, 422),
    (KeyReused, 422),
    (ChangesRefused, 422),
    (UnreadableBody, 400),
    (SignInNeeded, 401),
    (OtherSite, 403),
    (WrongHost, 421),
    (SecretsUnreadable, 503),
    (InternalError, 500),
    (FileError, 400),
    (DefinitionError, 400),
    (ScheduleRefused, 400),
    (RuleRefused, 400),
    (PrefectRefused, 400),
    (StackError, 503),
    (SecretMissing, 409),
    (SecretAbroad, 409),
    (SettingError, 500),
    (LedgerError, 503),
    (RowrelayError, 409),
)
_RETRY_SECONDS = "5"


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="The parameter or field", examples=["body.pipeline"])
    what: str


class Problem(BaseModel):
    """Why a request came to nothing (RFC 9457)."""

    type: str = Field(
        description="Which problem it is. It stays the same, so programs can go by it; `about:blank` says no more than"
        " `status`",
        examples=[f"{PLACE}run-busy"],
    )
    title: str = Field(description="The same for every problem of this type")
    status: int
    detail: str = Field(description="What happened this time")
    hint: str | None = Field(default=None, description="What to do about it")
    faults: list[Fault] | None = Field(default=None, description="All that is wrong with the request (`not-valid`)")


def raises(*kinds: type[RowrelayError]) -> Callable[[Endpoint], Endpoint]:
    """Say which errors a route answers with, beside those that any may; its documentation lists them."""

    def note(endpoint: Endpoint) -> Endpoint:
        _RAISED[endpoint] = kinds
        return endpoint

    return note


def raised_by(endpoint: Callable[..., Any]) -> tuple[type[RowrelayError], ...]:
    """The errors that a route was said to raise."""
    return _RAISED.get(endpoint, ())


_RAISED: dict[Callable[..., Any], tuple[type[RowrelayError], ...]] = {}


def name_of(kind: type[RowrelayError]) -> str:
    """The last part of a problem's `type`, such as `run-busy`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


def title_of(kind: type[RowrelayError]) -> str:
    """The first sentence of what its class says of itself."""
    return (kind.__doc__ or "").strip().partition("\n")[0].partition(". ")[0].rstrip(".") + "."


def status_of(kind: type[RowrelayError]) -> int:
    """The HTTP status of a class of errors."""
    return next(status for each, status in _STATUS if issubclass(kind, each))


def example_of(kind: type[RowrelayError]) -> dict[str, Any]:
    """A problem of this kind, as far as it is always the same."""
    status = status_of(kind)
    return {"type": PLACE + name_of(kind), "title": title_of(kind), "status": status, "detail": title_of(kind)}


def answer(error: RowrelayError, *, faults: Iterable[Fault] = ()) -> JSONResponse:
    """An error as a response."""
    kind, status = type(error), status_of(type(error))
    found = Problem(
        type=PLACE + name_of(kind),
        title=title_of(kind),
        status=status,
        detail=by_name(error.message),
        hint=error.hint or None,
        faults=list(faults) or None,
    )
    headers = {503: {"Retry-After": _RETRY_SECONDS}, 401: {"WWW-Authenticate": "Bearer"}}.get(status)
    return _response(found, headers)


def install(app: FastAPI) -> None:
    """Answer every error of the app in this form."""

    @app.exception_handler(RowrelayError)
    async def ours(request: Request, error: RowrelayError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:
            return answer(UnreadableBody(str(error.detail)))
        title = HTTPStatus(error.status_code).phrase
        found = Problem(type="about:blank", title=title, status=error.status_code, detail=str(error.detail))
        return _response(found, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [Fault(where=".".join(map(str, fault["loc"])), what=fault["msg"]) for fault in error.errors()]
        first = f"{faults[0].where}: {faults[0].what}" if faults else ""
        return answer(NotValid(first, hint="See /api/docs for what is expected."), faults=faults)

    @app.exception_handler(Exception)
    async def other(request: Request, error: Exception) -> JSONResponse:
        logger.exception("the API failed", exc_info=error)
        return answer(InternalError(hint="Its log has the details."))


def _response(found: Problem, headers: Mapping[str, str] | None) -> JSONResponse:
    content = found.model_dump(exclude_none=True)
    return JSONResponse(content, found.status, headers=headers, media_type=MEDIA_TYPE)
