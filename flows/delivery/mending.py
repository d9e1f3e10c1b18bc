"""Rejected rows of a checked run, mended before anything is sent: changed, checked again, accepted or still rejected.

The file and what its check wrote stay as they are. Each document makes a mending beside them (flows.spool.mended),
which counts from the one write on in which the ledger states the run's totals anew: a process that is killed before has
changed nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from flows.delivery.changes import CannotMend, ChangesRefused, Document, read
from flows.delivery.check import SAMPLES, Delivered, brief
from flows.delivery.delivered import DeliveredIndex
from flows.delivery.recheck import Recheck
from flows.errors import FileError, RunBusy
from flows.ledger.connection import translated
from flows.ledger.facts import FactValue
from flows.ledger.ledger import Ledger
from flows.ledger.mends import Mend, in_effect
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.reading import from_resolved
from flows.records import Rejection, RowState, RunState
from flows.settings import Settings
from flows.spool.spool import Spool
from flows.storage.storage import scratch

MOST_DOCUMENTS = 1000  # of one run: what was before each of them is kept
_FACTS = ("mended", "mends", "mended_rows", "skipped", "delivered", "delivered_in", "delivered_unsure")


def refuse(run: Run) -> None:
    """Refuse a run that is not checked and unsent. Raises CannotMend, RunBusy."""
    again = "Check the file as a run of its own, and mend that one."
    if run.facts.undoes:
        raise CannotMend("The run undoes another one: nothing stands in its rows to be mended.")
    if run.busy:
        raise RunBusy("The run is being delivered.", hint=f"Wait until it ends. {again}")
    if run.any_sent:
        raise CannotMend(
            "Rows of this run were sent already, so its rejected rows stay as they are.",
            hint="Download the rows to correct, correct them there, and send that file.",
        )
    if not run.total:
        raise CannotMend("The file of this run is not checked.", hint="Check it again.")
    if run.state is not RunState.CHECKING:
        raise CannotMend(f"The run is {run.shown_as}: only a run that was checked and not sent is mended.", hint=again)


def mend(
    run: Run, document: Document, *, ledger: Ledger, view: View, settings: Settings, by: str, key: str = ""
) -> Mend:
    """Apply a document to the rejected rows of a run, and check those again; returns what is kept of it.

    Raises:
        CannotMend, RunBusy: the run is not one that was only checked, or somebody else acts on it.
        ChangesRefused: the document does not fit its rejected rows.
        FileError: its rows cannot be read or written.
        StackError: Redis does not answer.
    """
    before = view.mends(run.id)
    run = view.run(run.id)  # after that, lest it be older than they are: the ledger takes their next number only
    refuse(run)
    if len(before) >= MOST_DOCUMENTS:
        raise CannotMend(
            f"The run has {MOST_DOCUMENTS:,} documents of changes.", hint="Correct the file, and check it as a new run."
        )
    start = Mend(number=len(before) + 1, at=round(time.time(), 3), by=by, key=key)
    if document.undo is not None:
        made, rejected, samples = _undone(run, document.undo, before, start, settings)
        _commit(run, made, rejected, samples, ledger)
        return made
    if not run.counts[RowState.REJECTED]:
        raise CannotMend("The run has no rejected rows.")
    spool = Spool(settings.spool_url, run.id, run.facts.mended)
    bits = view.bitmap(run.id, RowState.REJECTED, run.total)
    definition = from_resolved(view.definition(run.id))
    with ExitStack() as exits:
        exits.callback(spool.close)
        delivered: DeliveredIndex | None = None
        folder = exits.enter_context(scratch(settings.data))
        if keyed := definition.key:
            delivered = exits.enter_context(DeliveredIndex(folder, keyed))
            delivered.take(view, settings.spool_url, definition.name, but=run.id)
        done = Recheck(
            spool,
            definition,
            document,
            by,
            bits,
            delivered,
            skips=run.facts.skip_delivered,
            asked_map=run.facts.asked_map,
            origin=run.facts.places,
        )
        manifest = done.run(folder)
        try:
            facts = _facts(run, in_effect(before), done, manifest.digest)
            made = _entry(start, document, done, facts, run)
            _commit(run, made, done.bits, done.samples, ledger)
        except BaseException:
            spool.forget(manifest)
            raise
    return made


def replay(
    mends: Sequence[Mend], run: Run, definition: Definition, spool: Spool, delivered: Delivered, folder: Path
) -> npt.NDArray[np.bool_]:
    """Apply documents again to a spool that was made anew; returns which rows are rejected then, by row - 1.

    `delivered` knows which good rows were left out. Raises FileError.
    """
    bits = np.zeros(run.total, dtype=np.bool_)
    for row in spool.rejections():
        bits[row.row - 1] = True
    for each in mends:
        done = Recheck(
            spool,
            definition,
            read({"changes": each.changes}),
            each.by,
            bits,
            delivered,
            skips=True,
            asked_map=run.facts.asked_map,
            origin=run.facts.places,
        )
        spool.at(done.run(folder).digest)
        bits = done.bits
    return bits


def _commit(
    run: Run, made: Mend, rejected: npt.NDArray[np.bool_], samples: Sequence[Rejection], ledger: Ledger
) -> None:
    with translated():
        ledger.mend(run.id, run.facts.epoch, made, np.packbits(rejected), samples)
        ledger.event(run.id, in_words(made))


def in_words(made: Mend) -> str:
    """What a document came to, in a sentence."""
    if made.undo is not None:
        return f"{made.by} took back document {made.undo}"
    parts = [f"changed {made.changed:,} rejected rows, of which {made.accepted:,} can be sent"] if made.changed else []
    parts += [f"skipped {made.skipped:,}"] if made.skipped else []
    return f"{made.by} {' and '.join(parts)} (document {made.number})"


def _undone(
    run: Run, number: int, before: Sequence[Mend], start: Mend, settings: Settings
) -> tuple[Mend, npt.NDArray[np.bool_], list[Rejection]]:
    left = in_effect(before)
    if not left or left[-1].number != number:
        raise ChangesRefused(_not_the_last(number, before, left), hint=_last(left))
    facts = left[-1].before
    spool, bits = Spool(settings.spool_url, run.id, str(facts["mended"])), np.zeros(run.total, dtype=np.bool_)
    samples: list[Rejection] = []
    try:
        for each in spool.rejections():
            bits[each.row - 1] = True
            if len(samples) < SAMPLES and not each.skipped:
                samples.append(brief(each))
    except FileError as exc:
        raise CannotMend("What the rows were before cannot be read any more.", hint=exc.message) from exc
    finally:
        spool.close()
    now = {name: getattr(run.facts, name) for name in _FACTS}
    return msgspec.structs.replace(start, undo=number, facts=facts, before=now), bits, samples


def _not_the_last(number: int, before: Sequence[Mend], left: Sequence[Mend]) -> str:
    if number > len(before):
        return f"The run has no document {number}."
    if before[number - 1].undo is not None:
        return f"Document {number} took back another one, and cannot be taken back itself."
    if all(each.number != number for each in left):
        return f"Document {number} was taken back already."
    return f"Document {number} is not the last one in effect."


def _last(left: Sequence[Mend]) -> str:
    return f"The last one is {left[-1].number}." if left else "None is in effect."


def _facts(run: Run, left: Sequence[Mend], done: Recheck, digest: str) -> dict[str, FactValue]:
    known = done.known
    runs = dict(run.facts.delivered_in)
    for other, count in known.runs.items() if known else ():
        runs[other] = runs.get(other, 0) + count
    return {
        "mended": digest,
        "mends": len(left) + 1,
        "mended_rows": run.facts.mended_rows + done.accepted,
        "skipped": run.facts.skipped + (known.skipped if known else 0),
        "delivered": run.facts.delivered + (sum(known.runs.values()) if known else 0),
        "delivered_in": runs,
        "delivered_unsure": run.facts.delivered_unsure + (known.unsure if known else 0),
    }


def _entry(start: Mend, document: Document, done: Recheck, facts: dict[str, FactValue], run: Run) -> Mend:
    return msgspec.structs.replace(
        start,
        changes=[dict(each) for each in document.raw],
        matched=done.changes.matched,
        changed=done.changed,
        accepted=done.accepted,
        skipped=done.skipped,
        facts=facts,
        before={name: getattr(run.facts, name) for name in _FACTS},
    )
