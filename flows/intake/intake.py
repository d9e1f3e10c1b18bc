"""One look through an inbox: every complete file is taken once by its content, delivered, and put away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from flows.errors import (
    BadFile,
    DefinitionError,
    FileError,
    RowrelayError,
    RunNotFound,
    SettingError,
    StorageError,
)
from flows.export.correctable import TROUBLED, troubled_csv
from flows.flow_runs.resumption import may_resume, note_stop, pause_seconds
from flows.intake.fate import Delivered, Fate, Taken, counted, nothing_waits, report_of
from flows.intake.incoming import DONE, FAILED, Changed, Incoming, Origin, settled, short
from flows.ledger.connection import translated
from flows.ledger.erase import erase
from flows.ledger.inbox import Claims, Ended
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.reading import from_resolved
from flows.records import RowState, RunState
from flows.retention import delete_run
from flows.settings import Settings
from flows.spool.spool import Spool
from flows.storage.located import stored
from flows.storage.storage import scratch
from flows.words import duration

TO_SEE_TO = (*TROUBLED, RowState.WAITING, RowState.SENDING, RowState.UNKNOWN)  # rows that are put beside a file
_NO_LIMIT = {"limit": None, "limits": None}
log = logging.getLogger(__name__)
YOUNG_SECONDS = 15.0  # a claim this fresh is about to be delivered by whoever made it


Deliver = Callable[[str, str], Delivered]
"""Delivers a run, given its id and the file's name; comes back when it is over."""


class Intake:
    """Takes the files of one origin through one pipeline. `by` is who the runs are said to be started by.

    With `skip_delivered` a run leaves out the rows that earlier ones delivered.
    """

    def __init__(
        self,
        origin: Origin,
        definition: Definition,
        settings: Settings,
        ledger: Ledger,
        deliver: Deliver,
        *,
        by: str,
        skip_delivered: bool = False,
    ) -> None:
        self.origin = origin
        self.definition = definition
        self.settings = settings
        self.ledger = ledger
        self.view = View(ledger.client)
        self.claims = Claims(ledger.client, definition.name)
        self.taken: list[Taken] = []
        self._deliver = deliver
        self._stored = stored(settings)
        self._by = by
        self._skip_delivered = skip_delivered

    def look(
        self, on_taken: Callable[[Taken], None] = lambda taken: None, may_go_on: Callable[[], bool] = lambda: True
    ) -> bool:
        """Take what lies there, oldest first, until nothing complete is left. False if it had to stop before.

        `may_go_on` is asked before each file.

        Files that somebody is still writing get `settle_seconds` to be finished, and are left alone otherwise.
        """
        began, handled = time.time(), set[str]()
        first_seen: dict[str, float] = {}
        waited = False
        while True:
            new = [each for each in self.origin.incoming() if _key(each) not in handled]
            for each in new:
                first_seen.setdefault(_key(each), time.monotonic())
            ready = self._ready(new, first_seen)
            if not ready and (waited or not new):
                break
            if not ready:
                time.sleep(self.settings.settle_seconds)
                waited = True
                continue
            for incoming in ready:
                if not may_go_on():
                    return False
                handled.add(_key(incoming))
                if not self._note(self._take(incoming), on_taken):
                    return False
        for incoming in new:
            self._note(Taken(incoming.name, Fate.LEFT, note="it is still being written"), on_taken)
        for name, why in self.origin.odd.items():
            self._note(Taken(name, Fate.LEFT, note=why), on_taken)
        self.claims.looked(self.origin.url, began)
        return True

    def _ready(self, new: list[Incoming], first_seen: dict[str, float]) -> list[Incoming]:
        patience = self.settings.settle_seconds
        old = {each.name for each in settled(new, patience)}
        now = time.monotonic()
        # Clocks of file servers differ from ours, so a file that was seen twice unchanged counts as well.
        return [each for each in new if each.name in old or now - first_seen[_key(each)] >= patience]

    def _note(self, taken: Taken, on_taken: Callable[[Taken], None]) -> bool:
        self.taken.append(taken)
        on_taken(taken)
        return taken.fate not in (Fate.STOPPED, Fate.INTERRUPTED)

    def _take(self, incoming: Incoming) -> Taken:
        try:
            with translated(), scratch(self.settings.data) as folder:
                return self._take_copy(incoming, folder)
        except Changed:
            return Taken(incoming.name, Fate.LEFT, note="it changed while it was read")
        except BadFile as exc:
            return self._refuse(incoming, exc)
        except (FileError, SettingError) as exc:
            return Taken(incoming.name, Fate.STOPPED, note=str(exc))
        except RowrelayError:
            raise
        except Exception as exc:  # whatever it is about this file, the others are not to wait for it
            log.exception("%s could not be taken", incoming.name)
            return Taken(incoming.name, Fate.STUCK, note=f"internal error: {type(exc).__name__}: {str(exc)[:200]}")

    def _take_copy(self, incoming: Incoming, folder: Path) -> Taken:
        copy = folder / _plain(incoming.name)
        self.origin.known = self.claims.version(self.origin.url)
        digest = self.origin.copy(incoming, copy, max_bytes=self.settings.max_upload_bytes)
        if self.origin.version:
            self.claims.note_version(self.origin.url, self.origin.version)
        if ended := self.claims.ended(digest):
            known = self._known(ended.run)
            what = f"has the content of {ended.name}" + ("" if known else f", of run {ended.run}, which was deleted")
            return self._skip(incoming, digest, known, what, well=ended.well)
        holder = self.claims.holder(digest)
        if not holder and (by_hand := self._by_hand(digest)):
            if by_hand.busy:
                return Taken(incoming.name, Fate.LEFT, by_hand.id, "somebody is delivering what it holds")
            return self._skip(incoming, digest, by_hand, "is what somebody has delivered")
        if holder and self._outdated(holder):
            self.claims.release(digest, holder)
            delete_run(holder, self.ledger, self.settings, by=self._by)  # so that nobody resumes it beside the new one
            holder = ""
        run = self.claims.take(digest, holder or str(uuid4()))
        return self._carry_on(incoming, digest, run, copy)

    def _by_hand(self, digest: str) -> Run | None:
        """A run that somebody has started of a file with this content, and that has sent, or is about to."""
        for run in map(self._known, self.view.same_content(digest)):
            if run is None or run.pipeline != self.definition.name or run.facts.source is not None:
                continue
            if run.busy or run.any_sent:
                return run
        return None

    def _known(self, run: str) -> Run | None:
        try:
            return self.view.run(run)
        except RunNotFound:  # deleted, or too old to be kept
            return None

    def _outdated(self, run: str) -> bool:
        """Whether a run stopped before it had sent anything, and the definition has been mended since."""
        known = self._known(run)
        if known is None or known.busy or known.state is not RunState.STOPPED or known.any_sent:
            return False
        try:
            begun_with = from_resolved(self.view.definition(run)).resolved()
        except DefinitionError:  # no version that wrote it is this one, and it has sent nothing
            return True
        return begun_with | _NO_LIMIT != self.definition.resolved() | _NO_LIMIT

    def _carry_on(self, incoming: Incoming, digest: str, run: str, copy: Path) -> Taken:
        file = f"inbox/{run}/{_plain(incoming.name)}"
        known = self._known(run)
        skips = self._skip_delivered and not (known and known.total)  # a run that is checked stays as it was checked
        new = self.ledger.create(
            run,
            definition=self.definition.resolved(),
            by=self._by,
            pipeline=self.definition.name,
            file=file,
            name=incoming.name,
            limit=self.definition.limit_name,
            source=self.origin.url,
            definition_digest=self.definition.digest(),
            skip_delivered=skips or None,
        )
        if not new and (taken := self._again(incoming, digest, self.view.run(run))):
            return taken
        try:
            self._stored.delete(f"inbox/{run}")
            self._stored.put(copy, file)
        except StorageError:
            if new:  # nothing has come of it, so the next look begins anew
                self.claims.release(digest, run)
                erase(self.ledger.client, run)
            raise
        self.ledger.facts(run, file=file)
        return self._after(incoming, digest, run, self._deliver(run, incoming.name))

    def _again(self, incoming: Incoming, digest: str, known: Run) -> Taken | None:
        """What becomes of a file whose run was begun before; None if the run is to be carried on."""
        if known.busy or (known.state is RunState.CHECKING and time.time() - known.created < YOUNG_SECONDS):
            return Taken(incoming.name, Fate.LEFT, known.id, "it is being delivered")
        if known.state is RunState.FINISHED or known.cancelling or nothing_waits(known):
            return self._put_away(incoming, digest, known)
        if known.state is not RunState.STOPPED:  # its process died; perhaps of this very file
            resumes = may_resume(self.ledger, known, self.settings.auto_resume)
            return None if resumes else self._put_away(incoming, digest, known)
        if pause := pause_seconds(known):
            later = f"It is tried again in {duration(pause)}; resume run {known.id} to do it sooner."
            return Taken(incoming.name, Fate.STOPPED, known.id, f"{known.reason} {later}")
        return None

    def _after(self, incoming: Incoming, digest: str, run: str, delivered: Delivered) -> Taken:
        known = self.view.run(run)
        if known.busy:
            return Taken(incoming.name, Fate.LEFT, run, "it is being delivered by another process")
        if delivered.interrupted and not known.cancelling:
            return Taken(incoming.name, Fate.INTERRUPTED, run, "interrupted; the next look goes on with it")
        if known.state in (RunState.CHECKING, RunState.SENDING):
            return Taken(incoming.name, Fate.STOPPED, run, delivered.message or "the delivery broke off")
        bad = isinstance(delivered.failure, BadFile)
        if known.state is RunState.STOPPED and not bad and not nothing_waits(known):
            note_stop(self.ledger, known)
            return Taken(incoming.name, Fate.STOPPED, run, known.reason)
        return self._put_away(incoming, digest, known)

    def _put_away(self, incoming: Incoming, digest: str, run: Run) -> Taken:
        refused = run.total == run.counts[RowState.REJECTED] and not run.ended_well  # that is, all were skipped
        well = run.ended_well
        spool = Spool(self.settings.spool_url, run.id, run.facts.mended)
        report = report_of(run, incoming.name, digest)
        try:
            troubled = any(run.counts[state] for state in TO_SEE_TO) and not run.ended_well and spool.exists()
            rows = troubled_csv(self.view, spool, run, states=TO_SEE_TO) if troubled else None
            where = self.origin.put_away(incoming, DONE if well else FAILED, report=report, troubled=rows)
        except FileError as exc:  # the claim stays open, so the next look tries again
            return Taken(incoming.name, Fate.STUCK, run.id, f"{counted(run)}, but the file stays: {exc}")
        if where:  # or the copy is all that is left of what was sent
            self.ledger.facts(run.id, file=where)
            with suppress(FileError):  # a copy too many does no harm
                self._stored.delete(f"inbox/{run.id}")
        if refused:  # nothing was sent, so the same content may come again, once the pipeline is mended
            self.claims.release(digest, run.id)
            why = counted(run) if run.skipped else run.reason or "every row was rejected"
            return Taken(incoming.name, Fate.REFUSED, run.id, why, where)
        self.claims.end(digest, Ended(run.id, incoming.name, time.time()))
        return Taken(incoming.name, Fate.DELIVERED if well else Fate.TROUBLED, run.id, counted(run), where)

    def _refuse(self, incoming: Incoming, why: BadFile) -> Taken:
        """Put away what could not even be copied."""
        report = {"file": incoming.name, "pipeline": self.definition.name, "reason": str(why)}
        return self._moved(Taken(incoming.name, Fate.REFUSED, note=str(why)), incoming, FAILED, report)

    def _skip(self, incoming: Incoming, digest: str, run: Run | None, why: str, *, well: bool = True) -> Taken:
        """Put away what was delivered before, to done/ only if nothing of it is left to be seen to.

        `well` says so of a run that has been deleted.
        """
        id = run.id if run else ""
        well = run.ended_well if run else well
        note = f"{incoming.name} {why}{f', run {id}' if id else ''}. Nothing of it was sent again."
        report = {"file": incoming.name, "skipped": note, "run": id, "digest": digest, "pipeline": self.definition.name}
        if run and not well:
            why = f"{why}: {counted(run)}"
            report |= report_of(run, incoming.name, digest)
        return self._moved(Taken(incoming.name, Fate.SKIPPED, id, why), incoming, DONE if well else FAILED, report)

    def _moved(self, taken: Taken, incoming: Incoming, where: str, report: dict[str, Any]) -> Taken:
        try:
            return replace(taken, where=self.origin.put_away(incoming, where, report=report, troubled=None))
        except FileError as exc:
            return replace(taken, fate=Fate.STUCK, note=f"{taken.note}, but the file stays: {exc}")


def _key(incoming: Incoming) -> str:
    return f"{incoming.name}:{incoming.mark}"


def _plain(name: str) -> str:
    """A name without control characters, which no stored file may have, and not too long for one."""
    return short("".join(char if ord(char) >= 32 else "_" for char in name))
