"""Accepted rows by their jobs, and what they take of the memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Sequence

from flows.client.compiled import Compiled
from flows.delivery.accepted import Accepted
from flows.ledger.keys import Record
from flows.pipeline.definition import Definition
from flows.records import RowState

DEFINITION = Definition.model_validate(
    {
        "name": "x",
        "columns": {"email": {"type": "str"}},
        "request": {"url": "http://127.0.0.1/x"},
        "answers": [{"status": 202, "means": "accepted", "keep": {"job": "job", "part": "part"}}],
        "poll": {
            "request": {"method": "GET", "url": "http://127.0.0.1/j/{job}"},
            "until": {"hours": 1},
            "answers": [{"when": "a", "means": "done"}],
        },
        "limit": {"name": "x", "in_flight": 1},
    }
)


def accepted(job: Callable[[int], str | None], count: int, *, ago: Callable[[int], float] = lambda row: 0) -> Accepted:
    """So many rows, each in its job."""

    def read(rows: Sequence[int]) -> list[Record]:
        now = time.time()
        return [
            Record(row, RowState.ACCEPTED, at=now - ago(row), kept={"job": job(row), "part": row})
            for row in rows
            if row % 10
        ]

    found = Accepted(DEFINITION.poll, Compiled.of(DEFINITION, {}), read=read)  # type: ignore[arg-type]
    found.sort(range(1, count + 1))
    return found


def test_each_job_is_asked_about_once_for_all_of_its_rows() -> None:
    found = accepted(lambda row: f"j{row % 3}", 14)

    (some,) = found.questions(500)
    assert [(rows, str(request.url)) for rows, request in some] == [
        ([1, 4, 7, 13], "http://127.0.0.1/j/j1"),
        ([2, 5, 8, 11, 14], "http://127.0.0.1/j/j2"),
        ([3, 6, 9, 12], "http://127.0.0.1/j/j0"),
    ]
    assert [len(each) for each in found.questions(2)] == [2, 1]


def test_rows_without_a_job_and_those_accepted_for_too_long_are_told_apart() -> None:
    found = accepted(lambda row: None if row < 4 else "j", 8, ago=lambda row: 4000 if row > 6 else 3000)

    assert (found.nameless, found.overdue) == ([1, 2, 3], [7, 8])
    assert [rows for rows, _ in next(found.questions(500))] == [[4, 5, 6, 7, 8]]
    assert list(accepted(lambda row: None, 3).questions(500)) == []
    assert list(accepted(lambda row: "j", 0).questions(500)) == []


def test_rows_of_one_job_take_hardly_any_memory() -> None:
    tracemalloc.start()
    try:
        found = accepted(lambda row: f"j{row // 1000}", 20_000)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(found) == 20
    assert held < 40 * 20_000
    assert peak < 10_000_000
