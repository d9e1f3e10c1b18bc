"""Errors of the HTTP API as application/problem+json (RFC 9457): what happened, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from dashboard.actions import NotMeant, NotThere
from dashboard.files.upload import TooLarge
from dashboard.prefect_api.schedules import ScheduleRefused
from dashboard.prefect_api.server import NotInPrefect, PrefectRefused
from flows.errors import (
    DefinitionError,
    FileError,
    LedgerError,
    RowrelayError,
    RunBusy,
    RunNotFound,
    SettingError,
    SpoolDamaged,
    SpoolGone,
    StackError,
    StorageError,
)
from flows.flow_runs.start import KeyReused
from flows.pipeline.timing import RuleRefused

logger = logging.getLogger(__name__)
_STATUS: tuple[tuple[type[RowrelayError], int], ...] = (  # the first that fits
    (RunNotFound, 404),
    (NotThere, 404),
    (NotInPrefect, 404),
    (RunBusy, 409),
    (TooLarge, 413),
    (StorageError, 503),
    (SpoolGone, 410),
    (SpoolDamaged, 500),
    (NotMeant, 422),
    (KeyReused, 422),
    (FileError, 400),
    (DefinitionError, 400),
    (ScheduleRefused, 400),
    (RuleRefused, 400),
    (PrefectRefused, 400),
    (StackError, 503),
    (SettingError, 500),
    (LedgerError, 503),
    (RowrelayError, 409),
)


def problem(
    status: int, title: str, hint: str = "", *, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """An error as a response: `title` says what happened, `hint` what to do."""
    content = {"title": title, "status": status, **({"hint": hint} if hint else {}), **more}
    return JSONResponse(content, status, headers=headers, media_type="application/problem+json")


def status_of(error: RowrelayError) -> int:
    """The HTTP status of one of our errors."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def install(app: FastAPI) -> None:
    """Answer every error of the app in this form."""

    @app.exception_handler(RowrelayError)
    async def ours(request: Request, error: RowrelayError) -> JSONResponse:
        status = status_of(error)
        return problem(status, error.message, error.hint, headers={"Retry-After": "5"} if status == 503 else None)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [{"where": ".".join(map(str, fault["loc"])), "what": fault["msg"]} for fault in error.errors()]
        first = f"{faults[0]['where']}: {faults[0]['what']}" if faults else "The request is not valid."
        return problem(422, first, "See /api/docs for what is expected.", faults=faults)

    @app.exception_handler(Exception)
    async def other(request: Request, error: Exception) -> JSONResponse:
        logger.exception("the API failed", exc_info=error)
        return problem(500, "Something went wrong in the dashboard.", "Its log has the details.")
