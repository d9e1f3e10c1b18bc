"""`rowrelay send`: a delivery in this process, watched live, ended by Ctrl-C without losing a row."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING, Any

from deployments.commands.choosing import chosen
from deployments.commands.delivered import ask, refuse_unmeant
from deployments.commands.progress import Progress
from deployments.commands.session import Session, err, log_to_file, out, person, quiet_prefect, waiting
from deployments.commands.showing import SHORT, as_object, print_json, print_summary
from deployments.commands.since import left_out
from deployments.commands.terminal import ending, hung_up
from deployments.commands.wish import Wish
from flows.client.proxy import unused_proxy
from flows.delivery.delivered import refuse_skipping
from flows.delivery.renewal import renew
from flows.errors import FileError, RowrelayError, StackError, Stopped
from flows.flow_runs.launch import LAUNCH, Launch
from flows.ledger.backup_guard import turn
from flows.ledger.connection import translated
from flows.ledger.run import Run
from flows.pipeline.definition import Definition
from flows.pipeline.reading import redirected
from flows.pipeline.secret_hosts import refuse_secrets
from flows.records import RowState, RunState
from flows.schema.schema import Checker
from flows.settings import Settings
from flows.source.header import Called
from flows.source.source import open_file

if TYPE_CHECKING:
    from flows.delivery.delivery import Delivery

DRAINING = (
    "Ctrl-C: no new rows, waiting for the answers under way (again: leave at once; what was sent is unknown then)"
)
LEAVING = "Ctrl-C: leaving at once"
ALL_DONE, SOME_TROUBLED, NOTHING_SENT, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130


def send(wish: Wish) -> int:
    """Deliver, and say how it went. Returns the exit code; raises RowrelayError where nothing was sent."""
    signals = Signals()
    try:
        with signals.heard():
            return _send(wish, signals)
    except KeyboardInterrupt:
        err.print("Interrupted." + signals.advice())
        if wish.as_json:
            print_json({"run": signals.run, "error": "interrupted", "exit": INTERRUPTED})
        return INTERRUPTED
    except RowrelayError as exc:
        away = isinstance(exc, StackError) and signals.delivery is not None
        failure = Stopped(exc.message, hint=f"{exc.hint}{signals.advice()}".strip()) if away else exc
        if wish.as_json:
            code = STOPPED if isinstance(failure, Stopped) else NOTHING_SENT
            print_json({"run": signals.run, "error": failure.message, "hint": failure.hint, "exit": code})
        raise failure from exc


def _send(wish: Wish, signals: Signals) -> int:
    from deployments.embedded import stack

    settings = Settings.read()
    definition = None if wish.resume or wish.from_run else _ready(wish, settings)
    with _stack(settings) as addresses:
        session = Session.of(settings, addresses.redis_url)
        if wish.ledger_is_current:
            with translated():
                turn(session.client)
        before = session.find(wish.resume) if wish.resume else None
        first = session.find(wish.from_run) if wish.from_run else None
        if first is not None:
            definition = _of_run(wish, session, first)
            if definition is None:
                err.print("Nothing was sent.")
                return NOTHING_SENT
            refuse_secrets(definition, settings)
            err.print(f"Sending to {_host(definition)}, pipeline {definition.name}", markup=False)
        elif before is not None:
            refuse_unmeant(before, resume=wish.resume, rows=wish.rows)
            left = left_out(session, before, wish.rows, skips=wish.skip_delivered, askable=wish.askable, sure=wish.yes)
            wish = replace(wish, skip_delivered=False, left_out=left)
            if wish.new_definition:
                renew(before, wish.rows, session.ledger, session.view, settings, by=person())
            definition = session.definition(before)
            if wish.rows in ("reconcile", "accepted") and not (definition.reconcile or definition.poll):
                hint = "Write `reconcile` into the pipeline's definition, or see docs/pipelines.md."
                raise RowrelayError(f"The pipeline {definition.name} does not say how to ask the API.", hint=hint)
            refuse_secrets(definition, settings)
        elif definition is not None:
            skip = _skipping(wish, definition, session, settings)
            if skip is None and not _wanted_again(wish, session):
                err.print("Nothing was sent.")
                return NOTHING_SENT
            wish = replace(wish, pipeline=definition.name, skip_delivered=bool(skip))
            err.print(f"Sending to {_host(definition)}, pipeline {definition.name}", markup=False)
        if definition is not None and (warning := unused_proxy(definition)):
            err.print(warning, style="yellow", markup=False)
        stack.apply(addresses, settings)
        exc = _deliver(wish, session, before, first, signals)
        if exc is not None or signals.run is None:
            raise exc or RuntimeError("the run did not begin")
        return _report(wish, session, session.view.run(signals.run), signals)


def _ready(wish: Wish, settings: Settings) -> Definition:
    """The pipeline, once it and the beginning of the file are found fit."""
    assert wish.file is not None
    str(wish.file.absolute()).encode()  # what is kept of the run names it: refused here, where nothing has begun
    definition = chosen(wish.pipeline, wish.file, settings)
    if wish.url:
        definition = redirected(definition, wish.url)
    refuse_skipping(definition, None, wished=wish.skip_delivered)
    refuse_secrets(definition, settings)
    with (
        TemporaryDirectory(prefix="rowrelay-") as folder,
        Checker(definition, folder=Path(folder)) as checker,
        open_file(
            wish.file,
            checker.wanted,
            called=Called.of(definition, wish.mapping),
            form=definition.source.but(wish.said),
            max_bytes=settings.max_upload_bytes,
        ) as source,
    ):
        next(source.frames())  # the whole is checked as a part of the run
    return definition


def _of_run(wish: Wish, session: Session, first: Run) -> Definition | None:
    """The definition by which a run's results are sent; None where a person would rather not."""
    from deployments.commands import from_run

    if wish.undo:
        return from_run.agreed(session, first, yes=wish.yes)
    return from_run.other(session, first, wish.pipeline, wish.url)


def _host(definition: Definition) -> str:
    """Where requests go, without what may be private in an address."""
    scheme, _, rest = definition.main.url.partition("://")
    return f"{scheme}://{rest.split('?')[0].split('#')[0].rpartition('@')[2]}"


@contextmanager
def _stack(settings: Settings) -> Iterator[Any]:
    from deployments.embedded import stack

    with ExitStack() as exits:
        with waiting("Starting what is needed: Redis, Prefect …"):
            addresses = exits.enter_context(stack.use(settings))
        yield addresses


def _skipping(wish: Wish, definition: Definition, session: Session, settings: Settings) -> bool | None:
    """Whether to leave out what was delivered before; None if nothing is known to have been."""
    if wish.skip_delivered or not (definition.key and wish.askable and wish.file):
        return wish.skip_delivered or None
    options: dict[str, Any] = {"said": wish.said, "mapping": wish.mapping, "max_bytes": settings.max_upload_bytes}
    return ask(wish.file, definition, session, options)


def _wanted_again(wish: Wish, session: Session) -> bool:
    """Whether a file that was delivered before is to be sent all the same."""
    assert wish.file is not None
    known = [session.view.run(run) for run in session.view.same_content(_digest(wish.file))]
    done = [run for run in known if run.counts[RowState.DONE] or run.busy]
    if not done:
        return True
    last = max(done, key=lambda run: run.created)
    text = f"A file with this content was sent before: run {last.id[:SHORT]}, {last.counts[RowState.DONE]:,} rows done."
    if last.counts[RowState.WAITING]:
        text += f" The rest of it goes out with `rowrelay send --resume {last.id[:SHORT]}`."
    err.print(text, style="yellow", markup=False)
    if not wish.askable:
        return True
    return err.input("Send all of its rows again? [y/N] ", markup=False).strip().lower() in ("y", "yes")


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as raw:
            return hashlib.file_digest(raw, "sha256").hexdigest()
    except OSError as exc:
        raise FileError(f"cannot be read: {exc.strerror}", file=str(file)) from exc


@dataclass
class Signals:
    """Ctrl-C and SIGTERM: the first drains the delivery, the second interrupts it, the third leaves at once.

    A terminal that is closed drains it too, and once only: a kernel and a shell may both say so.
    """

    run: str | None = None
    delivery: Delivery | None = None
    count: int = 0
    over: bool = False
    checking: bool = True

    @contextmanager
    def heard(self) -> Iterator[None]:
        """While the block lasts, signals come here."""
        before = {number: signal.signal(number, self._handle) for number in ending()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            hung_up()
        if self.over or (number == signal.SIGHUP and self.count):
            return  # the rest takes a moment, and is worth it
        self.count += 1
        if self.count > 2:
            err.show_cursor()
            os._exit(INTERRUPTED)
        if self.delivery is None or (self.count == 2 and self.checking):
            raise KeyboardInterrupt
        self.press()

    def press(self) -> str:
        """Make the delivery heed the signals so far, also if it was not ready for the first; what to tell people."""
        if self.delivery is None or not self.count:
            return ""
        act, text = (self.delivery.drain, DRAINING) if self.count == 1 else (self.delivery.interrupt, LEAVING)
        with suppress(RuntimeError, AttributeError):  # its loop has ended already
            act()
        return text

    def advice(self) -> str:
        """How to go on after an interruption."""
        if self.run is None:
            return " Nothing was sent."
        return f" Resume with: rowrelay send --resume {self.run[:SHORT]}"


def _deliver(wish: Wish, session: Session, before: Run | None, first: Run | None, signals: Signals) -> Exception | None:
    """Run the flow here; returns the exception that ended it, if one did. `first`: the run whose results are sent."""
    with waiting("Loading Prefect …"):
        handler = log_to_file(session.settings.data)
        from flows.deliver import deliver
        from flows.flow_runs.states import signed

        quiet_prefect(handler)
    progress: list[Progress] = []

    def begin(run: str) -> None:
        signals.run = run
        progress.append(Progress(session.client, run, err, tick=lambda: _tick(signals, progress)))
        err.print(f"Run {run}", markup=False)
        signed(person())
        progress[0].start()

    def take(delivery: Delivery) -> None:
        signals.delivery = delivery

    LAUNCH.set(
        Launch(
            by=person(),
            trusted=True,
            url=wish.url,
            said=wish.said,
            mapping=wish.mapping,
            waits=wish.waits,
            left_out=wish.left_out,
            on_run=begin,
            on_delivery=take,
        )
    )
    try:
        state = deliver(
            pipeline=before.pipeline if before else first.pipeline if first and wish.undo else wish.pipeline,
            file=before.file if before else str(wish.file.absolute() if wish.file else ""),
            rows=wish.rows,
            resume=before.id if before else "",
            skip_delivered=wish.skip_delivered,
            from_run=first.id if first else "",
            undo=wish.undo,
            return_state=True,
        )
        return _exception(state)
    finally:
        signals.over = signals.delivery is not None
        for shown in progress:
            shown.stop()


def _tick(signals: Signals, progress: list[Progress]) -> str:
    signals.checking = progress[0].checking
    return signals.press()


def _exception(state: Any) -> Exception | None:
    """What the flow raised; a state that it returned by itself is told by the ledger."""
    if not state.is_failed() and not state.is_crashed():
        return None
    try:
        found = state.result(raise_on_failure=False)
    except Exception:
        logging.getLogger(__name__).info("the flow's result cannot be had", exc_info=True)
        return None
    return found if isinstance(found, Exception) else None


def _report(wish: Wish, session: Session, run: Run, signals: Signals) -> int:
    code = exit_code(run, interrupted=signals.count > 0 or bool(signals.delivery and signals.delivery.interrupted))
    if wish.as_json:
        print_json(as_object(run) | {"exit": code})
    elif code == NOTHING_SENT:
        err.print(run.reason, style="red", markup=False)
    else:
        out.print()
        print_summary(session, run)
    if code == INTERRUPTED:
        err.print("Interrupted; what is finished stays finished." + signals.advice(), markup=False)
    return code


def exit_code(run: Run, *, interrupted: bool) -> int:
    """What the ended run means for a script."""
    if run.state is RunState.FINISHED:
        return ALL_DONE if run.ended_well else SOME_TROUBLED
    if interrupted:
        return INTERRUPTED
    return STOPPED if run.total else NOTHING_SENT
