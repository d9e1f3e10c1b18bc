"""The check step: a file against a definition, its rows into the spool, before anything is sent."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from heapq import merge
from pathlib import Path

from flows.definition import Definition
from flows.frame import Frame
from flows.records import Rejection, Row
from flows.schema import Checked, Checker
from flows.source import MAX_BYTES, Source, open_file
from flows.spool import Spool
from flows.stored import to_rows, to_table

SAMPLES = 100
FIRST = 10
SHOWN_CELLS, SHOWN_CHARS = 100, 500


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found. `samples`: the first 100 rejections; `first`: the first 10 accepted rows.

    `digest` is the SHA-256 (hex) of the file as it lies on disk; `columns` are the file's own, in its order, and
    `ignored` those of them that the definition does not know.
    """

    rows: int
    accepted: int
    rejected: int
    samples: tuple[Rejection, ...]
    first: tuple[Row, ...]
    digest: str
    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    ignored: tuple[str, ...]
    bytes: int
    seconds: float


def check_file(
    path: str | Path,
    definition: Definition,
    spool: Spool | None = None,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    max_bytes: int = MAX_BYTES,
    scratch: Path | None = None,
    on_progress: Callable[[int, int, int], None] | None = None,
    on_rejections: Callable[[Sequence[Rejection]], None] | None = None,
) -> CheckResult:
    """Check every row of a file; put the accepted ones, and the originals of the others, into the spool.

    About 20,000 rows at a time, so memory stays flat. After each such frame `on_rejections` gets its rejections, if
    there are any, in the file's order (long cells cut: the originals are in the spool), and `on_progress` the rows so
    far, the bytes read and the bytes of the file. `encoding` and `delimiter` outrank the definition's; `scratch` is
    the folder for the index of unique values, on a real disk with room for as many bytes as those columns hold
    (default: the system's folder for temporary files).

    Raises:
        FileError: the file cannot be read as rows of this definition. Nothing of it is left in the spool.
        DefinitionError: the definition's pandera model cannot be held over a file.
    """
    begin = time.perf_counter()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rowrelay-", dir=scratch))
        checker = stack.enter_context(Checker(definition, folder=Path(folder)))
        source = stack.enter_context(
            open_file(
                path,
                checker.wanted,
                encoding=encoding or definition.source.encoding,
                delimiter=delimiter or definition.source.delimiter,
                max_bytes=max_bytes,
            )
        )
        if spool:
            stack.callback(spool.abandon)  # does nothing once the spool is finished
        tally = _Tally(spool, on_rejections)
        for frame in source.frames():
            tally.add(frame, checker.check(frame.text, frame.lines))
            if on_progress:
                on_progress(tally.rows, source.bytes_done, source.bytes_total)
        if spool:
            spool.finish(source.columns)
        return tally.result(source, time.perf_counter() - begin)


class _Tally:
    """Counts, keeps the first of each kind, and hands everything on."""

    def __init__(self, spool: Spool | None, on_rejections: Callable[[Sequence[Rejection]], None] | None) -> None:
        self.accepted = self.rejected = 0
        self._samples: list[Rejection] = []
        self._first: list[Row] = []
        self._spool, self._on_rejections = spool, on_rejections

    @property
    def rows(self) -> int:
        return self.accepted + self.rejected

    def add(self, frame: Frame, checked: Checked) -> None:
        rejections = _rejections(frame, checked)
        positions = checked.values.index.to_numpy()
        rows, lines = frame.rows[positions], frame.lines[positions]
        self.accepted += len(rows)
        self.rejected += len(rejections)
        brief = [_brief(rejection) for rejection in rejections]
        self._samples += brief[: SAMPLES - len(self._samples)]
        if (room := FIRST - len(self._first)) > 0:
            self._first += to_rows(to_table(checked.values[:room], rows[:room], lines[:room]))
        if self._spool:
            self._spool.write(checked.values, rows, lines)
            self._spool.reject(rejections)
        if self._on_rejections and brief:
            self._on_rejections(brief)

    def result(self, source: Source, seconds: float) -> CheckResult:
        return CheckResult(
            rows=self.rows,
            accepted=self.accepted,
            rejected=self.rejected,
            samples=tuple(self._samples),
            first=tuple(self._first),
            digest=source.digest(),
            encoding=source.encoding,
            delimiter=source.delimiter,
            columns=source.columns,
            ignored=source.ignored,
            bytes=source.bytes_total,
            seconds=seconds,
        )


def _brief(rejection: Rejection) -> Rejection:
    """The same, fit to be shown: the whole original may be megabytes."""
    if len(rejection.cells) <= SHOWN_CELLS and all(len(cell) <= SHOWN_CHARS for cell in rejection.cells):
        return rejection
    cells = (cell if len(cell) <= SHOWN_CHARS else cell[:SHOWN_CHARS] + "…" for cell in rejection.cells[:SHOWN_CELLS])
    return replace(rejection, cells=tuple(cells))


def _rejections(frame: Frame, checked: Checked) -> list[Rejection]:
    """The broken records and the refused rows of a frame, in the file's order."""
    refused = (
        Rejection(int(frame.rows[at]), int(frame.lines[at]), reasons, tuple(frame.cells[at]))
        for at, reasons in checked.reasons.items()
    )
    return list(merge(frame.rejections, refused, key=lambda rejection: rejection.row))
