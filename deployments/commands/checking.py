"""`rowrelay check`: what is wrong with a file, what would be sent, and how long that takes. Needs no stack."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import structs
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from deployments.commands.choosing import chosen
from deployments.commands.delivered import ADVICE, Known, known
from deployments.commands.progress import PLAIN_SECONDS
from deployments.commands.session import err, out
from deployments.commands.showing import print_json, rejections_table, replacing
from flows.client.compiled import Compiled
from flows.client.meaning import own_key
from flows.client.outlook import Number, login, number_of_requests, planned
from flows.client.outlook import shown as shown_of
from flows.client.proxy import unused_proxy
from flows.delivery.check import CheckResult, check_file
from flows.delivery.first_parcel import first_parcel, first_rows
from flows.errors import FileError, RowrelayError
from flows.export.correctable import Correctable
from flows.ledger.parcels import in_words
from flows.limit.pace import sending_seconds
from flows.masking import NO_SECRET
from flows.pipeline.definition import Definition
from flows.pipeline.file_form import WORDS, FileForm
from flows.pipeline.secret import missing_secrets, secret, secret_names, where_to_put
from flows.records import Rejection, Row
from flows.settings import Settings
from flows.sheet import Table as Sheet
from flows.sheet import for_spreadsheets
from flows.source.header import DELIMITERS, Called
from flows.source.source import open_file
from flows.words import duration, limit_words

SHOWN_REJECTIONS = 20
SHOWN_REQUESTS = 3
_LATER = "(given when it is sent)"


def check(
    file: Path,
    *,
    pipeline: str,
    said: FileForm,
    mapping: Mapping[str, str],
    rejects: Path | None,
    as_json: bool,
) -> int:
    """Check a file and say what was found.

    Returns 0 if all rows are good, 1 if some are rejected, 2 if a secret is missing.
    """
    settings = Settings.read()
    definition = chosen(pipeline, file, settings)
    secrets = {name: _secret(name, settings) for name in secret_names(definition)}
    options: dict[str, Any] = {"said": said, "mapping": mapping, "max_bytes": settings.max_upload_bytes}
    with (
        known(settings, definition) as before,
        _rejected_to(rejects, file, definition, options) as on_rejections,
        _progress(file) as on_progress,
    ):
        result = check_file(
            file,
            definition,
            on_progress=on_progress,
            on_rejections=on_rejections,
            delivered=before.index,
            **options,
        )
    first = _first_parcel(file, compiled := Compiled.of(definition, secrets), result, options)
    requests = list(_requests(compiled, result, first))
    number = number_of_requests(definition, result.accepted, first=len(first))
    missing = missing_secrets(definition, settings)
    least = sending_seconds(number.likely, definition.terms.windows)
    if warning := unused_proxy(definition):
        err.print(warning, style="yellow", markup=False)
    if as_json:
        earlier = {"delivered_before": before.as_object(result)} if definition.key else {}
        print_json(_object(file, definition, result, requests, number, least) | {"missing_secrets": missing} | earlier)
    else:
        _print(file, definition, result, requests, number, least)
        _print_earlier(before, result)
        if rejects:
            out.print(f"The rejected rows are in {rejects}: correct them there and check that file.", markup=False)
    for name in missing:
        err.print(_without(name, settings), style="red", markup=False)
    return 2 if missing else 1 if result.rejected else 0


def _without(name: str, settings: Settings) -> str:
    return f"The secret {name} is missing, so nothing can be sent. {where_to_put(name, settings.secrets)}"


def _secret(name: str, settings: Settings) -> str:
    """A check sends nothing, so it goes on without the secret."""
    try:
        return secret(name, settings.secrets)
    except RowrelayError:
        return NO_SECRET


def _first_parcel(file: Path, compiled: Compiled, result: CheckResult, options: Mapping[str, Any]) -> list[Row]:
    """The rows that travel together first, where many do. The file is read once more, no further than they reach."""
    if compiled.definition.batch is None or not result.accepted:
        return []
    return first_parcel(compiled, first_rows(file, compiled.definition, **options))


def _requests(compiled: Compiled, result: CheckResult, first: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """The first requests: of some rows, of the first that travel together, or each step of the first row."""
    for each in login(compiled, first or result.first):
        yield (shown_of(each, compiled.secrets) if each.request else {"error": each.problem, "row": 1}) | {
            "step": each.step, "when": None
        }  # fmt: skip
    shown = 1 if compiled.steps else SHOWN_REQUESTS
    for rows in [first] if first else [[row] for row in result.first[:shown]]:
        for each in planned(compiled, rows, key=_LATER, own_keys=[own_key(row) for row in rows]):
            numbers = [row.row for row in rows]
            about: dict[str, Any] = {"rows": numbers} if first else {}
            about |= {"step": each.step, "when": each.when or None} if each.step else {}
            if each.request is None:
                yield {"error": each.problem, "row": numbers[0], **about}
            else:
                yield shown_of(each, compiled.secrets) | about


def _object(
    file: Path,
    definition: Definition,
    result: CheckResult,
    requests: list[dict[str, Any]],
    number: Number,
    least: float,
) -> dict[str, Any]:
    rejections = [
        {
            "row": item.row,
            "line": item.line,
            "place": result.place(item.line, ""),
            "reasons": [
                structs.asdict(reason) | {"place": result.place(item.line, reason.column)} for reason in item.reasons
            ],
        }
        for item in result.samples
    ]
    names = (
        "rows",
        "accepted",
        "rejected",
        "encoding",
        "delimiter",
        "kind",
        "sheet",
        "columns",
        "ignored",
        "notices",
        "digest",
        "bytes",
        "seconds",
    )
    return {
        "file": str(file),
        "pipeline": definition.name,
        **{name: getattr(result, name) for name in names},
        "requests": number.as_object(),
        **({"auth": definition.auth.words} if definition.auth is not None else {}),
        "sending_seconds": least,
        "first_rejections": rejections,
        "first_requests": requests,
    }


def _print(
    file: Path,
    definition: Definition,
    result: CheckResult,
    requests: list[dict[str, Any]],
    number: Number,
    least: float,
) -> None:
    out.print(Text(f"{definition.name} · {file}", style="bold"))
    out.print(f"{_rows(result.rows)}, {_read_as(result)}, checked in {result.seconds:.1f} s", markup=False)
    for text in result.remarks:
        out.print(Text(text, style="yellow"))
    are = "is" if result.rejected == 1 else "are"
    good, bad = f"{result.accepted:,} can be sent", f"{result.rejected:,} {are} rejected"
    out.print(Text.assemble((good, "green"), ", ", (bad, "magenta" if result.rejected else "")))
    if result.samples:
        out.print()
        out.print(rejections_table(result.samples[:SHOWN_REJECTIONS], result.place))
        if (more := result.rejected - SHOWN_REJECTIONS) > 0:
            out.print(f"… and {more:,} more; --rejects FILE.csv writes them all down")
    if requests:
        title = "The first request" if requests[0].get("rows") else "The first requests"
        out.print(Text(f"\n{title} as {'it' if title[-1] == 't' else 'they'} would go out:", style="bold"))
        for request in requests:
            _print_request(request)
    if definition.auth is not None:
        out.print(f"\nLet in by: {definition.auth.words}. Nothing was fetched for this check.", markup=False)
    if result.accepted:
        limit = limit_words(definition.terms.windows, definition.terms.in_flight)
        made = f" in {number.words}" if number.least != result.accepted or number.most != number.least else ""
        out.print(f"\nSending {_rows(result.accepted)}{made} takes at least {duration(least)} (limit: {limit})")


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _read_as(result: CheckResult) -> str:
    """What kind of file it was taken for."""
    origin = result.origin
    if origin.kind == "csv":
        return f"{result.encoding}, {DELIMITERS.get(result.delimiter, repr(result.delimiter))}-separated"
    return WORDS[origin.kind] + (f", sheet {origin.sheet}" if origin.sheet else "")


def _print_earlier(before: Known, result: CheckResult) -> None:
    """What is known of the rows from earlier runs."""
    for text in before.words(result):
        out.print(Text(text, style="yellow" if result.delivered or result.unsure or before.remark else ""))
    if result.delivered:
        out.print(ADVICE, markup=False)


def _print_request(request: dict[str, Any]) -> None:
    if rows := request.get("rows"):
        out.print(Text(f"  {'row' if len(rows) == 1 else 'rows'} {in_words(rows)}, in one request:", style="dim"))
    if step := request.get("step"):
        when = f", if {request['when']}" if request["when"] else ""
        out.print(Text(f"  step {step}{when}:", style="dim"))
    if "error" in request:
        out.print(Text(f"  row {request['row']} makes no request: {request['error']}", style="red"))
        return
    out.print(Text(f"  {request['method']} {request['url']}"))
    boring = ("host", "user-agent", "accept", "accept-encoding", "content-length", "idempotency-key")
    for name, value in request["headers"].items():
        if name.lower() not in boring:
            out.print(Text(f"    {name}: {value}", style="dim"))
    if request["body"]:
        out.print(Text(f"    {request['body']}"))


@contextmanager
def _rejected_to(
    path: Path | None, file: Path, definition: Definition, options: Mapping[str, Any]
) -> Iterator[Callable[[Sequence[Rejection]], None] | None]:
    """Where the rejected rows go: a file of their reasons and the original columns, or nowhere."""
    if path is None:
        yield None
        return
    if path.exists() and file.exists() and os.path.samefile(path, file):
        raise FileError("is the file that is being checked", file=str(path), hint="Give --rejects another name.")
    wanted = dict.fromkeys(definition.column_names, True)
    stated = definition.source.but(options["said"])
    with open_file(
        file,
        wanted,
        called=Called.of(definition, options["mapping"]),
        max_bytes=options["max_bytes"],
        form=stated,
    ) as source:
        columns, used, origin = source.columns, source.delimiter or ",", source.origin
    form = Correctable.of(columns, definition.column_names)
    with replacing(path) as target:
        sheet = Sheet(used, for_spreadsheets(stated.encoding))
        target.write(sheet.lines([form.header]))

        def write(rejections: Sequence[Rejection]) -> None:
            reasons = (origin.told(item.line) + item.why for item in rejections)
            target.write(sheet.lines(map(form.line, reasons, (item.cells for item in rejections))))

        yield write


@contextmanager
def _progress(file: Path) -> Iterator[Callable[[int, int, int], None]]:
    """A bar on a terminal, a line now and then elsewhere."""
    if err.is_terminal:
        columns = (BarColumn(), TextColumn("{task.fields[rows]:,} rows checked"))
        with Progress(*columns, console=err, transient=True) as shown:
            task = shown.add_task("", total=None, rows=0)
            yield lambda rows, done, total: shown.update(task, completed=done, total=total, rows=rows)
        return
    due = time.monotonic() + PLAIN_SECONDS

    def say(rows: int, done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() > due:
            due = time.monotonic() + PLAIN_SECONDS
            err.print(f"{file.name}: {rows:,} rows checked, {100 * done // max(total, 1)} % of the file", markup=False)

    yield say
