"""The flow: check the file, map the sending over its rows, sum up."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import logs
from flows.delivery.delivered import refuse_skipping
from flows.delivery.delivery import Delivery
from flows.delivery.earlier_run import results_of, undoing
from flows.delivery.order import Order, changes
from flows.delivery.plan import Chunk
from flows.delivery.rounds import Wish
from flows.errors import Broken, RowrelayError, RunBusy, RunDeleted, RunNotFound, Stopped, Superseded
from flows.flow_runs import drain
from flows.flow_runs.launch import Launch, launched
from flows.flow_runs.mapping import send_all
from flows.flow_runs.missed import missed
from flows.flow_runs.names import DELIVER, source_name, title
from flows.flow_runs.next_look import schedule_look
from flows.flow_runs.outcome import CHECKED, SKIPPED
from flows.flow_runs.report import Report
from flows.flow_runs.signals import drained_by_signals
from flows.flow_runs.states import final, started_by, told
from flows.ledger.connection import cautions, connect, verify
from flows.ledger.inbox import Claims
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.file_form import FileForm, said
from flows.pipeline.pipelines import pick, present
from flows.pipeline.reading import redirected
from flows.records import Apostrophes, Wanted
from flows.retention import purge
from flows.settings import Settings
from flows.storage.located import opened

logs.without_told_traces()
THREADS = 16  # chunks under way at once; each only waits for the sending loop


def _name() -> str:
    given = flow_run.parameters or {}
    pipeline, file, resume = (str(given.get(name) or "") for name in ("pipeline", "file", "resume"))
    if from_run := str(given.get("from_run") or ""):
        file = file or source_name(from_run, undo=bool(given.get("undo")))
    if resume:  # the form wants a pipeline and a file, and the run has its own
        pipeline, file, resume = _resumed(resume) or (pipeline, "", resume)
    return title(pipeline, file, resume=resume, rows=str(given.get("rows")), dry_run=bool(given.get("dry_run")))


def _resumed(name: str) -> tuple[str, str, str] | None:
    """Pipeline, file and id of the run that is resumed; none where Redis or the run is away: the flow says so then."""
    try:
        with closing(connect(Settings.read().redis_address)) as client:
            view = View(client)
            run = view.run(view.resolve(name))
            return run.pipeline, run.shown_file, "" if run.facts.only_check else run.id  # the check was not the sending
    except (RowrelayError, redis.RedisError):
        return None


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
    source: FileForm | None = None,
    map: dict[str, str] | None = None,
    from_run: str = "",
    undo: bool = False,
    reason: str = "",
) -> State[Any]:
    """Send every row of a file to the pipeline's API, at the API's own pace, and record what became of each.

    Args:
        pipeline: Which columns, which API, how fast: the name of a definition.
        file: The file, below the uploads, the inbox or another allowed folder, e.g. orders.csv. Not read where a run
            is resumed.
        rows: Of a run that is resumed: the unfinished rows, or once more the failed or the unknown ones. `reconcile`
            asks the API about the unknown ones, `accepted` about the accepted ones.
        resume: Id of the run to resume; empty for a new run.
        dry_run: Only check the file. The run can be sent afterwards by resuming it.
        skip_delivered: Leave out the rows that earlier runs of the pipeline have delivered, by its `key` columns.
        encoding: What the file is written in, e.g. cp1252; empty: it is found.
        apostrophes: What an apostrophe before a formula, a number or a date is: part of the text (keep), or a guard
            against spreadsheets (remove); empty: as the pipeline says.
        source: How else the file is to be read, with the keys of `source` in a definition: kind, sheet, header_row …
        map: Which column of the pipeline a column of the file is, where they are not called alike: {"E-mail": "email"}.
        from_run: Id of a run whose done rows are sent instead of a file, with what was kept of them.
        undo: With from_run: undo that run, as its pipeline says.
        reason: With failed or unknown rows: only those with this reason, as the page of the run has it.
    """
    launch, settings = launched(), Settings.read()
    try:
        with closing(connect(settings.redis_address, patience=lambda: settings.give_up_seconds)) as client:
            verify(client)
            ledger, view = Ledger(client), View(client)
            run = view.resolve(resume) if resume else str(flow_run.id)
            if (known := _known(view, run)) is not None:
                order = Order.stored(known, view, settings)
            elif undo:
                order = undoing(view.run(view.resolve(from_run)), run, ledger, view, settings)
            else:
                form = said(encoding=encoding, apostrophes=apostrophes)
                order = _new(pipeline, file, launch, settings, form.but(source), mapping=map)
                if from_run:
                    first = view.run(view.resolve(from_run))
                    order = results_of(first, run, order.definition, view, settings)
            refuse_skipping(order.definition, known, wished=skip_delivered)
            if known is None and (why := missed(Claims(client, order.definition.name), settings)):
                return told(Completed(message=f"Skipped: {why}"), SKIPPED)
            if skip_delivered:
                order = replace(order, skip_delivered=True)
            if known is None:
                order.store(ledger, run, by=launch.by or started_by(), only_check=dry_run)
            elif skip_delivered:
                ledger.facts(run, skip_delivered=True)
            _announce(run, order, client, launch, settings, resumes=known is not None)
            if dry_run and known is not None and known.total:
                return told(Completed(message=f"Run {run} was checked before; nothing was sent."), CHECKED)
            wish = Wish(rows, reason)
            return _delivered(order, run, wish, launch, settings, resumes=known is not None, dry_run=dry_run)
    except RunBusy as exc:
        if rows != "accepted":
            return told(Failed(message=str(exc), data=exc))
        return told(Completed(message=f"Skipped: {exc.message}"), SKIPPED)  # whoever delivers it asks as well
    except RowrelayError as exc:  # what a person can mend is no crash, and a trace would say nothing to them
        return told(Failed(message=str(exc), data=exc))


def _known(view: View, run: str) -> Run | None:
    """The run, if it has begun. Raises RunDeleted: a Retry in Prefect must not send all of it a second time."""
    try:
        return view.run(run)
    except RunDeleted:
        raise
    except RunNotFound:
        return None


def _new(
    pipeline: str,
    file: str,
    launch: Launch,
    settings: Settings,
    form: FileForm,
    *,
    mapping: dict[str, str] | None,
) -> Order:
    """What a new run is asked for, by the pipeline as it is at present."""
    definition = pick(present(settings), pipeline)
    return Order(
        redirected(definition, launch.url) if launch.url else definition,
        file,
        trusted=launch.trusted,
        said=launch.said.but(form),
        mapping=mapping or launch.mapping,
    )


def _announce(
    run: str, order: Order, client: redis.Redis, launch: Launch, settings: Settings, *, resumes: bool
) -> None:
    """Let be known that this flow run delivers the run, and what people should know before it does."""
    ledger = Ledger(client)
    ledger.flow(run, str(flow_run.id))
    logs.speak_of(run=run)
    launch.on_run(run)
    keeps = resumes and not order.undoes  # what undoes a run never was the pipeline of today
    for text in (*cautions(client), *(changes(order.definition, settings) if keeps else ())):
        ledger.event(run, text)


def _delivered(
    order: Order, run: str, wish: Wish, launch: Launch, settings: Settings, *, resumes: bool, dry_run: bool
) -> State[Any]:
    """Deliver, and give the run back: ended, or to the process that goes on with it."""
    logger, own_id = get_run_logger(), str(flow_run.id)
    delivery = Delivery(run, order.definition, settings, settings.redis_address)
    try:
        with drained_by_signals(delivery):
            launch.on_delivery(delivery)
            report = Report(run, settings)
            delivery.take(resume=resumes, only_check=dry_run)
            if resumes and (delivery.view.run(run).facts.definition_digest or "") != order.digest:
                raise RunBusy("The definition of this run was changed a moment ago.", hint="Start it once more.")
            failure = _deliver(delivery, order, wish, report, own_id, dry_run=dry_run)
            if dry_run and failure is None:
                delivery.put_down("checked; nothing sent yet")
                logger.info("checked only, nothing was sent")
                return told(Completed(message=f"Checked, nothing sent. Send it with resume={run}"), CHECKED)
            within = launch.within or (own_id if drain.served() else "")
            if _is_to_go_on(delivery, failure, within) and (left := delivery.hand_over()):
                logger.info("handed over with %d of %d rows finished", left.finished_rows, left.total)
                state: State[Any] = Cancelled(message=f"Handed over. {drain.MESSAGE}")
            else:
                state = _ended(delivery, failure, report)
    finally:
        delivery.release()
    if delivery.handed_over and not launch.within:
        drain.leave(own_id)
    return state


def _deliver(
    delivery: Delivery, order: Order, wish: Wish, report: Report, request: str, *, dry_run: bool
) -> Exception | None:
    """Check the file, and send its rows. Returns what cut it short."""
    try:
        with closing(delivery):
            if not dry_run:
                delivery.trust()
            purge(delivery.ledger, delivery.view, delivery.settings)  # this run is held, so it stays, however old it is
            if not dry_run:
                delivery.connect()
            _check(delivery, order)
            if not dry_run:
                delivery.open()
                left_out = launched().left_out
                for chunks in delivery.rounds(wish.rows, request=request, left_out=left_out, reason=wish.reason):
                    send_all(send, chunks, delivery, report)
                if launched().waits:
                    delivery.settling.wait()
    except Exception as exc:
        return exc
    return None


def _check(delivery: Delivery, order: Order) -> None:
    """Have the rows in the spool: from the file, or from a check before."""
    checked = delivery.view.run(delivery.run).total > 0
    if checked and delivery.spooling.is_whole():
        return
    if order.trusted:  # who begins a run at the command line may name any file; others only those of some folders
        source: AbstractContextManager[Path] = nullcontext(Path(order.file))
    else:
        source = opened(order.file, delivery.settings, order.definition)
    with source as file:
        if checked:
            delivery.spooling.make_anew(file)
            return
        result = delivery.spooling.check(
            file,
            said=order.said,
            mapping=order.mapping,
            skip_delivered=order.skip_delivered,
        )
    get_run_logger().info("%d rows: %d accepted, %d rejected", result.rows, result.accepted, result.rejected)


def _is_to_go_on(delivery: Delivery, failure: Exception | None, within: str) -> bool:
    """Whether another process is to go on with the run: this one was asked to end, and nobody wants the run's end."""
    resumable = isinstance(failure, Stopped | None) and not isinstance(failure, Broken)
    return bool(within) and delivery.interrupted and resumable and drain.wanted(within)


def _ended(delivery: Delivery, failure: Exception | None, report: Report) -> State[Any]:
    """End the run. Raises a mistake of ours once the run says that it ended: Prefect gets the trace."""
    broken = failure if not isinstance(failure, RowrelayError | None) else None
    try:
        run = delivery.end(failure if isinstance(failure, RowrelayError | None) else Broken.of(failure))
    except Superseded as exc:
        return Failed(message=exc.message)  # whoever has the run now says how it ends
    report.finish(run, delivery.view)
    schedule_look(run, delivery.definition, delivery.ledger)
    if broken is not None:
        raise broken
    return final(run, get_run_logger())
