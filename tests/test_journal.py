"""Outcomes kept on disk while Redis does not take them."""

from __future__ import annotations

from pathlib import Path

from flows.journal import Journal
from flows.ledger import Answer
from flows.records import RowState

ONE = Answer(1, 1, 1, RowState.DONE, b"\x00\xff", b"", 1000)
TWO = Answer(2, 1, 2, RowState.FAILED, b"\x01", b"why", None, 1.5)


def test_what_was_kept_is_read_back_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep", "run")
    assert journal.read() == []

    journal.append([ONE])
    journal.append([TWO])

    assert Journal(tmp_path / "deep", "run").read() == [ONE, TWO]
    journal.clear()
    assert journal.read() == []


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    journal.append([ONE, TWO])
    journal.path.write_bytes(journal.path.read_bytes()[:-10])

    assert journal.read() == [ONE]
