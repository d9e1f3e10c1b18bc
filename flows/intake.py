"""One look through an inbox: every complete file is taken once by its content, delivered, and put away."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

from flows.claims import Claims, Ended
from flows.definition import Definition
from flows.errors import FileError, LimitLatched, LimitLost, Stopped, Superseded
from flows.export import TROUBLED, troubled_csv
from flows.incoming import DONE, FAILED, Arrival, Changed, Place, settled
from flows.ledger import Ledger
from flows.ledger_view import Run, View
from flows.records import RowState, RunState
from flows.resumption import may_resume
from flows.settings import Settings
from flows.spool import Spool

YOUNG_SECONDS = 15.0  # a claim this fresh is about to be delivered by whoever made it


class Fate(StrEnum):
    """What became of a file in one look."""

    DELIVERED = "delivered"
    TROUBLED = "delivered with errors"
    REFUSED = "refused"
    SKIPPED = "skipped"
    LEFT = "left alone"
    STOPPED = "stopped"  # the look ends here; the file stays, and a later look goes on with its run


@dataclass(frozen=True, slots=True)
class Taken:
    """A file and what became of it. `run` is empty where none was begun."""

    name: str
    fate: Fate
    run: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """How a delivery ended for the process that did it: interrupted, or stopped by what."""

    interrupted: bool = False
    stopped: Stopped | None = None
    message: str = ""


Deliver = Callable[[str, str], Delivered]
"""Delivers a run, given its id and the file's name; comes back when it is over."""


class Intake:
    """Takes the files of one place through one pipeline. `by` is who the runs are said to be started by."""

    def __init__(
        self, place: Place, definition: Definition, settings: Settings, ledger: Ledger, deliver: Deliver, *, by: str
    ) -> None:
        self.place = place
        self.definition = definition
        self.settings = settings
        self.ledger = ledger
        self.view = View(ledger.client)
        self.claims = Claims(ledger.client, definition.name)
        self.taken: list[Taken] = []
        self._deliver = deliver
        self._by = by

    def look(self, on_taken: Callable[[Taken], None] = lambda taken: None) -> bool:
        """Take what lies there, oldest first, until nothing complete is left. False if it had to stop before.

        Files that somebody is still writing get `settle_seconds` to be finished, and are left alone otherwise.
        """
        began, handled = time.time(), set[str]()
        first_seen: dict[str, float] = {}
        waited = False
        while True:
            new = [each for each in self.place.arrivals() if _key(each) not in handled]
            for each in new:
                first_seen.setdefault(_key(each), time.monotonic())
            ready = self._ready(new, first_seen)
            if not ready and (waited or not new):
                break
            if not ready:
                time.sleep(self.settings.settle_seconds)
                waited = True
                continue
            for arrival in ready:
                handled.add(_key(arrival))
                if not self._note(self._take(arrival), on_taken):
                    return False
        for arrival in new:
            self._note(Taken(arrival.name, Fate.LEFT, note="it is still being written"), on_taken)
        self.claims.looked(self.place.url, began)
        return True

    def _ready(self, new: list[Arrival], first_seen: dict[str, float]) -> list[Arrival]:
        patience = self.settings.settle_seconds
        old = {each.name for each in settled(new, patience)}
        now = time.monotonic()
        # Clocks of file servers differ from ours, so a file that was seen twice unchanged counts as well.
        return [each for each in new if each.name in old or now - first_seen[_key(each)] >= patience]

    def _note(self, taken: Taken, on_taken: Callable[[Taken], None]) -> bool:
        self.taken.append(taken)
        on_taken(taken)
        return taken.fate is not Fate.STOPPED

    # -- one file --------------------------------------------------------------------------------------------------

    def _take(self, arrival: Arrival) -> Taken:
        folder = self.settings.uploads / "inbox" / f".{uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            return self._take_copy(arrival, folder)
        except Changed:
            return Taken(arrival.name, Fate.LEFT, note="it changed while it was read")
        except FileError as exc:
            return Taken(arrival.name, Fate.REFUSED, note=str(exc))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _take_copy(self, arrival: Arrival, folder: Path) -> Taken:
        digest = self.place.copy(arrival, folder / arrival.name, max_bytes=self.settings.max_upload_bytes)
        if ended := self.claims.ended(digest):
            return self._skip(arrival, digest, ended.run, f"has the content of {ended.name}")
        holder = self.claims.holder(digest) or self._by_hand(digest)
        run = self.claims.take(digest, holder or str(uuid4()))
        return self._carry_on(arrival, digest, run, folder)

    def _by_hand(self, digest: str) -> str:
        """A run that somebody has started of a file with this content."""
        for run in map(self.view.run, self.view.same_content(digest)):
            begun = run.state is not RunState.CHECKING or run.busy
            if run.pipeline == self.definition.name and begun:
                return run.id
        return ""

    def _carry_on(self, arrival: Arrival, digest: str, run: str, folder: Path) -> Taken:
        staged = self.settings.uploads / "inbox" / run
        new = self.ledger.create(
            run,
            definition=self.definition.resolved(),
            by=self._by,
            pipeline=self.definition.name,
            file=str(staged / arrival.name),
            name=arrival.name,
            limit=self.definition.limit.name,
            source=self.place.url,
            definition_digest=self.definition.digest(),
        )
        known = self.view.run(run)
        if not new:
            if known.busy or (known.state is RunState.CHECKING and time.time() - known.created < YOUNG_SECONDS):
                return Taken(arrival.name, Fate.LEFT, run, "it is being delivered")
            if known.facts.get("source") is None:  # somebody else's run, which is theirs to resume
                return self._skip(arrival, digest, run, "is what somebody has delivered")
            over = known.state is RunState.FINISHED or known.cancelling
            if over or not may_resume(self.ledger, known, self.settings.auto_resume):
                return self._put_away(arrival, digest, known)
        shutil.rmtree(staged, ignore_errors=True)
        folder.rename(staged)
        self.ledger.facts(run, file=str(staged / arrival.name))
        return self._after(arrival, digest, run, self._deliver(run, arrival.name))

    def _after(self, arrival: Arrival, digest: str, run: str, delivered: Delivered) -> Taken:
        known = self.view.run(run)
        if known.busy:
            return Taken(arrival.name, Fate.LEFT, run, "it is being delivered by another process")
        if delivered.interrupted and not known.cancelling:
            return Taken(arrival.name, Fate.STOPPED, run, "interrupted; the next look goes on with it")
        if isinstance(delivered.stopped, LimitLatched | LimitLost | Superseded):
            return Taken(arrival.name, Fate.STOPPED, run, str(delivered.stopped))
        if known.state in (RunState.CHECKING, RunState.SENDING):
            return Taken(arrival.name, Fate.STOPPED, run, delivered.message or "the delivery broke off")
        return self._put_away(arrival, digest, known)

    # -- the end of a file -----------------------------------------------------------------------------------------

    def _put_away(self, arrival: Arrival, digest: str, run: Run) -> Taken:
        refused = run.total == run.counts[RowState.REJECTED]
        all_done = not refused and run.counts[RowState.DONE] == run.total
        spool = Spool(self.settings.spool_url, run.id)
        troubled = any(run.counts[state] for state in TROUBLED) and spool.exists()
        where = self.place.put_away(
            arrival,
            DONE if all_done else FAILED,
            report=_report(run, arrival.name, digest),
            troubled=troubled_csv(self.view, spool, run) if troubled else None,
        )
        self.ledger.facts(run.id, file=where)
        shutil.rmtree(self.settings.uploads / "inbox" / run.id, ignore_errors=True)
        if refused:  # nothing was sent, so the same content may come again, once the pipeline is mended
            self.claims.release(digest, run.id)
            return Taken(arrival.name, Fate.REFUSED, run.id, run.reason or "every row was rejected")
        self.claims.end(digest, Ended(run.id, arrival.name, time.time()))
        return Taken(arrival.name, Fate.DELIVERED if all_done else Fate.TROUBLED, run.id, _counted(run))

    def _skip(self, arrival: Arrival, digest: str, run: str, why: str) -> Taken:
        note = f"{arrival.name} {why}, run {run}. Nothing of it was sent again."
        report = {"file": arrival.name, "skipped": note, "run": run, "digest": digest, "pipeline": self.definition.name}
        self.place.put_away(arrival, DONE, report=report, troubled=None)
        return Taken(arrival.name, Fate.SKIPPED, run, why)


def _key(arrival: Arrival) -> str:
    return f"{arrival.name}:{arrival.mark}"


def _counted(run: Run) -> str:
    counts = ", ".join(f"{run.counts[state]} {state}" for state in RowState if run.counts[state])
    return f"{counts} of {run.total}" + (f". {run.reason}" if run.reason else "")


def _report(run: Run, name: str, digest: str) -> dict[str, Any]:
    return {
        "file": name,
        "digest": digest,
        "pipeline": run.pipeline,
        "run": run.id,
        "state": run.state,
        "reason": run.reason,
        "total": run.total,
        **{str(state): run.counts[state] for state in RowState},
        "created": _stamp(run.created),
        "ended": _stamp(run.ended) if run.ended else None,
    }


def _stamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
