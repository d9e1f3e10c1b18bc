"""What several commands are given: the same names and words everywhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


def group(help: str | None = None) -> typer.Typer:
    """Commands that belong together."""
    return typer.Typer(help=help, rich_markup_mode=None, context_settings=CONTEXT)


class Whose(StrEnum):
    """Whose definition a resumed run goes by."""

    OWN = "own"
    NEW = "new"


class Rows(StrEnum):
    """Which rows of a resumed run are sent, or asked about."""

    UNFINISHED = "unfinished"
    FAILED = "failed"
    UNKNOWN = "unknown"
    RECONCILE = "reconcile"
    ACCEPTED = "accepted"


class Chosen(StrEnum):
    """Which rows are exported."""

    ALL = "all"
    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    WAITING = "waiting"
    TROUBLED = "troubled"


class Question(StrEnum):
    """What an answer answers."""

    REQUEST = "request"
    RECONCILE = "reconcile"
    POLL = "poll"


class Form(StrEnum):
    """How results are written."""

    JSON = "json"
    CSV = "csv"
    JSONL = "jsonl"


RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, a Prefect flow run's id, or `last`.")
]
Pipeline = Annotated[
    str | None,
    typer.Option(help="Name of the pipeline; `rowrelay pipelines` lists them.", show_default="the only one"),
]
Mapped = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FILE=COLUMN",
        help="The column that the file calls FILE is the pipeline's COLUMN, or none of them (FILE=). Once for each.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
