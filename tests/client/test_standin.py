"""The stand-in API: its answers, its limit, its record, its faults. It judges others, so it is judged here."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.standin import Knobs, StandIn, serving
from deployments.standin.arrivals import count_over, worst_window
from deployments.standin.faults import FAULTS
from tests.harness.wait import wait_until

SECOND = 1_000_000_000


@pytest.fixture
def api() -> StandIn:
    return StandIn(Knobs(requests=None))


@pytest.fixture
def http(api: StandIn) -> Iterator[httpx.Client]:
    with serving(api) as address, httpx.Client(base_url=address, trust_env=False, timeout=5) as client:
        yield client


def test_it_answers_like_jsonplaceholder(http: httpx.Client) -> None:
    created = http.post("/posts", json={"userId": 1, "title": "a"})
    changed = http.put("/posts/7", json={"title": "b"})
    read = http.get("/posts/7")

    assert (created.status_code, created.json()) == (201, {"userId": 1, "title": "a", "id": 101})
    assert http.post("/posts", data={"title": "form"}).json() == {"title": "form", "id": 102}
    assert (changed.status_code, changed.json()) == (200, {"title": "b", "id": 7})
    assert (read.status_code, read.json()["id"]) == (200, 7)
    assert http.delete("/posts/7").json() == {}
    assert http.post("/posts", content=b"{broken").status_code == 400


@pytest.mark.parametrize(
    ("tenths", "worst", "over"),
    [([], 0, 0), ([0], 1, 0), ([0, 9, 10], 2, 0), ([0, 1, 2, 9], 4, 2), ([0, 10, 20], 1, 0), ([0, 0, 0], 3, 1)],
)
def test_the_worst_window_is_any_window(tenths: list[int], worst: int, over: int) -> None:
    """Half open: an arrival exactly one window after another is not in the same one."""
    stamps = array("q", [tenth * SECOND // 10 for tenth in tenths])

    assert worst_window(stamps, SECOND) == worst
    assert count_over(stamps, SECOND, 2) == over


def test_too_many_get_429_and_those_who_go_on_are_banned_until_reset(api: StandIn, http: httpx.Client) -> None:
    http.put("/control", json={"requests": 3, "ban_after": 3, "retry_after_seconds": 1.2}).raise_for_status()

    answers = [http.post("/posts", json={}) for _ in range(7)]

    assert [answer.status_code for answer in answers] == [201, 201, 201, 429, 429, 403, 403]
    assert answers[3].headers["retry-after"] == "2"
    assert answers[6].headers["content-type"].startswith("text/html")
    report = http.get("/report").json()
    assert (report["arrivals"], report["worst"], report["over"], report["refused"]) == (7, 7, 4, 4)
    assert report["banned"]
    assert http.get("/report", params={"window": 1, "allowed": 6}).json()["over"] == 1

    http.put("/control", json={"reset": True}).raise_for_status()

    assert http.post("/posts", json={}).status_code == 201
    assert http.get("/report").json()["arrivals"] == 1


def test_refusing_and_banning_on_demand(http: httpx.Client) -> None:
    http.put("/control", json={"refuse_seconds": 30, "retry_after_seconds": 2, "retry_after_form": "date"})
    refused = http.post("/posts", json={})
    http.put("/control", json={"reset": True, "ban": True})
    banned = http.post("/posts", json={})
    http.put("/control", json={"ban": False})

    assert refused.status_code == 429
    assert refused.headers["retry-after"].endswith("GMT")
    assert banned.status_code == 403
    assert http.post("/posts", json={}).status_code == 201


@pytest.mark.parametrize("change", [{"request": 1}, {"requests": 0}, {"faults": {"nonsense": 1}}, [1], "x"])
def test_an_impossible_knob_is_refused_and_changes_nothing(http: httpx.Client, change: Any) -> None:
    before = http.get("/control").json()

    assert http.put("/control", json=change).status_code == 422
    assert http.get("/control").json() == before


@pytest.mark.parametrize("fault", ["error", "drop", "reset", "unprocessable"])
def test_an_arrival_that_goes_wrong_has_its_tag_too(fault: str) -> None:
    """What arrived is compared with what was sent, row by row."""
    api = StandIn(Knobs(requests=None, tag="title", faults={fault: 1.0}))

    with serving(api) as address, httpx.Client(trust_env=False, timeout=5) as client:
        with contextlib.suppress(httpx.HTTPError):
            client.post(address + "/posts", json={"title": "one"})
        wait_until(lambda: api.arrivals.answers, what="the arrival to be dealt with")

    assert [(each.tag, each.answer) for each in api.arrivals.details] == [("one", fault)]


def test_arrivals_are_logged_with_key_digest_and_tag_in_a_file_too(tmp_path: Path) -> None:
    log = tmp_path / "arrivals.jsonl"
    api = StandIn(Knobs(requests=None, tag="title"), log=log)
    with serving(api) as address, httpx.Client(base_url=address, trust_env=False) as http:
        before = time.monotonic_ns()
        http.post("/posts", json={"title": "one"}, headers={"Idempotency-Key": "k1"})
        http.post("/posts", json={"title": "two"}, headers={"Idempotency-Key": "k1"})
        after = time.monotonic_ns()
        streamed = [json.loads(line) for line in http.get("/arrivals").text.splitlines()]
        report = http.get("/report").json()

    assert [json.loads(line) for line in log.read_text().splitlines()] == streamed
    assert [(line["key"], line["tag"], line["answer"]) for line in streamed] == [("k1", "one", 201), ("k1", "two", 201)]
    assert streamed[0]["digest"] != streamed[1]["digest"]
    assert before < streamed[0]["at"] < streamed[1]["at"] < after
    assert (report["keys"], report["keys_repeated"], report["keys_with_two_bodies"]) == (1, 1, 1)
    assert report["keys_acted_twice"] == 1


def test_it_honours_idempotency_keys_if_told_to(http: httpx.Client) -> None:
    http.put("/control", json={"idempotent": True})
    key = {"Idempotency-Key": "k"}

    first = http.post("/posts", json={"a": 1}, headers=key)
    again = http.post("/posts", json={"a": 1}, headers=key)
    other = http.post("/posts", json={"a": 2}, headers=key)

    assert first.json() == again.json()
    assert other.status_code == 422
    report = http.get("/report").json()
    assert (report["arrivals"], report["created"], report["keys_acted_twice"]) == (3, 1, 0)


def test_a_key_whose_first_request_is_under_way_gets_409(http: httpx.Client) -> None:
    http.put("/control", json={"idempotent": True, "faults": {"hang": 1}})
    key = {"Idempotency-Key": "k"}
    with pytest.raises(httpx.ReadTimeout):
        http.post("/posts", json={}, headers=key, timeout=0.2)
    # The client has gone, so its request is over: it was acted on, and the answer is kept.
    http.put("/control", json={"faults": {}, "delay_min_seconds": 0.3, "delay_max_seconds": 0.3})
    wait_until(lambda: http.post("/posts", json={}, headers=key).status_code == 201, what="the stored answer")

    with socket.create_connection((http.base_url.host, http.base_url.port or 80)) as slow:
        slow.sendall(b"POST /posts HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k2\r\nContent-Length: 2\r\n\r\n{}")
        wait_until(lambda: http.get("/report").json()["keys"] == 2, what="the slow request")
        assert http.post("/posts", json={}, headers={"Idempotency-Key": "k2"}).status_code == 409


def test_jitter_moves_the_arrival_and_delay_does_not(api: StandIn, http: httpx.Client) -> None:
    http.put("/control", json={"delay_min_seconds": 0.2, "delay_max_seconds": 0.2})
    began = time.monotonic_ns()
    http.post("/posts", json={})
    assert time.monotonic_ns() - began > 0.19 * SECOND
    assert api.arrivals.stamps[0] - began < 0.15 * SECOND

    http.put("/control", json={"reset": True, "delay_max_seconds": 0, "delay_min_seconds": 0, "jitter_seconds": 0.2})
    lags = []
    for _ in range(8):
        began = time.monotonic_ns()
        http.post("/posts", json={})
        lags.append(api.arrivals.stamps[-1] - began)
    assert max(lags) > 0.05 * SECOND


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_does_what_it_is_called(http: httpx.Client, kind: str) -> None:
    short = {"hang_seconds": 0.2, "trickle_seconds": 0.001, "huge_bytes": 200_000}
    http.put("/control", json={"faults": {kind: 1}, **short})
    expected = {
        "error": 500, "bad_gateway": 502, "gateway_timeout": 504, "unavailable": 503, "redirect": 302,
        "no_content": 204, "invalid_json": 201, "wrong_type": 201, "html": 200, "huge": 201, "trickled": 201,
        "unauthorized": 401, "unprocessable": 422,
    }  # fmt: skip

    if kind in expected:
        answer = http.post("/posts", json={})
        assert answer.status_code == expected[kind]
        assert len(answer.content) == 200_000 or kind != "huge"
    else:
        with pytest.raises(httpx.RemoteProtocolError if kind == "close" else httpx.ReadError):
            http.post("/posts", json={})

    assert http.get("/report").json()["answers"] == {kind: 1}
    http.put("/control", json={"faults": {}})
    assert http.post("/posts", json={}).status_code == 201


def test_shares_of_faults_are_kept(http: httpx.Client) -> None:
    http.put("/control", json={"faults": {"error": 0.3}})

    failed = sum(http.post("/posts", json={}).status_code == 500 for _ in range(200))

    assert 30 <= failed <= 90


# -- the command line --------------------------------------------------------------------------------------------------

POST = """
import os, sys, urllib.error, urllib.request
for _ in range(int(sys.argv[1])):
    try:
        urllib.request.urlopen(os.environ["POSTS_URL"], b'{"title": "a"}')
    except urllib.error.HTTPError as exc:
        print("refused", exc.code)
sys.exit(int(sys.argv[2]))
"""


def standin(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deployments.commands", "standin", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_command_within_the_limit_decides_the_exit_code() -> None:
    ended = standin("--requests", "7", "--window-seconds", "20", "--", sys.executable, "-c", POST, "5", "1")

    assert ended.returncode == 1
    assert ended.stdout == "stand-in: 5 arrivals, worst 20 s 5 of 7 allowed, 0 refused\n"


def test_a_broken_limit_decides_the_exit_code() -> None:
    ended = standin("--requests", "3", "--window-seconds", "20", "--", sys.executable, "-c", POST, "5", "0")

    assert ended.returncode == 3
    assert "refused 429" in ended.stdout
    assert ended.stdout.endswith("stand-in: 5 arrivals, worst 20 s 5 of 3 allowed, 2 refused\n")


def test_without_a_limit_nothing_is_refused() -> None:
    ended = standin("--unlimited", "--", sys.executable, "-c", POST, "40", "0")

    assert ended.returncode == 0
    assert re.fullmatch(r"stand-in: 40 arrivals, worst second \d+, no limit, 0 refused\n", ended.stdout)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--requests", "many"), 2, "requests: Input should be a valid integer"),
        (("--fault", "nonsense=1"), 2, "faults.nonsense"),
        (("--fault", "error=lots"), 2, "faults.error"),
        (("--", "no-such-command-here"), 127, "cannot run no-such-command-here"),
    ],
)
def test_a_wrong_command_line_is_named(arguments: tuple[str, ...], code: int, words: str) -> None:
    ended = standin(*arguments)

    assert ended.returncode == code
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_on_its_own_it_says_where_it_is_and_ends_on_a_signal(tmp_path: Path) -> None:
    options = ["--log", str(tmp_path / "log"), "--fault", "hang=1"]
    command = [sys.executable, "-m", "deployments.commands", "standin", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("/posts")
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, json={"title": "a"}, timeout=0.3, trust_env=False)
        wait_until(lambda: (tmp_path / "log").read_text().endswith("\n"), what="the line of the arrival")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "1 arrivals" in process.stdout.read()
    finally:
        process.kill()
        process.wait()
