"""Outcomes kept on disk while Redis does not take them."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from flows.delivery.journal import Journal
from flows.ledger.moves import Answer
from flows.records import RowState

ONE = Answer(1, 1, 1, RowState.DONE, b"\x00\xff", b"", 1000)
TWO = Answer(2, 1, 2, RowState.FAILED, b"\x01", b"why", None, 1.5)


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """A disk that takes so many bytes of a file, and no more."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def test_what_was_kept_is_read_back_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep", "run")
    assert journal.read() == []

    journal.append([ONE])
    journal.append([TWO])

    assert Journal(tmp_path / "deep", "run").read() == [ONE, TWO]
    journal.clear()
    assert journal.read() == []


def test_a_full_disk_leaves_what_was_kept_before_readable(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    journal.append([ONE])
    much = [replace(TWO, tail=bytes(100_000))]
    with full_at(10_000), pytest.raises(OSError, match="too large"):
        journal.append(much)

    journal.append([TWO])
    assert journal.read() == [ONE, TWO]


def test_a_line_in_the_middle_that_was_cut_short_costs_no_other(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    journal.append([ONE])
    with journal.path.open("ab") as file:
        file.write(b'{"row":7,"ep\n')
    journal.append([TWO])

    assert journal.read() == [ONE, TWO]


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    journal.append([ONE, TWO])
    journal.path.write_bytes(journal.path.read_bytes()[:-10])

    assert journal.read() == [ONE]


def test_what_a_part_of_a_run_kept_is_read_by_whoever_takes_the_run_up(tmp_path: Path) -> None:
    whole = Journal(tmp_path, "run")
    whole.append([ONE])
    Journal(tmp_path, "run", part="7").append([TWO])
    Journal(tmp_path, "another", part="7").append([TWO])

    assert whole.read() == [ONE, TWO]
    assert Journal(tmp_path, "run", part="7").read() == [TWO]
    whole.clear()
    assert whole.read() == []
    assert Journal(tmp_path, "another").read() == [TWO]


@settings(deadline=None)
@given(st.data())
def test_what_was_acknowledged_is_read_back_however_often_the_disk_was_full_meanwhile(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal"), "run")
    kept: list[Answer] = []
    for row in range(1, data.draw(st.integers(2, 12)) * 10, 10):
        answers = [
            Answer(at, 1, at, RowState.DONE, data.draw(st.binary(max_size=60)), b"", None)
            for at in range(row, row + data.draw(st.integers(1, 9)))
        ]
        room = (journal.path.stat().st_size if journal.path.exists() else 0) + data.draw(st.integers(0, 1500))
        try:
            with full_at(room):
                journal.append(answers)
        except OSError:
            continue
        kept += answers

    assert journal.read() == kept


def test_what_follows_a_line_that_a_crash_cut_short_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    journal.append([ONE, TWO])
    journal.path.write_bytes(journal.path.read_bytes()[:-10])

    journal.append([TWO])

    assert Journal(tmp_path, "run").read() == [ONE, TWO]
