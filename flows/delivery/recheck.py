"""One pass over the rejected rows of a run: a document is applied to them, and only the changed ones are checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import structs

from flows.delivery.changes import ChangesRefused, Compiled, Document
from flows.delivery.check import SAMPLES, Delivered, Known, brief
from flows.delivery.clashes import Clash, Taken
from flows.errors import FileError
from flows.origin import PLAIN, Origin
from flows.pipeline.definition import Definition
from flows.records import Rejection
from flows.schema.schema import Checked, Checker
from flows.source.frame import FRAME_CHARS, Frame
from flows.source.gathered import table_of
from flows.source.header import Called, match
from flows.spool.spool import Judged, Spool
from flows.spool.stored import to_table
from flows.spool.writer import Manifest

STRETCH = 5_000  # rejected rows that are judged at once


class Recheck:
    """What a document makes of the rejected rows in a spool; `bits`: which rows are rejected, by row - 1.

    `changed` rows were checked again, of which `accepted` passed; `skipped` rows are not to be mended. `samples` are
    the first that are rejected still. Good rows that were `delivered` before are left out where it `skips`.
    `asked_map`: what a person said of the file's columns; `origin`: where its rows stand. Raises ChangesRefused.
    """

    def __init__(
        self,
        spool: Spool,
        definition: Definition,
        document: Document,
        by: str,
        bits: npt.NDArray[np.bool_],
        delivered: Delivered | None,
        *,
        skips: bool,
        asked_map: Mapping[str, str],
        origin: Origin = PLAIN,
    ) -> None:
        self._spool, self._definition, self._before = spool, definition, bits
        self._delivered, self._skips, self._origin = delivered, skips, origin
        header = spool.manifest().header
        self._header, self._width = header, len(header)
        self._places = match(
            list(header),
            dict.fromkeys(definition.column_names, True),
            ",",
            FileError,
            Called.of(definition, asked_map),
        ).positions
        self._unused = [at for at in range(self._width) if at not in set(self._places.values())]
        self.changes = Compiled.of(document, header, self._places, by=by)
        self._begin()
        self._refuse_others()

    def _begin(self) -> None:
        self.bits = self._before.copy()
        self.changed = self.accepted = self.skipped = 0
        self.samples: list[Rejection] = []
        known = self._delivered
        self.known = Known(known, skip=self._skips) if known and not known.empty else None
        self.changes.matched = [0] * len(self.changes.changes)

    def run(self, folder: Path) -> Manifest:
        """Write the mending; `folder` takes scratch files. Raises ChangesRefused, DefinitionError, FileError."""
        manifest, clashes = self._pass(folder, ())
        if clashes:  # rarely, so that mostly each row is read and judged once
            self._spool.forget(manifest)
            self._begin()
            manifest, _ = self._pass(folder, clashes)
        return manifest

    def _pass(self, folder: Path, before: Sequence[Clash]) -> tuple[Manifest, list[Clash]]:
        with Checker(self._definition, folder=folder, file=self._spool.folder) as checker:
            names = {name: self._header[at] for name, at in self._places.items() if at is not None}
            checker.place = self._origin.placing(names, self._header)
            self._taken = Taken(checker)
            for each in before:
                checker.hold(each.group, each.keys, each.lines)
            manifest = self._spool.mend(self._judged())
            return manifest, [] if before else list(self._taken.clashes(self._spool))

    def _refuse_others(self) -> None:
        """Refuse rows that are named and are not rejected."""
        total = len(self.bits)
        for row in self.changes.rows:
            if row > total:
                raise ChangesRefused(f"There is no row {row:,}.", hint=f"The run has rows 1 to {total:,}.")
            if not self.bits[row - 1]:
                raise ChangesRefused(
                    f"Row {row:,} is not rejected.",
                    hint="Only rejected rows are mended; what was mended is taken back by undo.",
                )

    def _stretches(self) -> Iterator[list[Rejection]]:
        """All rejected rows, as many at a time as are well in memory together."""
        some: list[Rejection] = []
        chars = 0
        for each in self._spool.rejections():
            some.append(each)
            chars += sum(map(len, each.cells))
            if len(some) >= STRETCH or chars >= FRAME_CHARS:
                yield some
                some, chars = [], 0
        if some:
            yield some

    def _judged(self) -> Iterator[Judged]:
        for some in self._stretches():
            yield self._judge(some)
        if not (self.changed or self.skipped):
            raise ChangesRefused(
                "No rejected row has any of these values in a cell that was refused.",
                hint="The groups of rejected cells say what stands there, letter by letter.",
            )

    def _judge(self, some: list[Rejection]) -> Judged:
        left: list[Rejection] = []
        anew: list[Rejection] = []
        for each in some:
            now = self.changes.apply(each)
            if now is None or now.skipped_by_hand:
                self.skipped += now is not None
                left.append(now or each)
            else:
                anew.append(now)
        rows = np.array([each.row for each in some], dtype=np.int64)
        self.changed += len(anew)
        checked = self._check(anew)
        good: npt.NDArray[np.int64] = checked.values.index.to_numpy()
        left += [structs.replace(anew[at], reasons=reasons) for at, reasons in checked.reasons.items()]
        left.sort(key=lambda each: each.row)
        self._take(anew, good, left)
        return Judged(rows, self._table(anew, good, checked), left)

    def _check(self, anew: Sequence[Rejection]) -> Checked:
        """The changed rows, judged as the check of the file does it."""
        frame = Frame(
            text=table_of([each.cells for each in anew], self._places, self._width),
            rows=np.array([each.row for each in anew], dtype=np.int64),
            lines=np.array([each.line for each in anew], dtype=np.int64),
            cells=[],  # they are in the rejections themselves
            rejections=[],
        )
        if not anew:
            return Checked(frame.text, {})
        checked = self._taken.checker.check(frame.text, frame.lines)
        self._taken.note()
        if asked := {at: each.reasons for at, each in enumerate(anew) if each.reasons}:
            reasons = {at: (*why, *checked.reasons.get(at, ())) for at, why in asked.items()}
            checked = Checked(
                checked.values.drop(index=list(asked), errors="ignore"),
                dict(sorted((checked.reasons | reasons).items())),
            )
        return self.known.judge(frame, checked) if self.known else checked

    def _take(self, anew: Sequence[Rejection], good: npt.NDArray[np.int64], left: Sequence[Rejection]) -> None:
        self.accepted += len(good)
        self.bits[[anew[at].row - 1 for at in good.tolist()]] = False
        self.samples += [brief(each) for each in left if not each.skipped][: SAMPLES - len(self.samples)]

    def _table(self, anew: Sequence[Rejection], good: npt.NDArray[np.int64], checked: Checked) -> pa.Table | None:
        if not len(good):
            return None
        rows = [anew[at] for at in good.tolist()]
        numbers, lines = (np.array([getattr(each, name) for each in rows], dtype=np.int64) for name in ("row", "line"))
        unused = [[each.cells[at] for at in self._unused] for each in rows] if self._unused else None
        return to_table(checked.values, numbers, lines, unused, [each.changed or {} for each in rows])
