"""How this program writes its logs: lines for people, or one JSON object a line for machines that collect them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from flows.errors import RowrelayError

PREFECT_JSON = Path(__file__).with_name("logging.yml")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LOUD = ("httpx", "httpcore", "aiohttp", "asyncio")  # they log whole addresses, which may hold secrets


_about: dict[str, str] = {}  # what every line of this process carries


def speak_of(**facts: str) -> None:
    """Let every line of this process carry these facts, such as the id of the run that it delivers."""
    _about.update(facts)


def for_prefect(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that make Prefect, in a process that has yet to import it, write its logs in the form that is set."""
    if environment.get("ROWRELAY_LOG_FORMAT") != "json" or "PREFECT_LOGGING_CONFIG_PATH" in environment:
        return {}
    return {"PREFECT_LOGGING_CONFIG_PATH": str(PREFECT_JSON)}


class JsonFormatter(logging.Formatter):
    """One object a line: time (UTC), level, logger, message, trace, and whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        extra = {name: value for name, value in vars(record).items() if name not in _OWN and not name.startswith("_")}
        return json.dumps({**_about, **extra, **line}, ensure_ascii=False, default=str)


def configure(form: Literal["text", "json"], *, level: int = logging.INFO) -> None:
    """Write what this process logs to standard error in this form. May be called again.

    With `json`, the handlers for people that libraries have set up (Prefect's console, uvicorn's, Streamlit's) give
    way to ours. What Prefect sends to its own server is left alone.
    """
    root = logging.getLogger()
    if form == "json":
        for logger in [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]:
            for handler in [each for each in logger.handlers if _for_people(each)]:
                logger.removeHandler(handler)
                if logger is not root and not logger.propagate:
                    logger.addHandler(_handler(form))
    if form == "json" or not root.handlers:
        root.addHandler(_handler(form))
    for name in ("flows", "deployments", "dashboard", "rowrelay"):
        logging.getLogger(name).setLevel(level)
    hush()


def hush() -> None:
    """Let the libraries that talk to APIs log warnings only, whatever the root's level is."""
    for name in _LOUD:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger(name).level))


def without_told_traces() -> None:
    """Let Prefect leave out the traces of runs whose state says in words why they failed or were cancelled."""
    for name in ("prefect.flow_runs", "prefect.engine"):
        logger = logging.getLogger(name)
        if _is_news not in logger.filters:
            logger.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    from prefect.exceptions import CancelledRun, FailedRun

    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (RowrelayError, FailedRun, CancelledRun))


def voice(name: str, form: str) -> logging.Logger:
    """A logger for what a program has to say in any case: Prefect, imported later, does not change where it goes."""
    logger = logging.getLogger(name)
    logger.handlers, logger.propagate = [_handler(form)], False
    logger.setLevel(logging.INFO)
    return logger


def _for_people(handler: logging.Handler) -> bool:
    """Whether a handler writes to the terminal."""
    stream = getattr(handler, "stream", None) or getattr(getattr(handler, "console", None), "file", None)
    return stream in (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)


def _handler(form: str) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    return handler
