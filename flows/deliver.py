"""The flow: check the file, map the sending over its rows, sum up."""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from prefect import flow, get_run_logger, task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import logs
from flows.delivery.delivered import refuse_skipping
from flows.delivery.delivery import Delivery
from flows.delivery.plan import Chunk
from flows.errors import (
    Broken,
    DefinitionError,
    LedgerError,
    RowrelayError,
    RunDeleted,
    RunNotFound,
    Stopped,
    Superseded,
)
from flows.flow_runs import drain
from flows.flow_runs.launch import HAND_OVER, Launch, launched
from flows.flow_runs.missed import too_late
from flows.flow_runs.names import DELIVER
from flows.flow_runs.report import Report
from flows.ledger.connection import cautions, connect, reach
from flows.ledger.inbox import Claims
from flows.ledger.ledger import Ledger
from flows.ledger.view import Run, View
from flows.pipeline.definition import Definition, digest_of
from flows.pipeline.pipelines import pick, present
from flows.pipeline.reading import from_resolved, redirected, with_limit_of
from flows.records import Apostrophes, RunState, Wanted
from flows.retention import purge
from flows.settings import Settings
from flows.storage.located import opened

logs.without_told_traces()
THREADS = 16  # chunks under way at once; each only waits for the sending loop
PROGRESS_SECONDS = 5.0  # every update of the artifact is a write to Prefect's database


def _name() -> str:
    given = flow_run.parameters or {}
    if given.get("resume"):
        return f"resume {str(given['resume'])[:8]} ({given.get('rows', 'unfinished')})"
    return f"{given.get('pipeline')} · {Path(str(given.get('file'))).name}" + (
        " · check" if given.get("dry_run") else ""
    )


@task(task_run_name="{chunk.name}", cache_policy=NO_CACHE, persist_result=False, log_prints=False)
def send(chunk: Chunk, delivery: Delivery) -> dict[str, int]:
    """Deliver a chunk's rows under the shared limit; returns how many ended in which state."""
    return delivery.send(chunk)


@flow(
    name=DELIVER,
    flow_run_name=_name,
    task_runner=ThreadPoolTaskRunner(max_workers=THREADS),  # type: ignore[arg-type]
    persist_result=False,
    validate_parameters=True,
)
def deliver(
    pipeline: str = "posts",
    file: str = "",
    rows: Wanted = "unfinished",
    resume: str = "",
    dry_run: bool = False,
    skip_delivered: bool = False,
    encoding: str = "",
    apostrophes: Apostrophes | None = None,
) -> State[Any]:
    """Send every row of a file to the pipeline's API, at the API's own pace, and record what became of each.

    Args:
        pipeline: Which columns, which API, how fast: the name of a definition.
        file: The file, below the uploads, the inbox or another allowed folder, e.g. orders.csv. Not read where a run
            is resumed.
        rows: Of a run that is resumed: the unfinished rows, or once more the failed or the unknown ones.
        resume: Id of the run to resume; empty for a new run.
        dry_run: Only check the file. The run can be sent afterwards by resuming it.
        skip_delivered: Leave out the rows that earlier runs of the pipeline have delivered, by its `key` columns.
        encoding: What the file is written in, e.g. cp1252; empty: it is found.
        apostrophes: What an apostrophe before a formula, a number or a date is: part of the text (keep), or a guard
            against spreadsheets (remove); empty: as the pipeline says.
    """
    try:
        asked = {"encoding": encoding, "apostrophes": apostrophes}
        return _run(pipeline, file, rows, resume, dry_run=dry_run, skip_delivered=skip_delivered, asked=asked)
    except RowrelayError as exc:  # what a person can mend is no crash, and a trace would say nothing to them
        return Failed(message=str(exc), data=exc)


def _run(
    pipeline: str,
    file: str,
    rows: Wanted,
    resume: str,
    *,
    dry_run: bool,
    skip_delivered: bool,
    asked: Mapping[str, str | None],
) -> State[Any]:
    launch = launched()
    settings = Settings.read()
    redis_url = settings.redis_address
    client = connect(redis_url, patience=lambda: settings.give_up_seconds)
    reach(client, patience_seconds=settings.give_up_seconds)
    ledger, view = Ledger(client), View(client)
    own_id = str(flow_run.id)
    run = view.resolve(resume) if resume else own_id
    definition, known = _definition(pipeline, run, view, settings, launch)
    refuse_skipping(definition, known, wished=skip_delivered)
    if not known and (why := _missed(Claims(client, definition.name), settings)):
        return Completed(name="Skipped", message=why)
    if not known:
        ledger.create(
            run,
            definition=definition.resolved(),
            by=launch.by or _started_by(),
            pipeline=definition.name,
            file=file,
            name=Path(file).name,
            limit=definition.limit.name,
            trusted=int(launch.trusted),
            definition_digest=definition.digest(),
            skip_delivered=int(skip_delivered),
            only_check=int(dry_run),
            **_asked(asked, launch),
        )
    elif skip_delivered:
        ledger.facts(run, skip_delivered=1)
    ledger.flow(run, own_id)
    logs.speak_of(run=run)
    launch.on_run(run)
    for text in (*cautions(client), *_changes(definition, known, settings)):
        ledger.event(run, text)
    delivery = Delivery(run, definition, settings, redis_url)
    try:
        with _drained_by_signals(delivery):
            launch.on_delivery(delivery)
            state = _deliver(
                delivery, view, launch, settings, rows=rows, resumes=bool(known), request=own_id, dry_run=dry_run
            )
    finally:
        delivery.release()
        client.close()
    if delivery.handed_over and not launch.within:
        drain.leave(own_id)
    return state


def _asked(asked: Mapping[str, str | None], launch: Launch) -> dict[str, str]:
    """What was said of how to read the file: kept, so that a check that is begun again reads it alike."""
    said = {"encoding": launch.encoding, "delimiter": launch.delimiter, "apostrophes": launch.apostrophes}
    said |= {name: value for name, value in asked.items() if value}
    return {f"asked_{name}": value for name, value in said.items() if value}


def _missed(claims: Claims, settings: Settings) -> str:
    """Why a scheduled run must not send its file: of all that a downtime made late, one does."""
    if "auto-scheduled" not in (flow_run.tags or []):
        return ""
    due = flow_run.scheduled_start_time.timestamp()
    late = partial(too_late, due, time.time(), what="a run with the same parameters began")
    if why := late(allowed_seconds=settings.missed_seconds, last=0.0):
        return why
    what = hashlib.sha256(json.dumps(flow_run.parameters, sort_keys=True, default=str).encode()).hexdigest()
    return late(allowed_seconds=0.0, last=claims.begin(what, due, str(flow_run.id)))


def _definition(
    pipeline: str, run: str, view: View, settings: Settings, launch: Launch
) -> tuple[Definition, Run | None]:
    """The run's own definition if there is such a run, else the pipeline's; secrets and limits are read afresh."""
    try:
        known = view.run(run)
    except RunDeleted:  # a Retry in Prefect must not send all of it a second time
        raise
    except RunNotFound:
        picked = pick(present(settings), pipeline)
        return (redirected(picked, launch.url) if launch.url else picked), None
    kept = view.definition(run)
    if (known.facts.definition_digest or digest_of(kept)) != digest_of(kept):
        raise LedgerError(
            f"The definition that is kept of run {run} is not the one it began with, so its rows could become others.",
            hint="Send the file as a new run.",
        )
    begun_with = from_resolved(kept)
    try:
        return with_limit_of(begun_with, pick(present(settings), begun_with.name)), known
    except DefinitionError:  # what it was begun with is all that it needs
        return begun_with, known


def _changes(definition: Definition, known: Run | None, settings: Settings) -> Iterator[str]:
    """What a resumed run is not affected by."""
    try:
        present_one = present(settings).get(definition.name) if known else None
    except DefinitionError:
        return
    if present_one is not None and present_one.digest() != definition.digest():
        yield f"The definition of {definition.name} is not the one that this run began with; the run keeps to its own."


def _started_by() -> str:
    tags = flow_run.tags or []
    for tag in tags:
        if tag.startswith("by:"):
            return str(tag[3:])
    return "schedule" if "auto-scheduled" in tags else "Prefect"


def _deliver(
    delivery: Delivery,
    view: View,
    launch: Launch,
    settings: Settings,
    *,
    rows: Wanted,
    resumes: bool,
    request: str,
    dry_run: bool,
) -> State[Any]:
    logger = get_run_logger()
    if dry_run and resumes and view.run(delivery.run).total:
        return Completed(name="Checked", message=f"Run {delivery.run} was checked before; nothing was sent.")
    delivery.take(resume=resumes, only_check=dry_run)
    failure: RowrelayError | None = None
    report = Report(delivery.run, settings)
    broken: Exception | None = None
    try:
        with closing(delivery):
            if not dry_run:
                delivery.trust()
            purge(delivery.ledger, view, settings)  # this run is held, so it stays, however old it is
            if not dry_run:
                delivery.connect()
            _check(delivery, view, launch, settings, logger)
            if not dry_run:
                delivery.open()
            if dry_run:
                return _checked(delivery, logger)
            _send_all(delivery, rows, request, report)
    except RowrelayError as exc:
        failure = exc
    except Exception as exc:  # a mistake of ours: the run has to say that it ended, and Prefect gets the trace
        failure, broken = Broken.of(exc), exc
    within = launch.within or (request if drain.served() else "")
    resumable = isinstance(failure, Stopped | None) and not isinstance(failure, Broken)
    to_go_on = within and delivery.interrupted and resumable and drain.wanted(within)
    if to_go_on and (left := delivery.hand_over()):
        logger.info("handed over with %d of %d rows finished", left.finished_rows, left.total)
        return Cancelled(name=drain.NAME, message=drain.MESSAGE)
    try:
        run = delivery.end(failure)
    except Superseded as exc:
        return Failed(message=exc.message)  # whoever has the run now says how it ends
    report.finish(run, view)
    if broken is not None:
        raise broken
    return _state(run, logger)


def _check(delivery: Delivery, view: View, launch: Launch, settings: Settings, logger: Any) -> None:
    run = view.run(delivery.run)
    if run.total == 0:
        with _file(run, delivery.definition, settings) as file:
            result = delivery.spooling.check(
                file,
                encoding=run.facts.asked_encoding or None,
                delimiter=run.facts.asked_delimiter or None,
                apostrophes=run.facts.asked_apostrophes,
                skip_delivered=run.facts.skip_delivered,
            )
        logger.info("%d rows: %d accepted, %d rejected", result.rows, result.accepted, result.rejected)
    elif not delivery.spooling.is_whole():
        with _file(run, delivery.definition, settings) as file:
            delivery.spooling.make_anew(file)


def _file(run: Run, definition: Definition, settings: Settings) -> AbstractContextManager[Path]:
    """The file, here. Who begins a run at the command line may name any; others only those of some folders."""
    if run.facts.trusted:
        return nullcontext(Path(run.file))
    return opened(run.file, settings, definition)


def _checked(delivery: Delivery, logger: Any) -> State[Any]:
    delivery.put_down("checked; nothing sent yet")
    logger.info("checked only, nothing was sent")
    return Completed(name="Checked", message=f"Checked, nothing sent. Send it with resume={delivery.run}")


def _send_all(delivery: Delivery, rows: Wanted, request: str, report: Report) -> None:
    for chunks in delivery.rounds(rows, request=request):
        _map(delivery, chunks, report)


def _map(delivery: Delivery, chunks: list[Chunk], report: Report) -> None:
    if not chunks:
        return
    if delivery.settings.task_runner == "threads":
        _await(send.map(chunks, unmapped(delivery)), delivery, report)
        return
    from flows.delivery.spread import Share, halt, runner, send_portion  # an extra, which brings libraries of its own

    share = Share(delivery.run, delivery.lease.epoch, delivery.definition.resolved())
    sends: Any = send_portion
    portions = [delivery.planned.portion(chunk) for chunk in chunks]
    with runner(delivery.settings) as spread:
        try:
            futures = spread.map(sends, {"portion": portions, "share": unmapped(share)})
            _await(futures, delivery, report, on_interrupt=partial(halt, delivery))
        except BaseException:
            halt(delivery)
            raise


def _await(
    futures: Sequence[PrefectFuture[dict[str, int]]],
    delivery: Delivery,
    report: Report,
    *,
    on_interrupt: Callable[[], None] = lambda: None,
) -> None:
    """Wait for all, and tell how it goes meanwhile. `on_interrupt` is for who sends in other processes.

    Prefect's `wait` leaves a callback in every future each time it is called (11 bytes, measured). Called every five
    seconds for the 40 hours that a million rows take at 7 a second, that comes to some 150 MB.
    """
    ended: SimpleQueue[object] = SimpleQueue()
    for future in futures:
        future.add_done_callback(ended.put)
    left, due = len(futures), time.monotonic() + PROGRESS_SECONDS
    while left:
        try:
            ended.get(timeout=max(0.0, due - time.monotonic()))
            left -= 1
            if left:
                continue
        except Empty:
            due = time.monotonic() + PROGRESS_SECONDS
        report.progress(delivery.view)
        if delivery.interrupted:
            on_interrupt()
    for future in futures:
        future.result()  # a chunk that failed inside raises here


def _state(run: Run, logger: Any) -> State[Any]:
    counts = ", ".join(f"{count} {word}" for word, count in run.shown_counts.items() if count) or "no rows"
    message = f"{counts} of {run.total}" + (f". {run.reason}" if run.reason else "")
    if run.state is RunState.CANCELLED:
        logger.info(message)
        return Cancelled(message=message)
    if run.state is RunState.STOPPED:
        logger.error(message)
        return Failed(message=message)
    logger.log(logging.INFO if run.ended_well else logging.WARNING, message)
    if not run.ended_well:
        return Completed(name="CompletedWithErrors", message=message)
    return Completed(message=message)


@contextmanager
def _drained_by_signals(delivery: Delivery) -> Iterator[None]:
    """Of a cancellation or of a worker that ends: rows under way get their answers, no others are sent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = [signal.SIGTERM, HAND_OVER]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # Ctrl-C for a worker is one for its runs as well
        heard.append(signal.SIGINT)
    before = {number: signal.signal(number, lambda number, frame: delivery.drain()) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.signal(HAND_OVER, signal.SIG_IGN)  # it is over: too late to ask, and no reason to die
