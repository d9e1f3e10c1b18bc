"""The check step: a file against a definition, its rows into the spool, before anything is sent."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from heapq import merge
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from msgspec import structs

from flows.origin import Origin
from flows.pipeline.definition import Definition
from flows.pipeline.file_form import FileForm
from flows.records import AS_SAID, UNUSED, Reason, Rejection, Row
from flows.schema.schema import Checked, Checker
from flows.source.frame import Frame
from flows.source.header import Called
from flows.source.source import MAX_BYTES, Source, open_file
from flows.spool.spool import Spool
from flows.spool.stored import to_rows, to_table
from flows.spool.writer import Writer

SAMPLES = 100
FIRST = 10
NOTICES = 20
SHOWN_CELLS, SHOWN_CHARS = 100, 500


class Before(Protocol):
    """A row that was sent in an earlier run. `sure`: it was delivered; otherwise its answer was lost.

    `why`: the reason to leave it out. `run`: "" where no run is to be told of.
    """

    @property
    def why(self) -> Reason: ...  # noqa: D102
    @property
    def run(self) -> str: ...  # noqa: D102
    @property
    def row(self) -> int: ...  # noqa: D102
    @property
    def sure(self) -> bool: ...  # noqa: D102


class Delivered(Protocol):
    """Knows which rows were sent in earlier runs, by `key`, the columns that say which row is which."""

    key: tuple[str, ...]

    @property
    def empty(self) -> bool: ...  # noqa: D102

    def find(self, rows: Sequence[Row]) -> Mapping[int, Before]:
        """For each position whose row was sent before: as which row of which run."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found. `samples`: the first 100 rejections; `first`: the first 10 accepted rows.

    `form`: how the file was read, with what was found of it; `origin`: where its rows stand. `called`: what the file
    calls the definition's columns.
    `digest` is the SHA-256 (hex) of the file as it lies on disk; `columns` are the file's own, in its order, and
    `ignored` those of them that the definition does not know. `delivered` counts good rows that earlier runs have
    delivered, by run; `unsure` those whose answer was lost there; `skipped` the delivered ones that are rejected for
    it, and not among the samples. `notices` say in words what was noticed of the file and its columns as a whole.
    """

    rows: int
    accepted: int
    rejected: int
    samples: tuple[Rejection, ...]
    first: tuple[Row, ...]
    digest: str
    encoding: str
    delimiter: str
    form: FileForm
    origin: Origin
    columns: tuple[str, ...]
    called: Mapping[str, str]
    ignored: tuple[str, ...]
    bytes: int
    seconds: float
    notices: tuple[str, ...] = ()
    delivered: Mapping[str, int] = field(default_factory=dict)
    unsure: int = 0
    skipped: int = 0

    def place(self, line: int, column: str) -> str:
        """Where a cell of a column of the definition stands in the file; "" as column: where the row does."""
        return self.origin.placing(self.called, self.columns)(line, column)

    @property
    def kind(self) -> str:
        """What kind of file it is."""
        return self.origin.kind

    @property
    def sheet(self) -> str:
        """Which sheet of a workbook was read; "" of other kinds."""
        return self.origin.sheet

    @property
    def remarks(self) -> list[str]:
        """What a person should see before anything is sent: the columns left out, and the notices."""
        names = ", ".join(name.strip() or "(no name)" for name in self.ignored)
        said = [f"{UNUSED}: {names}"] if names else []
        more = len(self.notices) - NOTICES
        return [*said, *self.notices[:NOTICES], *([f"… and {more:,} more such notices"] if more > 0 else [])]


def check_file(
    path: str | Path,
    definition: Definition,
    spool: Spool | None = None,
    *,
    said: FileForm | None = None,
    mapping: Mapping[str, str] | None = None,
    max_bytes: int = MAX_BYTES,
    scratch: Path | None = None,
    on_progress: Callable[[int, int, int], None] | None = None,
    on_rejections: Callable[[Sequence[Rejection]], None] | None = None,
    delivered: Delivered | None = None,
    skip_delivered: bool = False,
) -> CheckResult:
    """Check every row of a file; put the accepted ones, and the originals of the others, into the spool.

    About 20,000 rows at a time, so memory stays flat. After each such frame `on_rejections` gets its rejections, if
    there are any, in the file's order (long cells cut: the originals are in the spool). After each frame and each MiB
    `on_progress` gets the rows so far, the bytes read and the bytes of the file. `said`: how the file is to be read,
    before what the definition says of it; `mapping` says of columns of the file which they are; `scratch` is the
    folder for the index of unique values, and for what a packed workbook unpacks to, on a real disk with room for it
    (default: the system's folder for temporary files). `delivered` says which rows earlier runs have delivered: they
    are counted, and with `skip_delivered` rejected.

    Raises:
        FileError: the file cannot be read as rows of this definition. Nothing of it is left in the spool.
        DefinitionError: the definition's pandera model cannot be held over a file.
    """
    begin = time.perf_counter()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rowrelay-", dir=scratch))
        checker = stack.enter_context(Checker(definition, folder=Path(folder), file=str(path)))
        tally = _Tally(on_rejections)

        def progress(done: int, total: int) -> None:
            if on_progress:
                on_progress(tally.rows, done, total)

        source = stack.enter_context(
            open_file(
                path,
                checker.wanted,
                called=Called.of(definition, mapping),
                form=definition.source.but(said),
                max_bytes=max_bytes,
                scratch=Path(folder),
                on_read=progress,
            )
        )
        checker.place = source.place
        if spool:
            tally.writer = spool.writer()
            stack.callback(tally.writer.abandon)
        known = Known(delivered, skip=skip_delivered) if delivered and not delivered.empty else None
        for frame in source.frames():
            checked = checker.check(frame.text, frame.lines, frame.faults)
            tally.add(frame, known.judge(frame, checked) if known else checked, source.unused)
            progress(source.bytes_done, source.bytes_total)
        if tally.writer:
            tally.writer.finish(source.columns)
        told = (*_mapped(mapping or {}), *source.notices, *checker.notices(source.absent))
        result = tally.result(source, told, time.perf_counter() - begin)
        return known.told(result) if known else result


def _mapped(mapping: Mapping[str, str]) -> Iterator[str]:
    """What a person said of the columns, in words: nothing is mapped without being told."""
    for name, column in mapping.items():
        yield f"the column {name!r} of the file is {f'taken for {column}' if column else 'left out'}{AS_SAID}"


class Known:
    """Counts the good rows that were sent before, and takes them out of the good ones if that is wished."""

    def __init__(self, delivered: Delivered, *, skip: bool) -> None:
        self._delivered, self._skip = delivered, skip
        self.runs: Counter[str] = Counter()
        self.unsure = self.skipped = 0

    def judge(self, frame: Frame, checked: Checked) -> Checked:
        """What is left of a frame's good rows."""
        positions: npt.NDArray[np.int64] = checked.values.index.to_numpy()
        columns = checked.values[list(self._delivered.key)]
        rows = to_rows(to_table(columns, frame.rows[positions], frame.lines[positions]))
        found = self._delivered.find(rows)
        sure = {int(positions[at]): before for at, before in found.items() if before.sure}
        self.unsure += len(found) - len(sure)
        self.runs.update(before.run for before in sure.values() if before.run)
        if not (self._skip and sure):
            return checked
        self.skipped += len(sure)
        reasons = {at: (before.why,) for at, before in sure.items()}
        together = dict(sorted((checked.reasons | reasons).items()))
        return Checked(checked.values.drop(index=list(sure)), together)

    def told(self, result: CheckResult) -> CheckResult:
        """The result with what was found."""
        return replace(result, delivered=dict(self.runs.most_common()), unsure=self.unsure, skipped=self.skipped)


class _Tally:
    """Counts, keeps the first of each kind, and hands everything on."""

    def __init__(self, on_rejections: Callable[[Sequence[Rejection]], None] | None) -> None:
        self.writer: Writer | None = None
        self.accepted = self.rejected = 0
        self._samples: list[Rejection] = []
        self._first: list[Row] = []
        self._on_rejections = on_rejections

    @property
    def rows(self) -> int:
        return self.accepted + self.rejected

    def add(self, frame: Frame, checked: Checked, unused: Sequence[int]) -> None:
        """`unused`: positions of the file's columns that the definition does not know."""
        rejections = _rejections(frame, checked)
        positions = checked.values.index.to_numpy()
        rows, lines = frame.rows[positions], frame.lines[positions]
        self.accepted += len(rows)
        self.rejected += len(rejections)
        shown = [brief(rejection) for rejection in rejections]
        self._samples += [item for item in shown if not item.skipped][: SAMPLES - len(self._samples)]
        if (room := FIRST - len(self._first)) > 0:
            self._first += to_rows(to_table(checked.values[:room], rows[:room], lines[:room]))
        if self.writer:
            others = frame.beside(positions.tolist(), unused) if unused else None
            self.writer.write(checked.values, rows, lines, others or None)
            self.writer.reject(rejections)
        if self._on_rejections and shown:
            self._on_rejections(shown)

    def result(self, source: Source, notices: tuple[str, ...], seconds: float) -> CheckResult:
        return CheckResult(
            rows=self.rows,
            accepted=self.accepted,
            rejected=self.rejected,
            samples=tuple(self._samples),
            first=tuple(self._first),
            digest=source.digest(),
            encoding=source.encoding,
            delimiter=source.delimiter,
            form=source.form,
            origin=source.origin,
            columns=source.columns,
            called=source.called,
            ignored=source.ignored,
            bytes=source.bytes_total,
            seconds=seconds,
            notices=notices,
        )


def brief(rejection: Rejection) -> Rejection:
    """The same, fit to be shown: the whole original may be megabytes."""
    if len(rejection.cells) <= SHOWN_CELLS and all(len(cell) <= SHOWN_CHARS for cell in rejection.cells):
        return rejection
    cells = (cell if len(cell) <= SHOWN_CHARS else cell[:SHOWN_CHARS] + "…" for cell in rejection.cells[:SHOWN_CELLS])
    return structs.replace(rejection, cells=tuple(cells))


def _rejections(frame: Frame, checked: Checked) -> list[Rejection]:
    """The broken records and the refused rows of a frame, in the file's order."""
    refused = (
        Rejection(int(frame.rows[at]), int(frame.lines[at]), reasons, tuple(frame.cells[at]))
        for at, reasons in checked.reasons.items()
    )
    return list(merge(frame.rejections, refused, key=lambda rejection: rejection.row))
