"""Which rows travel together: by number, by bytes, by names, and never two that an answer could not tell apart."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import pytest

from flows.client.compiled import Compiled
from flows.client.exchange import exchange
from flows.client.request import build_batch
from flows.delivery.job import Slice, Ticket
from flows.delivery.packing import Batches, OneByOne, packing
from flows.delivery.queue import Queue
from flows.pipeline.definition import Definition
from flows.records import Parcel, Row
from tests.harness.clock import MovedClock

SLICE = Slice(0, cast("asyncio.Future[Any]", None))
COLUMNS = {"email": {"type": "str"}, "note": {"type": "str", "optional": True}, "rate": {"type": "float"}}
KEY = "0" * 32


def compiled(request: dict[str, Any] | None = None, **batch: Any) -> Compiled:
    made = {
        "name": "x",
        "columns": COLUMNS,
        "request": {"url": "http://127.0.0.1/rows", **(request or {})},
        "batch": {"rows": 100, **batch},
        "limit": {"name": "x", "in_flight": 1},
    }
    return Compiled.of(Definition.model_validate(made), {})


def tickets(*emails: str, note: str | None = "", rate: float = 1.5) -> list[Ticket]:
    return [
        Ticket(Row(at, at + 1, {"email": email, "note": note, "rate": rate}), SLICE)
        for at, email in enumerate(emails, start=1)
    ]


def parcels(made: Compiled, waiting: list[Ticket]) -> list[list[Ticket]]:
    """What the queue makes of the rows."""
    queue = Queue(MovedClock(), packing(made))
    queue.add(waiting)
    return [job.tickets for job in queue.take(10**6)]


def sizes(made: Compiled, waiting: list[Ticket]) -> list[int]:
    return [len(parcel) for parcel in parcels(made, waiting)]


def content(made: Compiled, parcel: list[Ticket]) -> bytes:
    rows = [ticket.row for ticket in parcel]
    return build_batch(made.rendering, rows, key=KEY, own_keys=[KEY] * len(rows), secrets={}).content


def test_without_a_batch_each_row_goes_alone() -> None:
    definition = compiled().definition.model_copy(update={"batch": None})

    assert isinstance(packing(Compiled.of(definition, {})), OneByOne)


@pytest.mark.parametrize(("rows", "expected"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (100, [7])])
def test_by_number(rows: int, expected: list[int]) -> None:
    assert sizes(compiled(rows=rows), tickets(*(f"{n}@x" for n in range(7)))) == expected


SHAPES: dict[str, dict[str, Any]] = {
    "a list": {"each": {"email": "{email}", "note": "{note}"}},
    "all columns": {},
    "a list inside": {"request": {"json": {"rows": "{batch}", "more": ["{idempotency_key}"]}}, "each": ["{email}"]},
    "lines": {"request": {"ndjson": [{"index": {"_id": "{idempotency_key}"}}, {"email": "{email}"}]}},
    "an object": {"each": {"{email}": {"note": "{note}"}}, "as": "object"},
    "an object of two names": {"each": {"{email}": 1, "no-{email}": {"n": "{note}"}}, "as": "object"},
    "texts": {"each": "{email}: {note}"},
    "GraphQL": {"request": {"graphql": {"query": "mutation {a}", "variables": {"rows": "{batch}"}}}, "each": "{email}"},
    "a key in the body": {
        "request": {"json": {"rows": "{batch}"}, "idempotency_key": {"json": "meta.key"}},
        "each": {"email": "{email}", "key": "{idempotency_key}"},
    },
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("note", [None, "", 'é"\\漢'])
def test_by_bytes_to_the_last_one(shape: str, note: str | None) -> None:
    changes = dict(SHAPES[shape])
    waiting = tickets(*(f"{'y' * (n % 5)}{n}@x" for n in range(9)), note=note)
    size = len(content(compiled(**changes), waiting[:4]))

    assert sizes(compiled(bytes=size, **changes), waiting)[0] == 4
    assert sizes(compiled(bytes=size - 1, **changes), waiting)[0] == 3
    for most in range(size - 30, size + 30, 7):
        made = compiled(bytes=most, **changes)
        found = parcels(made, waiting)
        assert [ticket for parcel in found for ticket in parcel] == waiting
        assert all(len(content(made, parcel)) <= most or len(parcel) == 1 for parcel in found)
        for parcel, following in pairwise(found):
            assert len(content(made, [*parcel, following[0]])) > most


def test_a_row_that_is_larger_than_the_bytes_goes_alone_and_nothing_is_sent() -> None:
    made = compiled(bytes=60, each="{email}")
    waiting = tickets("a@x", "b@x", "c" * 90, "d@x")

    assert sizes(made, waiting) == [2, 1, 1]
    outgoing = exchange(made, Parcel((waiting[2].row,)), key=KEY, own_keys=[KEY])
    with pytest.raises(StopIteration) as end:
        next(outgoing)
    (outcome,) = end.value.value
    assert (outcome.state, outcome.reason) == (
        "failed",
        "the request has 94 bytes, and batch.bytes allows 60; nothing was sent",
    )


def test_a_row_that_makes_no_part_goes_alone() -> None:
    made = compiled(each={"email": "{email}", "rate": "{rate}"})
    bad = tickets("b@x", rate=float("nan"))

    assert sizes(made, [*tickets("a@x", "c@x"), *bad, *tickets("d@x", "e@x")]) == [2, 1, 2]
    assert sizes(made, [*bad, *bad, *tickets("a@x")]) == [1, 1, 1]


@pytest.mark.parametrize(
    "batch",
    [
        {"items": "items", "match": {"item": "email", "row": "{email}"}},
        {"items": "items", "match": {"name": "{email}"}},
        {"each": {"{email}": {"note": "{note}"}}, "as": "object"},
    ],
)
def test_two_rows_that_an_answer_could_not_tell_apart_never_travel_together(batch: dict[str, Any]) -> None:
    waiting = tickets("a@x", "b@x", "a@x", "a@x", "c@x", "b@x")

    assert [[t.row.values["email"] for t in parcel] for parcel in parcels(compiled(**batch), waiting)] == [
        ["a@x", "b@x"],
        ["a@x"],
        ["a@x", "c@x", "b@x"],
    ]


def test_rows_are_alike_as_the_answer_compares_them() -> None:
    match: dict[str, Any] = {"item": "email", "row": "{email}"}
    waiting = tickets("a@x", " A@X ")

    assert sizes(compiled(items="items", match=match | {"ignore_case": True}), waiting) == [1, 1]
    assert sizes(compiled(items="items", match=match), waiting) == [2]
    assert sizes(compiled(items="items", match=match), tickets("a@x", "a@x ")) == [1, 1]


@pytest.mark.parametrize("match", ["position", {"index": "at"}, {"name": "{idempotency_key}"}, {"name": "{row}"}])
def test_rows_that_are_told_apart_otherwise_may_look_alike(match: Any) -> None:
    match = {"name": match["name"]} if isinstance(match, dict) and "name" in match else match
    made = Definition.model_validate(
        compiled().definition.resolved() | {"batch": {"rows": 9, "items": "items", "match": match}}
    )

    assert sizes(Compiled.of(made, {}), tickets("a@x", "a@x", "a@x")) == [3]


def test_parts_are_made_once_where_the_row_has_no_other() -> None:
    made = compiled(bytes=10**6, each="{email}")
    waiting = tickets("a@x", "b@x")
    Batches(made).take(waiting)

    assert [bytes(ticket.part) for ticket in waiting] == [b'"a@x"', b'"b@x"']


def test_the_queue_knows_about_how_many_parcels_there_are_where_bytes_bound_them() -> None:
    queue = Queue(MovedClock(), packing(compiled(rows=5000, bytes=200)))
    queue.add(tickets(*["x" * 40] * 5000))

    said = len(queue)
    assert said == len(queue.take(10**6))
    assert said > 1000
    assert len(queue) == 0


def test_a_parcel_is_taken_without_a_look_at_all_that_might_be_in_one() -> None:
    class Looks(deque[Ticket]):
        seen = 0

        def __iter__(self) -> Iterator[Ticket]:
            for each in super().__iter__():
                Looks.seen += 1
                yield each

    waiting = Looks(tickets(*["x" * 40] * 5000))
    assert Batches(compiled(rows=5000, bytes=200)).take(waiting) == Looks.seen - 1 < 10
    Looks.seen = 0
    assert Batches(compiled(rows=7)).take(waiting) == 7


def test_rows_of_one_key_travel_apart_where_a_lookup_of_one_sees_what_another_made() -> None:
    lookup = {"request": {"method": "GET", "url": "http://127.0.0.1/{email}"}, "answers": [{"means": "done"}]}

    def parted(more: dict[str, Any]) -> list[int]:
        given = compiled(rows=9).definition.model_dump(mode="json", exclude_unset=True, by_alias=True)
        return sizes(Compiled.of(Definition.model_validate(given | more), {}), tickets("a", "b", "a", "c"))

    assert parted({"key": ["email"], "reconcile": lookup}) == [2, 2]
    assert parted({"key": ["email"]}) == [4]
