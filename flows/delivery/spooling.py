"""A run's rows in its spool: checked into it, found there, or made anew from the original file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from msgspec import to_builtins

from flows.delivery.check import CheckResult, check_file
from flows.delivery.delivered import DeliveredIndex, SkippedThen, told
from flows.delivery.lease import Lease
from flows.delivery.mending import replay
from flows.delivery.respool import respool
from flows.delivery.undoing import LeftAlone, needed
from flows.delivery.undone import Before
from flows.errors import ColumnsDiffer, FileError, UnclearEncoding
from flows.ledger.connection import translated
from flows.ledger.ledger import Ledger
from flows.ledger.mends import Mend, in_effect
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.file_form import FileForm
from flows.pipeline.reading import from_resolved
from flows.records import RowState
from flows.settings import Settings
from flows.spool.spool import Spool
from flows.storage.storage import scratch

_ROWS, _COLUMNS, _CHARS = 20, 200, 80  # of a file whose columns are not those of the pipeline


class Spooling:
    """The spool of a run that is held by `lease`. All raises StackError and LedgerError."""

    def __init__(
        self,
        run: str,
        definition: Definition,
        settings: Settings,
        spool: Spool,
        ledger: Ledger,
        view: View,
        lease: Lease,
    ) -> None:
        self._spool = spool
        self._run, self._definition, self._settings = run, definition, settings
        self._ledger, self._view, self._lease = ledger, view, lease

    @translated()
    def check(
        self,
        file: Path,
        *,
        said: FileForm | None = None,
        mapping: Mapping[str, str] | None = None,
        skip_delivered: bool = False,
    ) -> CheckResult:
        """Check the file into the spool and fix the run's totals. Raises FileError, Superseded, Interrupted.

        Where the definition has a `key`, the rows that earlier runs delivered are counted, and left out on request.
        """
        epoch, data = self._lease.epoch, self._settings.data
        with scratch(data) as folder, ExitStack() as exits:
            self._ledger.check_afresh(self._run, epoch)  # whoever was superseded must learn it before it deletes
            self._spool.delete()
            if self._view.run(self._run).facts.header:  # of an earlier check
                self._ledger.facts(self._run, epoch=epoch, header=(), header_rows=())
            delivered: DeliveredIndex | None = None
            alone = self._left_alone()
            if key := self._definition.key:
                delivered = exits.enter_context(DeliveredIndex(folder, key))
                delivered.take(self._view, self._settings.spool_url, self._definition.name, but=self._run)
            try:
                result = check_file(
                    file,
                    self._definition,
                    self._spool,
                    said=said,
                    mapping=mapping,
                    max_bytes=self._settings.max_upload_bytes,
                    scratch=folder,
                    on_progress=self._note_progress,
                    on_rejections=lambda rejections: self._ledger.reject(self._run, epoch, rejections),
                    delivered=alone or delivered,
                    skip_delivered=skip_delivered or alone is not None,
                )
            except UnclearEncoding as exc:
                self._ledger.facts(self._run, epoch=epoch, readings=tuple(exc.readings))
                raise
            except ColumnsDiffer as exc:
                self._ledger.facts(self._run, epoch=epoch, header=exc.names, header_rows=_shown(exc.samples))
                raise
            self._begin(result)
            self._ledger.same_content(result.digest, self._run)
            for text in (*result.remarks, *told(result, delivered.unread if delivered else {})):
                self._ledger.event(self._run, text)
        return result

    def _begin(self, result: CheckResult) -> None:
        """Fix the run's totals, and what is known of its file."""
        self._ledger.begin(
            self._run,
            self._lease.epoch,
            total=result.rows,
            rejected=result.rejected,
            digest=result.digest,
            encoding=result.encoding,
            delimiter=result.delimiter,
            apostrophes=result.form.apostrophes,
            form=result.form.stated,
            origin=to_builtins(result.origin),
            spool=self._spool.manifest().digest,
            check_seconds=round(result.seconds, 3),
            delivered=sum(result.delivered.values()),
            delivered_in=dict(result.delivered),
            delivered_unsure=result.unsure,
            skipped=result.skipped,
            notices=list(result.remarks),
        )

    def _left_alone(self) -> LeftAlone | None:
        """Where the run undoes another: who knows which of its rows are left alone. Raises CannotUndo, RunBusy."""
        if not (undoes := self._view.run(self._run).facts.undoes):
            return None
        first = self._view.run(undoes)
        before = Before.read(self._view, self._settings.spool_url, first, but=self._run)
        needs = needed(from_resolved(self._view.definition(undoes)))
        return LeftAlone(needs, self._definition.column_names[-1], before)

    def _note_progress(self, rows: int, done: int, total: int) -> None:
        self._lease.require()
        facts = {"checked_rows": rows, "checked_bytes": done, "file_bytes": total}
        self._lease.heard(lost=not self._ledger.facts(self._run, epoch=self._lease.epoch, **facts))

    def is_whole(self) -> bool:
        """Whether the run's spool is there. Raises FileError if it is another one than its check wrote."""
        facts = self._view.run(self._run).facts
        self._spool.at(facts.mended)
        if not self._spool.exists():
            return False
        if facts.spool and facts.rows_held != self._spool.manifest().digest:
            if facts.respools:  # its making anew was cut short at the very end
                return False
            raise FileError(
                "the spool of this run is not the one that its check wrote, so its rows may be others",
                file=self._spool.folder,
                hint="Delete this folder and resume the run: the original file is then checked again.",
            )
        return True

    @translated()
    def make_anew(self, file: Path) -> None:
        """Make the spool anew from the original file, and mend it as it was mended.

        Raises FileError if its content is no longer the same, or its rows are judged differently from the first time.
        """
        run, epoch = self._view.run(self._run), self._lease.epoch
        mends = in_effect(self._view.mends(self._run))
        skipped = int(mends[0].before["skipped"]) if mends else run.facts.skipped
        before = self._view.refused(self._run, run.total)
        most = self._settings.max_upload_bytes
        self._ledger.facts(self._run, epoch=epoch, respools=True)
        respool(run, before, skipped, file, self._definition, self._spool, max_bytes=most, go_on=self._lease.require)
        checked, mended = self._spool.manifest().digest, ""
        if mends:
            mended = self._mend_anew(mends, run)
        self._ledger.facts(self._run, epoch=epoch, spool=checked, mended=mended, respools=False)

    def _mend_anew(self, mends: Sequence[Mend], run: Run) -> str:
        """Mend a spool that was made anew as it was before; returns its digest."""
        rejected = self._view.bitmap(self._run, RowState.REJECTED, run.total)
        with scratch(self._settings.data) as folder:
            now = replay(mends, run, self._definition, self._spool, SkippedThen(rejected), folder)
        if (now != rejected).any():
            self._spool.delete()
            raise FileError(
                "its rows are judged differently than when they were mended, and the run's spool is gone",
                file=run.file,
                hint="Send the original file as a new run.",
            )
        return self._spool.manifest().digest


def _shown(rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Some rows of a file, short enough to be kept with the run."""
    return tuple(tuple(cell[:_CHARS] for cell in row[:_COLUMNS]) for row in rows[:_ROWS])
