"""Answers in the light of those before: a 403 that says when to come back, fields that never come."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flows.delivery.answers import KeptNames, Pardon
from flows.export.results import results
from flows.ledger.connection import connect
from flows.limit.status import status
from flows.records import Outcome, Reply, RowState, RunState
from flows.spool.spool import Spool
from tests.harness.world import world

LIMIT: dict[str, Any] = {"name": "api", "requests": 50, "window_seconds": 1, "in_flight": 1, "grace_seconds": 0.3}
Answer = tuple[int, dict[str, str], bytes]
LATER: Answer = (403, {"Retry-After": "1"}, b'{"error": "slow down"}')
FINE: Answer = (201, {}, b'{"id": 7}')


@contextmanager
def api(answer: Callable[[int], Answer]) -> Iterator[tuple[str, list[int]]]:
    """An API that answers its nth request (from 1) so; its address, and the statuses that it gave."""
    gave: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            code, headers, body = answer(len(gave) + 1)
            gave.append(code)
            self.send_response(code)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/posts", gave
    finally:
        server.shutdown()
        server.server_close()


def test_a_403_that_says_when_to_come_back_is_a_wait_as_long_as_it_helps(tmp_path: Path, redis_url: str) -> None:
    with (
        api(lambda n: LATER if n in (3, 6) else FINE) as (url, gave),
        world(tmp_path, redis_url, limit=LIMIT, request={"url": url}) as w,
    ):
        ended = w.deliver("r1", file=w.file(6))

        assert (ended["state"], ended["counts"]["done"]) == (RunState.FINISHED, 6)
        assert gave == [201, 201, 403, 201, 201, 403, 201, 201]
        assert sum("wait 1 s" in text for _, text in w.view.events("r1")) == 2
        assert not status(connect(redis_url), "api").latched


def test_a_403_that_comes_again_after_its_wait_is_a_ban(tmp_path: Path, redis_url: str) -> None:
    with (
        api(lambda n: LATER if n > 2 else FINE) as (url, gave),
        world(tmp_path, redis_url, limit=LIMIT, request={"url": url}) as w,
    ):
        ended = w.deliver("r1", file=w.file(6))

        assert ended["state"] == RunState.STOPPED
        assert "the API says 403: come back later, and again after that: a ban" in ended["reason"]
        assert gave == [201, 201, 403, 403]
        assert status(connect(redis_url), "api").latched
        assert ended["counts"] | {"waiting": 0} == {**dict.fromkeys(RowState, 0), "done": 2}
        assert ended["counts"]["waiting"] == 4  # refused twice, so nothing was done with them


@pytest.mark.parametrize(
    ("rows", "words"), [(3, "None of the first 3 answers has"), (25, "None of the first 10 answers has")]
)
def test_a_field_that_no_answer_has_is_told_at_once(tmp_path: Path, redis_url: str, rows: int, words: str) -> None:
    keep = {"keep": {"postId": "id", "link": "links.self"}}
    with (
        api(lambda n: FINE) as (url, _),
        world(tmp_path, redis_url, limit=LIMIT, request={"url": url}, response=keep) as w,
    ):
        ended = w.deliver("r1", file=w.file(rows))
        run = w.run("r1")

        told = f"{words} links.self (kept as link): nothing is kept of it. Is `keep` right?"
        assert ended["state"] == RunState.FINISHED
        assert run.notices == [told]
        assert [text for _, text in w.view.events("r1")] == [told]
        first = next(results(w.view, Spool(str(tmp_path / "data" / "spool"), "r1"), run))
        assert (first["postId"], first["reason"]) == (7, "the API said 201, but the answer has no links.self")


def test_fields_that_come_are_not_spoken_of(tmp_path: Path, redis_url: str) -> None:
    body = json.dumps({"name": "x"}).encode()
    with (
        api(lambda n: FINE if n == 9 else (201, {}, body)) as (url, _),
        world(tmp_path, redis_url, limit=LIMIT, request={"url": url}) as w,
    ):
        w.deliver("r1", file=w.file(12))

        assert w.run("r1").notices == []


def test_a_wait_is_heeded_by_all_that_left_before_it_ended() -> None:
    later = Reply(RowState.WAITING, pause_seconds=5.0, bans_if_again=True)
    done, failed = Reply(RowState.DONE), Reply(RowState.FAILED)
    pardon = Pardon()

    assert not pardon.is_spent(done, left=1.0, seen=1.1)
    assert not pardon.is_spent(later, left=2.0, seen=10.0)
    assert not pardon.is_spent(later, left=14.9, seen=16.0)  # by another process, or on its way meanwhile
    assert not pardon.is_spent(done, left=14.0, seen=15.5)  # left before: says nothing of what comes after
    assert not pardon.is_spent(failed, left=15.0, seen=15.5)
    assert pardon.is_spent(later, left=15.1, seen=16.0)
    assert not pardon.is_spent(done, left=16.0, seen=16.1)
    assert not pardon.is_spent(later, left=17.0, seen=18.0)


def test_one_answer_is_told_of_as_one() -> None:
    names = KeptNames({"a": "id", "b": "name"})

    assert names.note(Outcome(1, RowState.FAILED)) == ""
    assert names.rest() == ""
    assert names.note(Outcome(1, RowState.DONE, kept={"a": 1, "b": None})) == ""
    assert names.rest() == "The first answer has no name (kept as b): nothing is kept of it. Is `keep` right?"
