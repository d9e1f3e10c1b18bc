"""Which rows a task run delivers."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from flows.plan import MOST_CHUNKS, chunk_size, chunks, spans
from flows.records import LimitTerms


def terms(*windows: tuple[int, float]) -> LimitTerms:
    return LimitTerms("x", windows, in_flight=7, max_timeout_seconds=2.0)


@pytest.mark.parametrize(
    ("rows", "windows", "size"),
    [
        (100, [(7, 1.0)], 7),  # a second's worth
        (3, [(1, 10.0)], 1),  # a slow API: one row
        (1_000_000, [(7, 1.0)], 1000),  # never more than a thousand task runs
        (100_000, [(1000, 1.0)], 1000),
        (100_000, [(1000, 1.0), (600, 60.0)], 100),  # the tightest window sets the pace
        (10_000, [], 2000),
    ],
)
def test_a_chunk_is_about_a_second_of_work(rows: int, windows: list[tuple[int, float]], size: int) -> None:
    assert chunk_size(rows, terms(*windows)) == size


@given(st.integers(1, 5_000_000))
def test_there_are_never_more_chunks_than_allowed(rows: int) -> None:
    assert -(-rows // chunk_size(rows, terms((7, 1.0)))) <= MOST_CHUNKS


def test_chunks_cover_all_rows_once_and_are_named_after_the_rows_of_the_file() -> None:
    rows = np.array([1, 2, 3, 5, 9])

    found = list(chunks(rows, 2))

    assert [chunk.name for chunk in found] == ["rows 1-2", "rows 3-5", "row 9"]
    assert [row for chunk in found for row in rows[chunk.start : chunk.stop]] == rows.tolist()
    assert list(chunks(np.array([], dtype=np.int64), 2)) == []


@given(st.sets(st.integers(0, 200)))
def test_spans_are_the_ordinals_again(found: set[int]) -> None:
    ordinals = np.array(sorted(found), dtype=np.int64)

    assert [i for start, stop in spans(ordinals) for i in range(start, stop)] == sorted(found)
