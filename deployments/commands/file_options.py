"""The options that say how a file is read: the same for every command that reads one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any

import typer


class Kind(StrEnum):
    """What kind of file it is."""

    CSV = "csv"
    XLSX = "xlsx"
    XLS = "xls"
    ODS = "ods"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Apostrophe(StrEnum):
    """What an apostrophe at the beginning of a cell is: part of the text, or a guard against spreadsheets."""

    KEEP = "keep"
    REMOVE = "remove"


class Merged(StrEnum):
    """What becomes of merged cells."""

    REFUSE = "refuse"
    FILL = "fill"


Said = dict[str, Any]  # by key of `source` in a definition what was said; None: nothing

NOTHING: Said = {}

_OPTIONS: dict[str, Any] = {
    "kind": Annotated[
        Kind | None, typer.Option(help="What kind of file it is. Default: found by what is in it.", show_default=False)
    ],
    "encoding": Annotated[str | None, typer.Option(help="The file's encoding, e.g. cp1252. Default: found.")],
    "delimiter": Annotated[str | None, typer.Option(help="What separates the cells: , ; | or tab. Default: found.")],
    "apostrophes": Annotated[
        Apostrophe | None,
        typer.Option(
            help="Before a formula, number or date: keep it as part of the text, or remove it.", show_default="ask"
        ),
    ],
    "sheet": Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The sheet of a workbook: its name, or its position from 1. Default: the only one with content.",
        ),
    ],
    "header_row": Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="The row that names the columns, as rows stand. Default: found."),
    ],
    "skip_rows": Annotated[
        int | None, typer.Option(metavar="N", min=0, help="So many rows at the top are passed over.")
    ],
    "skip_footer": Annotated[
        int | None, typer.Option(metavar="N", min=0, help="So many rows with content at the end are no rows: totals.")
    ],
    "merged": Annotated[
        Merged | None,
        typer.Option(help="Merged cells: refuse the file, or fill each with their value.", show_default="refuse"),
    ],
    "path": Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Where the rows are in a JSON file, e.g. data.items. Default: the only array."
        ),
    ],
}


def reads_file(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command these options in the place of its parameter `form`, which gets what was said."""
    signature = inspect.signature(command, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY

    @wraps(command)
    def made(**given: Any) -> int:
        form = {name: given.pop(name) for name in _OPTIONS}
        return command(**given, form={name: getattr(value, "value", value) for name, value in form.items()})

    added = [inspect.Parameter(name, keyword, default=None, annotation=kind) for name, kind in _OPTIONS.items()]
    parameters = [each.replace(kind=keyword) for each in signature.parameters.values()]
    at = next(index for index, each in enumerate(parameters) if each.name == "form")
    parameters[at : at + 1] = added
    made.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # where inspect looks
    made.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": int}
    return made


def by_option(form: Said) -> dict[str, object]:
    """What was said, by the option that says it."""
    return {f"--{name.replace('_', '-')}": value for name, value in form.items()}
