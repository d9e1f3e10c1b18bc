"""The stand-ins of the APIs: each shape that the API documents is really answered. They judge, so they are judged."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from deployments.standin import serving
from deployments.standin.apis import APIS, Api, ApiKnobs
from tests.harness.wait import wait_until

Open = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def opened() -> Iterator[Open]:
    """Gives a client of a stand-in that has these knobs and knows nothing yet. Each API is started once."""
    there: dict[str, tuple[Api, httpx.Client]] = {}
    with contextlib.ExitStack() as stack:

        def start(name: str, **knobs: Any) -> httpx.Client:
            if name not in there:
                api = APIS[name]()
                address = stack.enter_context(serving(api))
                there[name] = api, stack.enter_context(httpx.Client(base_url=address, trust_env=False, timeout=5))
            api, http = there[name]
            api.turn(reset=True, ban=False, **ApiKnobs(**knobs).model_dump())
            return http

        yield start


def row(email: str, name: str = "Anna") -> dict[str, str]:
    return {"email": email, "name": name}


def known(http: httpx.Client) -> dict[str, Any]:
    rows: dict[str, Any] = http.get("/truth").json()["rows"]
    return rows


def states(http: httpx.Client) -> dict[str, tuple[str, int]]:
    """Of each row its state and how often it was written."""
    return {email: (entry["state"], entry["created"] + entry["updated"]) for email, entry in known(http).items()}


def said(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status
    return answer.json()


# -- one row a request -------------------------------------------------------------------------------------------------


def test_graphql_answers_200_whatever_happened(opened: Open) -> None:
    http = opened("graphql", wait_seconds=2)

    def create(email: str) -> Any:
        query = "mutation C($input: I!) { create(input: $input) { contact { id } userErrors { field message } } }"
        return said(http.post("/graphql", json={"query": query, "variables": {"input": row(email)}}))

    assert create("a@x.de")["data"]["create"] == {"contact": {"id": "gid://contacts/1001"}, "userErrors": []}
    assert create("bad-1@x.de")["data"]["create"]["userErrors"] == [
        {"field": ["input", "email"], "message": "bad-1@x.de is on the list of blocked addresses"}
    ]
    throttled = create("busy-1@x.de")
    assert "data" not in throttled
    assert throttled["errors"][0]["extensions"] == {"code": "THROTTLED", "retryAfter": 2.0}
    assert create("busy-1@x.de")["data"]["create"]["contact"]
    doubtful = create("doubt-1@x.de")
    assert (doubtful["data"], doubtful["errors"][0]["extensions"]) == (
        {"create": None},
        {"code": "INTERNAL_SERVER_ERROR"},
    )
    partly = create("partly-1@x.de")
    assert (partly["data"]["create"]["contact"], len(partly["errors"])) == ({"id": "gid://contacts/1004"}, 1)
    assert said(http.post("/graphql", json={"query": "{ other }"}))["errors"][0]["message"] == "Cannot query field"
    assert states(http) == {
        "a@x.de": ("done", 1), "bad-1@x.de": ("failed", 0), "busy-1@x.de": ("done", 1), "doubt-1@x.de": ("unknown", 1),
        "partly-1@x.de": ("done", 1),
    }  # fmt: skip


def test_jsonrpc_answers_with_a_result_or_an_error(opened: Open) -> None:
    http = opened("jsonrpc")

    def call(email: str, method: str = "contacts.create") -> Any:
        return said(http.post("/rpc", json={"jsonrpc": "2.0", "id": 7, "method": method, "params": row(email)}))

    assert call("a@x.de") == {"jsonrpc": "2.0", "id": 7, "result": {"id": 1001}}
    assert call("bad-1@x.de")["error"] == {
        "code": -32602, "message": "bad-1@x.de is on the list of blocked addresses",
    }  # fmt: skip
    assert [call(email)["error"]["code"] for email in ("busy-bad-1@x.de", "busy-bad-1@x.de", "doubt-1@x.de")] == [
        -32000, -32602, -32603,
    ]  # fmt: skip
    assert call("b@x.de", "contacts.burn")["error"]["code"] == -32601
    old = http.post("/rpc", json={"jsonrpc": "1.0", "id": 7, "method": "contacts.create", "params": row("c@x.de")})
    assert old.json()["error"]["code"] == -32600
    assert states(http) == {
        "a@x.de": ("done", 1), "bad-1@x.de": ("failed", 0), "busy-bad-1@x.de": ("failed", 0),
        "doubt-1@x.de": ("unknown", 1),
    }  # fmt: skip


def test_a_status_in_a_200_says_ok_error_or_queued(opened: Open) -> None:
    http = opened("status200", job_seconds=0.5)

    def create(email: str) -> Any:
        return said(http.post("/contacts", json=row(email)))

    assert create("a@x.de") == {"status": "ok", "id": 1001}
    assert (create("bad-1@x.de")["status"], create("busy-1@x.de")["code"]) == ("error", "try_again")
    first, second = create("queued-1@x.de"), create("queued-bad-1@x.de")
    assert (first, second) == ({"status": "queued", "id": 1}, {"status": "queued", "id": 2})
    assert said(http.get("/contacts/1")) == first
    assert (states(http)["queued-1@x.de"], states(http)["busy-1@x.de"]) == (("accepted", 0), ("waiting", 0))
    wait_until(lambda: http.get("/contacts/2").json()["status"] != "queued", what="the queue")
    assert said(http.get("/contacts/1")) == {"status": "ok", "id": 1002}
    assert said(http.get("/contacts/2"))["message"] == "queued-bad-1@x.de is on the list of blocked addresses"
    assert http.get("/contacts/3").status_code == 404
    assert (states(http)["queued-1@x.de"], states(http)["queued-bad-1@x.de"]) == (("done", 1), ("failed", 0))


def test_a_403_may_mean_wait(opened: Open) -> None:
    http = opened("wait403", wait_seconds=0.6)

    waiting = said(http.post("/contacts", json=row("busy-1@x.de")), 403)
    assert "secondary rate limit" in waiting["message"]
    assert 0 < waiting["wait"] <= 0.6
    closed = http.post("/contacts", json=row("a@x.de"))
    assert (closed.status_code, closed.headers["retry-after"]) == (403, "1")
    wait_until(lambda: http.post("/contacts", json=row("a@x.de")).status_code == 201, what="the door")
    assert said(http.post("/contacts", json=row("busy-1@x.de")), 201) == {"id": 1002}
    assert said(http.post("/contacts", json=row("bad-1@x.de")), 422)["message"].startswith("bad-1@x.de")
    assert http.get("/report").json()["while_closed"] >= 1
    assert states(http) == {"busy-1@x.de": ("done", 1), "a@x.de": ("done", 1), "bad-1@x.de": ("failed", 0)}


def test_a_burst_shuts_the_door_for_a_while(opened: Open) -> None:
    http = opened("wait403", burst=3, wait_seconds=30)

    codes = [http.post("/contacts", json=row(f"{number}@x.de")).status_code for number in range(5)]

    assert codes == [201, 201, 201, 403, 403]
    assert http.get("/report").json()["while_closed"] == 1


def test_a_403_may_mean_a_ban(opened: Open) -> None:
    http = opened("wait403")

    banned = [said(http.post("/contacts", json=row(email)), 403)["message"] for email in ("ban-1@x.de", "a@x.de")]
    http.put("/control", json={"reset": True, "ban": True})
    by_hand = http.post("/contacts", json=row("a@x.de"))

    assert banned == ["Your account was suspended. Write to support."] * 2
    assert (by_hand.status_code, by_hand.headers["content-type"][:9]) == (403, "text/html")
    http.put("/control", json={"ban": False})
    assert http.post("/contacts", json=row("a@x.de")).status_code == 201


# -- batches -----------------------------------------------------------------------------------------------------------

MIXED = ("a@x.de", "bad-1@x.de", "busy-1@x.de", "b@x.de")
AFTER = {"a@x.de": ("done", 1), "bad-1@x.de": ("failed", 0), "busy-1@x.de": ("waiting", 0), "b@x.de": ("done", 1)}


@pytest.mark.parametrize("status", [207, 200])
def test_items_stand_in_the_order_of_the_rows(opened: Open, status: int) -> None:
    http = opened("items207", ok_status=status if status == 200 else 0)

    items = said(http.post("/contacts/batch", json=[row(email) for email in MIXED]), status)["results"]

    assert [item["status"] for item in items] == [201, 422, 429, 201]
    assert items[1]["error"]["message"] == "bad-1@x.de is on the list of blocked addresses"
    assert items[3]["id"] == known(http)["b@x.de"]["ids"][0]
    assert states(http) == AFTER


def test_a_list_that_lacks_an_item_says_nothing_about_any_row(opened: Open) -> None:
    http = opened("items207")

    items = said(http.post("/contacts/batch", json=[row("a@x.de"), row("mute-1@x.de"), row("bad-1@x.de")]), 207)

    assert [item["status"] for item in items["results"]] == [201, 422]
    assert states(http) == {"a@x.de": ("unknown", 1), "mute-1@x.de": ("unknown", 1), "bad-1@x.de": ("unknown", 0)}


def test_an_item_may_be_null(opened: Open) -> None:
    http = opened("items207")

    items = said(http.post("/contacts/batch", json=[row("blank-1@x.de"), row("a@x.de")]), 207)["results"]

    assert (items[0], items[1]["status"]) == (None, 201)
    assert states(http) == {"blank-1@x.de": ("unknown", 1), "a@x.de": ("done", 1)}


def test_two_errors_may_speak_of_one_row(opened: Open) -> None:
    http = opened("errors_only")

    answer = said(http.post("/contacts/import", json={"contacts": [row("a@x.de"), row("twice-1@x.de")]}))

    assert [(error["index"], error["code"]) for error in answer["errors"]] == [(1, "locked"), (1, "blocked")]
    assert answer["imported"] == 1
    assert states(http) == {"a@x.de": ("done", 1), "twice-1@x.de": ("failed", 0)}


def test_only_errors_are_listed_by_their_index(opened: Open) -> None:
    http = opened("errors_only")

    answer = said(http.post("/contacts/import", json={"contacts": [row(email) for email in MIXED]}))

    assert answer == {
        "imported": 2,
        "errors": [
            {"index": 1, "code": "blocked", "message": "bad-1@x.de is on the list of blocked addresses"},
            {"index": 2, "code": "locked", "message": "Try this row again"},
        ],
    }
    assert states(http) == AFTER
    assert said(http.post("/contacts/import", json={"contacts": [row("c@x.de")]})) == {"imported": 1, "errors": []}


def test_an_error_of_no_row_says_nothing_about_the_rows_without_one(opened: Open) -> None:
    http = opened("errors_only")

    rows = [row("a@x.de"), row("stray-1@x.de"), row("bad-1@x.de")]
    errors = said(http.post("/contacts/import", json={"contacts": rows}))["errors"]

    assert [error["index"] for error in errors] == [1001, 2]
    assert states(http) == {"a@x.de": ("unknown", 1), "stray-1@x.de": ("unknown", 0), "bad-1@x.de": ("failed", 0)}


def test_one_bad_row_has_the_batch_refused_and_nothing_is_created(opened: Open) -> None:
    http = opened("indices400", wait_seconds=0.5)

    def create(*emails: str) -> httpx.Response:
        return http.post("/contacts/batch", json={"records": [row(email) for email in emails]})

    assert said(create("a@x.de", "busy-1@x.de"), 409)["retry_after"] == 0.5
    refused = said(create("a@x.de", "bad-1@x.de", "busy-1@x.de", "bad-2@x.de"), 400)
    assert [(each["index"], each["message"][:10]) for each in refused["errors"]] == [
        (1, "bad-1@x.de"),
        (3, "bad-2@x.de"),
    ]
    assert states(http) == {
        "a@x.de": ("waiting", 0), "busy-1@x.de": ("waiting", 0), "bad-1@x.de": ("failed", 0),
        "bad-2@x.de": ("failed", 0),
    }  # fmt: skip
    assert said(create("a@x.de", "busy-1@x.de")) == {"ids": [1001, 1002]}
    assert states(http)["a@x.de"] == ("done", 1)


def test_an_object_comes_back_under_our_keys_in_another_order(opened: Open) -> None:
    http = opened("keyed")
    emails = dict(zip("klmnop", (*MIXED, "mute-1@x.de", "stray-1@x.de"), strict=True))

    results = said(http.post("/contacts/batch", json={"contacts": {key: row(each) for key, each in emails.items()}}))[
        "results"
    ]

    assert list(results) == ["stray-p", "n", "m", "l", "k"]
    assert {key: results[key]["status"] for key in "klmn"} == {
        "k": "created", "l": "error", "m": "locked", "n": "created",
    }  # fmt: skip
    assert results["l"]["detail"] == "bad-1@x.de is on the list of blocked addresses"
    assert results["k"]["id"] == known(http)["a@x.de"]["ids"][0]
    assert states(http) == AFTER | {"mute-1@x.de": ("unknown", 1), "stray-1@x.de": ("unknown", 1)}


def test_bulk_lines_are_answered_by_an_item_each(opened: Open) -> None:
    http = opened("bulk_ndjson")
    lines = "".join(
        f'{{"index": {{"_id": "{number}"}}}}\n{{"email": "{email}", "name": "A"}}\n'
        for number, email in enumerate(MIXED)
    )

    def bulk(content: str, kind: str = "application/x-ndjson") -> httpx.Response:
        return http.post("/contacts/_bulk", content=content, headers={"Content-Type": kind})

    answer = said(bulk(lines))
    again = said(bulk(lines[: lines.index("\n", lines.index("\n") + 1) + 1]))

    items = [item["index"] for item in answer["items"]]
    assert answer["errors"] is True
    assert [(item["_id"], item["status"]) for item in items] == [("0", 201), ("1", 400), ("2", 429), ("3", 201)]
    assert items[1]["error"]["reason"] == "bad-1@x.de is on the list of blocked addresses"
    assert (again["errors"], again["items"][0]["index"]["result"]) == (False, "updated")
    assert states(http) == AFTER | {"a@x.de": ("done", 2)}
    assert bulk(lines.rstrip("\n")).status_code == 400
    assert bulk('{"index": {"_id": "1"}}\n').status_code == 400
    assert bulk(lines.replace("b@x.de", "c@x.de").replace('"email": "c', '"mail": "c')).status_code == 400
    assert bulk(lines, "text/plain").status_code == 415
    assert states(http)["a@x.de"] == ("done", 2)


@pytest.mark.parametrize(
    ("api", "wrapped"),
    [
        ("items207", lambda rows: rows),
        ("errors_only", lambda rows: {"contacts": rows}),
        ("indices400", lambda rows: {"records": rows}),
        ("keyed", lambda rows: {"contacts": {str(at): each for at, each in enumerate(rows)}}),
        ("job202", lambda rows: rows),
    ],
)
def test_a_batch_that_is_too_long_is_refused_and_so_is_nonsense(
    opened: Open, api: str, wrapped: Callable[[Any], Any]
) -> None:
    http = opened(api, batch_rows=3)
    url = APIS[api].path

    assert http.post(url, json=wrapped([row(f"{at}@x.de") for at in range(4)])).status_code == 413
    assert http.post(url, json=wrapped([])).status_code == 400
    assert http.post(url, json=wrapped([{"mail": "a"}])).status_code == 400
    assert http.post(url, content=b"{cut").status_code == 400
    assert http.post(url, data={"email": "a@x.de"}).status_code == 415
    assert known(http) == {}


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_a_job_is_queued_runs_and_reports_on_each_row(opened: Open) -> None:
    http = opened("job202", job_seconds=0.6)
    began = time.monotonic()

    answer = http.post("/contacts", json=[row(email) for email in ("A@x.de", "bad-1@x.de", "mute-1@x.de")])
    seen = {}
    before = states(http)["a@x.de"]
    while (state := http.get("/jobs/1").json()["state"]) != "done":
        seen[state] = before
        before = states(http)["a@x.de"]

    assert (answer.status_code, answer.headers["location"]) == (202, "/jobs/1")
    assert answer.json() == {"job": 1, "state": "queued", "url": "/jobs/1"}
    assert seen == {"queued": ("accepted", 0), "running": ("accepted", 0)}
    assert time.monotonic() - began >= 0.6
    assert said(http.get("/jobs/1")) == {
        "id": 1,
        "state": "done",
        "report": [
            {"email": "bad-1@x.de", "result": "error", "message": "bad-1@x.de is on the list of blocked addresses"},
            {"email": "a@x.de", "result": "ok", "id": 1001},
        ],
    }
    assert states(http) == {"a@x.de": ("done", 1), "bad-1@x.de": ("failed", 0), "mute-1@x.de": ("unknown", 1)}


def test_a_job_of_one_row_may_fail_as_a_whole_and_is_done_without_being_asked(opened: Open) -> None:
    http = opened("job202", job_seconds=0)

    said(http.post("/contacts", json=row("ruin-1@x.de")), 202)
    said(http.post("/contacts", json=row("a@x.de")), 202)

    assert states(http) == {"ruin-1@x.de": ("failed", 0), "a@x.de": ("done", 1)}
    assert said(http.get("/jobs/1")) == {"id": 1, "state": "failed", "error": "the whole job broke off"}
    assert http.get("/jobs/3").status_code == 404


# -- create or update --------------------------------------------------------------------------------------------------


def test_a_search_finds_none_one_or_many(opened: Open) -> None:
    http = opened("upsert")

    totals = [
        said(http.get("/contacts", params={"email": email}))["total"]
        for email in ("a@x.de", "known-1@x.de", "twins-1@x.de")
    ]

    assert totals == [0, 1, 2]
    assert http.get("/truth").json()["there"] == {"a@x.de": 0, "known-1@x.de": 1, "twins-1@x.de": 2}


def test_records_are_created_changed_and_deleted_and_what_is_sent_twice_is_there_twice(opened: Open) -> None:
    http = opened("upsert")

    first = said(http.post("/contacts", json=row("a@x.de")), 201)
    second = said(http.post("/contacts", json=row("a@x.de")), 201)
    changed = said(http.put(f"/contacts/{first['id']}", json={"name": "Berta"}))

    assert first == {"id": 1001, "email": "a@x.de", "name": "Anna"}
    assert changed == said(http.get("/contacts/1001")) == {**first, "name": "Berta"}
    assert said(http.get("/contacts", params={"email": "A@x.de"}))["items"] == [changed, second]
    assert known(http)["a@x.de"]["created"] == 2
    assert [http.delete("/contacts/1001").status_code for _ in range(2)] == [204, 404]
    assert (known(http)["a@x.de"]["deleted"], http.get("/truth").json()["there"]) == (1, {"a@x.de": 1})


def test_a_record_that_was_there_is_changed_and_a_pinned_one_is_not_deleted(opened: Open) -> None:
    http = opened("upsert")
    there = said(http.get("/contacts", params={"email": "known-1@x.de"}))["items"][0]["id"]

    assert said(http.put(f"/contacts/{there}", json={"name": "B"}))["name"] == "B"
    pinned = said(http.post("/contacts", json=row("pinned-1@x.de")), 201)["id"]
    assert said(http.delete(f"/contacts/{pinned}"), 409) == {"message": "pinned-1@x.de was changed since"}
    assert (known(http)["known-1@x.de"]["created"], known(http)["known-1@x.de"]["updated"]) == (0, 1)


def test_a_bad_row_is_refused_and_a_busy_one_put_off_by_any_write(opened: Open) -> None:
    http = opened("upsert")

    refused = [http.post("/contacts", json=row(email)).status_code for email in ("bad-1@x.de", "busy-1@x.de")]

    assert refused == [422, 429]
    assert said(http.post("/contacts", json=row("busy-1@x.de")), 201)


def test_a_search_may_show_a_new_record_late(opened: Open) -> None:
    http = opened("upsert", hidden_seconds=0.5)

    number = said(http.post("/contacts", json=row("a@x.de")), 201)["id"]

    assert said(http.get("/contacts", params={"email": "a@x.de"}))["total"] == 0
    assert said(http.get(f"/contacts/{number}"))["name"] == "Anna"
    wait_until(lambda: http.get("/contacts", params={"email": "a@x.de"}).json()["total"] == 1, what="the record")


# -- what they have in common ------------------------------------------------------------------------------------------


def test_arrivals_are_counted_and_a_limit_is_held(opened: Open) -> None:
    http = opened("jsonrpc", requests=2, window_seconds=30)

    codes = [http.post("/rpc", json={}).status_code for _ in range(3)]

    assert codes == [400, 400, 429]
    report = http.get("/truth").json()["facts"]
    assert (report["arrivals"], report["worst"], report["over"], report["created"]) == (3, 3, 1, 0)


def test_an_answer_is_late_by_as_long_as_it_was_told(opened: Open) -> None:
    http = opened("keyed", delay_min_seconds=0.2, delay_max_seconds=0.2)
    began = time.monotonic()

    http.post("/contacts/batch", json={"contacts": {"k": row("a@x.de")}})

    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(("fault", "written"), [("reset", 1), ("close", 1), ("error", 0), ("drop", 0)])
def test_a_row_whose_answer_went_wrong_says_so(opened: Open, fault: str, written: int) -> None:
    http = opened("items207", faults={fault: 1.0})

    with contextlib.suppress(httpx.HTTPError):
        http.post("/contacts/batch", json=[row("A@x.de")])

    assert known(http)["a@x.de"]["faults"] == [fault]
    assert states(http)["a@x.de"][1] == written


def test_a_change_whose_answer_went_wrong_says_so_too(opened: Open) -> None:
    http = opened("upsert")
    there = said(http.get("/contacts", params={"email": "known-1@x.de"}))["items"][0]["id"]
    http.put("/control", json={"faults": {"reset": 1.0}})

    for method in ("GET", "PUT"):
        with contextlib.suppress(httpx.HTTPError):
            http.request(method, f"/contacts/{there}", json={"name": "B"})

    assert known(http)["known-1@x.de"]["faults"] == ["reset"]
    assert states(http)["known-1@x.de"] == ("done", 1)


def test_an_answer_may_break_off_in_the_middle(opened: Open) -> None:
    http = opened("errors_only", cut_share=1.0)

    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        http.post("/contacts/import", json={"contacts": [row("a@x.de"), row("bad-1@x.de")]})

    assert {email: entry["faults"] for email, entry in known(http).items()} == {
        "a@x.de": ["cut"], "bad-1@x.de": ["cut"],
    }  # fmt: skip
    assert http.get("/report").json()["answers"] == {"cut": 1}


def test_a_key_is_honoured_if_told_to_but_a_row_that_was_put_off_is_free(opened: Open) -> None:
    http = opened("status200", idempotent=True)

    def create(email: str) -> Any:
        return http.post("/contacts", json=row(email), headers={"Idempotency-Key": email}).json()

    assert create("a@x.de") == create("a@x.de")
    assert [create("busy-1@x.de")["status"] for _ in range(2)] == ["error", "ok"]
    assert known(http)["a@x.de"]["created"] == 1


@pytest.mark.parametrize("api", APIS)
def test_a_reset_forgets_every_row(opened: Open, api: str) -> None:
    http = opened(api)
    http.post(APIS[api].path, json=[row("a@x.de")] if api != "upsert" else row("a@x.de"))

    http.put("/control", json={"reset": True}).raise_for_status()

    assert http.get("/truth").json()["rows"] == {}
    assert http.get("/report").json()["arrivals"] == 0


def test_every_api_says_in_words_what_it_is() -> None:
    for name, api in APIS.items():
        assert api.name == name
        assert issubclass(api, Api)
        assert api.__doc__


# -- the command line --------------------------------------------------------------------------------------------------


def test_one_is_started_by_its_name_and_a_command_finds_it() -> None:
    ask = (
        "import os, urllib.request as web\n"
        "print(web.urlopen(os.environ['UPSERT_URL'] + '/contacts?email=known-1@x').read())"
    )
    command = [sys.executable, "-m", "deployments.commands", "standin", "--api", "upsert", "--", sys.executable]

    ended = subprocess.run([*command, "-c", ask], capture_output=True, text=True, timeout=120)

    assert ended.returncode == 0, ended.stderr
    assert '"total":1' in ended.stdout
    assert ended.stdout.endswith("stand-in: 1 arrivals, worst second 1, no limit, 0 refused\n")


def test_alone_it_says_where_rows_go_and_takes_its_own_knobs() -> None:
    command = [sys.executable, "-m", "deployments.commands", "standin", "--api", "job202", "--job-seconds", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        assert url.endswith("/contacts")
        assert httpx.post(url, json=row("a@x.de"), trust_env=False).status_code == 202
        assert httpx.get(url.replace("contacts", "jobs/1"), trust_env=False).json()["state"] == "done"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--api", "soap"), "invalid choice: 'soap'"),
        (("--job-seconds", "1"), "job_seconds"),
        (("--api", "job202", "--job-seconds", "long"), "job_seconds: Input should be a valid number"),
    ],
)
def test_a_wrong_command_line_is_named(arguments: tuple[str, ...], words: str) -> None:
    command = [sys.executable, "-m", "deployments.commands", "standin", *arguments]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
