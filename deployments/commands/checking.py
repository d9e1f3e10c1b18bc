"""`rowrelay check`: what is wrong with a file, what would be sent, and how long that takes. Needs no stack."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from deployments.commands.delivered import ADVICE, Known, known
from deployments.commands.progress import PLAIN_SECONDS
from deployments.commands.session import err, out
from deployments.commands.showing import print_json, rejections_table, replacing
from flows.client.proxy import proxy_warning
from flows.client.request import build, mask
from flows.delivery.check import CheckResult, check_file
from flows.errors import FileError, RowrelayError
from flows.export import Correctable
from flows.limit.pace import sending_seconds
from flows.masking import NO_SECRET
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import pick, present
from flows.pipeline.rendering import Rendering
from flows.pipeline.secret import missing_secrets, secret, secret_names, where_to_put
from flows.records import Apostrophes, Rejection
from flows.settings import Settings
from flows.sheet import Table as Sheet
from flows.sheet import for_spreadsheets
from flows.source.header import DELIMITERS
from flows.source.source import open_file
from flows.words import duration, limit_words

SHOWN_REJECTIONS = 20
SHOWN_REQUESTS = 3


def check(
    file: Path,
    *,
    pipeline: str,
    encoding: str | None,
    delimiter: str | None,
    apostrophes: Apostrophes | None,
    rejects: Path | None,
    as_json: bool,
) -> int:
    """Check a file and say what was found.

    Returns 0 if all rows are good, 1 if some are rejected, 2 if a secret is missing.
    """
    settings = Settings.read()
    definition = pick(present(settings), pipeline)
    secrets = {name: _secret(name, settings) for name in secret_names(definition)}
    options: dict[str, Any] = {"encoding": encoding, "delimiter": delimiter, "apostrophes": apostrophes}
    options["max_bytes"] = settings.max_upload_bytes
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
    requests = list(_requests(definition, result, secrets))
    missing = missing_secrets(definition, settings)
    least = sending_seconds(result.accepted, definition.limit.pairs)
    if warning := proxy_warning(definition.main.url):
        err.print(warning, style="yellow", markup=False)
    if as_json:
        earlier = {"delivered_before": before.as_object(result)} if definition.key else {}
        print_json(_object(file, definition, result, requests, least) | {"missing_secrets": missing} | earlier)
    else:
        _print(file, definition, result, requests, least)
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


def _requests(definition: Definition, result: CheckResult, secrets: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    rendering = Rendering.of(definition)
    for row in result.first[:SHOWN_REQUESTS]:
        try:
            yield mask(build(rendering, row, key="(given when it is sent)", secrets=secrets), secrets)
        except RowrelayError as exc:
            yield {"error": exc.message, "row": row.row}


def _object(
    file: Path, definition: Definition, result: CheckResult, requests: list[dict[str, Any]], least: float
) -> dict[str, Any]:
    rejections = [
        {"row": item.row, "line": item.line, "reasons": [asdict(reason) for reason in item.reasons]}
        for item in result.samples
    ]
    names = (
        "rows",
        "accepted",
        "rejected",
        "encoding",
        "delimiter",
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
        "sending_seconds": least,
        "first_rejections": rejections,
        "first_requests": requests,
    }


def _print(
    file: Path,
    definition: Definition,
    result: CheckResult,
    requests: list[dict[str, Any]],
    least: float,
) -> None:
    separated = DELIMITERS.get(result.delimiter, repr(result.delimiter))
    out.print(Text(f"{definition.name} · {file}", style="bold"))
    out.print(f"{result.rows:,} rows, {result.encoding}, {separated}-separated, checked in {result.seconds:.1f} s")
    for text in result.remarks:
        out.print(Text(text, style="yellow"))
    good, bad = f"{result.accepted:,} can be sent", f"{result.rejected:,} are rejected"
    out.print(Text.assemble((good, "green"), ", ", (bad, "magenta" if result.rejected else "")))
    if result.samples:
        out.print()
        out.print(rejections_table(result.samples[:SHOWN_REJECTIONS]))
        if (more := result.rejected - SHOWN_REJECTIONS) > 0:
            out.print(f"… and {more:,} more; --rejects FILE.csv writes them all down")
    if requests:
        out.print(Text("\nThe first requests as they would go out:", style="bold"))
        for request in requests:
            _print_request(request)
    if result.accepted:
        limit = limit_words(definition.limit.pairs, definition.terms.in_flight)
        out.print(f"\nSending {result.accepted:,} rows takes at least {duration(least)} (limit: {limit})")


def _print_earlier(before: Known, result: CheckResult) -> None:
    """What is known of the rows from earlier runs."""
    for text in before.words(result):
        out.print(Text(text, style="yellow" if result.delivered or result.unsure or before.remark else ""))
    if result.delivered:
        out.print(ADVICE, markup=False)


def _print_request(request: dict[str, Any]) -> None:
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
    given: dict[str, str | None] = {"encoding": options["encoding"] or definition.source.encoding}
    given["delimiter"] = options["delimiter"] or definition.source.delimiter
    with open_file(
        file,
        wanted,
        max_bytes=options["max_bytes"],
        encoding=given["encoding"],
        delimiter=given["delimiter"],
        apostrophes=options["apostrophes"] or definition.source.apostrophes,
    ) as source:
        columns, used = source.columns, source.delimiter
    form = Correctable.of(columns, definition.column_names)
    with replacing(path) as target:
        sheet = Sheet(used, for_spreadsheets(given["encoding"]))
        target.write(sheet.lines([form.header]))

        def write(rejections: Sequence[Rejection]) -> None:
            target.write(sheet.lines(form.line("; ".join(map(str, item.reasons)), item.cells) for item in rejections))

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
