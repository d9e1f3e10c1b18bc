"""Whole deliveries under several limits at once: of the account, of each value of a column, of units."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from flows.delivery.demand import Demand
from flows.delivery.job import Job, Ticket
from flows.delivery.queue import Queue
from flows.ledger.connection import connect
from flows.limit.limiter import open_limit, status
from flows.pipeline.limits import Limit
from flows.records import Row, RowState, RunState
from tests.harness.receiver import worst
from tests.harness.scripted import Answer
from tests.harness.scripted_api import Asked, Scripted, delivered, scripted

CHATS = 6
WINDOW = 1.0


def definition(url: str, **more: Any) -> dict[str, Any]:
    """One request a row: a text to a chat."""
    return {
        "columns": {"chat": {"type": "int"}, "points": {"type": "int", "min": 1, "max": 9}},
        "request": {
            "method": "POST",
            "url": url,
            "json": {"chat": "{chat}", "points": "{points}"},
            "timeout_seconds": 1,
        },
        **more,
    }


def limit(name: str, **numbers: Any) -> dict[str, Any]:
    return {"name": name, "grace_seconds": 0.2, **numbers}


def table(chats: list[int], points: int = 1) -> str:
    return "".join(["chat,points\n", *(f"{chat},{points}\n" for chat in chats)])


def taken(asked: Asked) -> Answer:
    return 201, b'{"id": 1}', {"Content-Type": "application/json"}


def arrivals(api: Scripted) -> dict[int, list[float]]:
    """When each chat was written to."""
    found: dict[int, list[float]] = defaultdict(list)
    for asked in api.log:
        found[asked.body["chat"]].append(asked.at)
    return found


def test_every_limit_holds_and_no_chat_holds_up_the_others(tmp_path: Path, redis_url: str) -> None:
    """The file is in order of chats, one a second each: in turn they would take 17 s longer than side by side."""
    chats = [chat for chat in range(CHATS) for _ in range(4)]
    limits = [
        limit("account", requests=20, window_seconds=WINDOW),
        limit("chat {chat}", requests=1, window_seconds=WINDOW),
    ]
    with scripted(taken) as api:
        ended = delivered(redis_url, tmp_path, definition(api.url, limits=limits), [], table=table(chats))

    assert (ended.state, ended.counts[RowState.DONE]) == (RunState.FINISHED, len(chats))
    assert worst([asked.at for asked in api.log], WINDOW) <= 20
    assert {chat: worst(at, WINDOW) for chat, at in arrivals(api).items()} == dict.fromkeys(range(CHATS), 1)
    took = api.log[-1].at - api.log[0].at
    assert took < 3 * len(chats) / 4, f"{took:.1f} s"
    assert status(connect(redis_url), "chat {chat}").values == CHATS


def test_rows_cost_what_their_column_says(tmp_path: Path, redis_url: str) -> None:
    costs = [9, 1, 1, 5, 5, 9, 2, 7, 3, 8, 1, 1, 1, 9]
    limits = [
        limit("points", units=10, window_seconds=WINDOW, cost="{points}"),
        limit("calls", requests=50, window_seconds=1),
    ]
    rows = "chat,points\n" + "".join(f"1,{cost}\n" for cost in costs)
    with scripted(taken) as api:
        ended = delivered(redis_url, tmp_path, definition(api.url, limits=limits), [], table=rows)

    assert ended.counts[RowState.DONE] == len(costs)
    spent = [asked.at for asked in api.log for _ in range(asked.body["points"])]
    assert worst(spent, WINDOW) <= 10


def test_a_429_that_names_its_limit_pauses_that_value_alone(tmp_path: Path, redis_url: str) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.body["chat"] == 1 and sum(each.body["chat"] == 1 for each in api.log) == 1:
            return 429, json.dumps({"parameters": {"retry_after": 2}}).encode(), {"Content-Type": "application/json"}
        return taken(asked)

    rule = {"status": 429, "means": "wait", "seconds": "parameters.retry_after", "limit": "chat {chat}"}
    limits = [limit("account", requests=50, window_seconds=1), limit("chat {chat}", requests=5, window_seconds=0.2)]
    with scripted(answer) as api:
        given = definition(api.url, limits=limits, answers=[rule])
        ended = delivered(redis_url, tmp_path, given, [], table=table([1, 2, 3, 2, 3, 2, 3, 1, 2, 3]))

    assert ended.counts[RowState.DONE] == 10
    first, *others = arrivals(api)[1]
    assert len(others) == 2
    assert others[0] - first >= 1.9
    assert max(at for chat in (2, 3) for at in arrivals(api)[chat]) < first + 1.9


def test_a_ban_latches_every_limit_and_all_are_opened_together(tmp_path: Path, redis_url: str) -> None:
    limits = [limit("account", requests=50, window_seconds=1), limit("endpoint", requests=50, window_seconds=1)]
    with scripted(lambda asked: (403, b"no", {})) as api:
        ended = delivered(redis_url, tmp_path, definition(api.url, limits=limits), [], table=table([1, 2, 3]))
    client = connect(redis_url)

    assert ended.state is RunState.STOPPED
    assert [status(client, name).latched for name in ("account", "endpoint")] == [True, True]
    assert open_limit(client, "endpoint", by="a person")
    assert [status(client, name).latched for name in ("account", "endpoint")] == [False, False]


def test_rows_of_one_request_have_one_value_and_fit_into_the_units(tmp_path: Path, redis_url: str) -> None:
    limits = [
        limit("chat {chat}", requests=5, window_seconds=0.2),
        limit("points", units=9, window_seconds=0.3, cost="{points}"),
    ]
    with scripted(lambda asked: (200, b"[]", {"Content-Type": "application/json"})) as api:
        given = definition(api.url, limits=limits, batch={"rows": 10, "each": {"chat": "{chat}", "points": "{points}"}})
        del given["request"]["json"]
        ended = delivered(redis_url, tmp_path, given, [], table=table([1] * 5 + [2] * 5, points=3))

    assert ended.counts[RowState.DONE] == 10
    assert [[row["chat"] for row in asked.body] for asked in sorted(api.log)] == [[1] * 3, [1] * 2, [2] * 3, [2] * 2]
    spent = [asked.at for asked in api.log for row in asked.body for _ in range(row["points"])]
    assert worst(spent, 0.3) <= 9


def test_what_bound_the_pace_is_told_by_name(tmp_path: Path, redis_url: str) -> None:
    limits = [limit("account", requests=50, window_seconds=1), limit("endpoint", requests=1, window_seconds=1.5)]
    with scripted(taken) as api:
        ended = delivered(redis_url, tmp_path, definition(api.url, limits=limits), [], table=table([1] * 4))

    assert next(iter(ended.facts.held_by)) == "rate (endpoint)"


def test_a_row_that_backed_off_is_offered_while_others_wait() -> None:
    now = [0.0]
    queue = Queue(lambda: now[0])
    rows = [Ticket(Row(number, number + 1, {}), None) for number in (1, 2)]  # type: ignore[arg-type]
    queue.add(rows[:1])
    queue.back_off(Job([rows[1]]), 1.0)
    assert [job.rows for job in queue.offer(9)] == [[1]]
    now[0] = 2.0

    assert [job.rows for job in queue.offer(9)] == [[2], [1]]
    assert queue.pick(queue.offer(9)[:1])[0].rows == [2]
    assert len(queue) == 1


def test_a_parcel_of_several_values_takes_a_place_of_each() -> None:
    """It was put together before its limit was one for each value."""
    limits = (Limit(name="chat {chat}", units=50, window_seconds=1, cost="{points}"),)
    demand = Demand(limits, None)
    rows = [Row(number, number, {"chat": number % 2, "points": number}) for number in (1, 2, 3)]

    odd, even = demand.places(rows)

    assert (odd.cost, even.cost) == (4, 2)
    assert odd.value != even.value
    assert demand.too_dear((odd._replace(cost=51),)) == "costs 51 units, and the limit 'chat {chat}' allows 50"
    assert demand.too_dear((odd, even)) == ""
