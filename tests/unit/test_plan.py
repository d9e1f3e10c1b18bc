"""Which rows a task run delivers."""

from __future__ import annotations

import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from flows.delivery.plan import MOST_CHUNKS, Plan, chunk_size, spans
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


def plan(wanted: set[int], rejected: set[int], total: int) -> Plan:
    bits = np.arange(1, total + 1)
    is_wanted, is_accepted = np.isin(bits, list(wanted)), ~np.isin(bits, list(rejected))
    return Plan(np.packbits(is_wanted), np.packbits(is_accepted), total)


def test_chunks_are_named_after_the_rows_of_the_file() -> None:
    found = list(plan({1, 2, 3, 5, 9}, {4}, 9).chunks(2))

    assert [chunk.name for chunk in found] == ["rows 1-2", "rows 3-5", "row 9"]
    assert [chunk.count for chunk in found] == [2, 2, 1]
    assert list(plan(set(), {1}, 3).chunks(2)) == []


@given(st.data(), st.integers(1, 60), st.sampled_from([8, 16, 1 << 20]))
def test_chunks_lead_to_every_wanted_row_of_the_spool_once(data: st.DataObject, total: int, segment: int) -> None:
    rows = st.sets(st.integers(1, total))
    rejected = data.draw(rows)
    wanted = data.draw(rows) - rejected
    size, most = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 5))
    spool = [row for row in range(1, total + 1) if row not in rejected]
    made = plan(wanted, rejected, total)

    chunks = list(made.chunks(size, segment=segment))
    found = [list(made.spans(chunk, most, segment=segment)) for chunk in chunks]
    read = [[spool[i] for start, stop in spans_ for i in range(start, stop)] for spans_ in found]

    assert [row for rows in read for row in rows] == sorted(wanted)
    assert [len(rows) for rows in read] == [chunk.count for chunk in chunks]
    assert all(count <= size for count in map(len, read))
    assert all(stop - start <= most for spans_ in found for start, stop in spans_)


def test_planning_millions_of_rows_takes_no_more_memory_than_planning_some() -> None:
    total = 4_000_000
    every = np.full(total // 8, 0xFF, dtype=np.uint8)
    tracemalloc.start()
    count = sum(chunk.count for chunk in Plan(every, every, total).chunks(4000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == total
    assert peak < 8_000_000, "as numbers the rows would be 32 MB"


def test_two_rows_far_apart_take_no_more_memory_than_two_beside_each_other() -> None:
    total = 4_000_000
    wanted = np.zeros(total // 8, dtype=np.uint8)
    wanted[[0, -1]] = 1  # the last row of a byte
    made = Plan(wanted, np.full(total // 8, 0xFF, dtype=np.uint8), total)
    (chunk,) = made.chunks(7)
    tracemalloc.start()
    found = list(made.spans(chunk, 250))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found == [(7, 8), (total - 1, total)]
    assert peak < 8_000_000, "as numbers the rows between them would be 64 MB"


@given(st.sets(st.integers(0, 200)))
def test_spans_are_the_ordinals_again(found: set[int]) -> None:
    ordinals = np.array(sorted(found), dtype=np.int64)

    assert [i for start, stop in spans(ordinals) for i in range(start, stop)] == sorted(found)
