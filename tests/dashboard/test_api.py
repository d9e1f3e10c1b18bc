"""The HTTP API against a real Redis: every route that needs no Prefect, its errors, and who is kept out."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import os
import shutil
import tomllib
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from starlette.testclient import TestClient
from streamlit import config

from dashboard import connections
from dashboard.api.app import make_api
from dashboard.connections import pipelines
from dashboard.files.upload import harmless
from flows.pipeline.reading import from_resolved
from flows.records import RowState, RunState
from flows.settings import Settings
from flows.sheet import restored
from tests.harness.browser import ROOT
from tests.harness.contract import document, hold
from tests.harness.prefect_at import prefect_at
from tests.harness.remembered import forget
from tests.harness.seeding import Seeded, seed, write_posts

D, F, U = RowState.DONE, RowState.FAILED, RowState.UNKNOWN
HERE = "http://127.0.0.1:8501"


@pytest.fixture
def settings(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings that the dashboard reads, with a data folder of the test's own and no Prefect."""
    monkeypatch.setenv("ROWRELAY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)
    monkeypatch.setenv("ROWRELAY_MAX_UPLOAD_BYTES", "100000")
    with prefect_at():
        yield connections.settings()


@pytest.fixture(autouse=True)
def streamlit_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `streamlit run dashboard/app.py` reads: the file beside the script."""
    monkeypatch.setattr(config, "_main_script_path", str(Path(connections.__file__).with_name("app.py")))
    config.get_config_options(force_reparse=True)


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    """A program that talks to the API."""
    with TestClient(make_api(), base_url=HERE, raise_server_exceptions=False) as client:
        client.event_hooks = {"response": [hold]}
        yield client


@pytest.fixture
def mixed(settings: Settings, redis_url: str, tmp_path: Path) -> Seeded:
    """A finished run of 250 rows: two rejected, three failed, two unknown."""
    run = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 250, bad=(5, 120)))
    run.outcomes(F, [7, 8, 200])
    run.outcomes(U, [9, 201])
    run.outcomes(D, [row for row in range(1, 251) if row not in (5, 120, 7, 8, 200, 9, 201)])
    run.leave(RunState.FINISHED)
    return run


def test_an_upload_is_on_disk_as_it_was_sent_and_can_be_named_by_a_run(api: TestClient, settings: Settings) -> None:
    body = b"userId,title,body\n1,a,b\n"

    answer = api.put("/files/posts.csv", content=body)

    assert answer.status_code == 201
    assert answer.json()["bytes"] == len(body)
    assert (settings.uploads / answer.json()["file"]).read_bytes() == body


def test_an_upload_keeps_nobody_waiting_for_a_disk_or_redis(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may take long is done in threads; on the event loop it would hold up every page and request."""
    called: dict[str, list[bool]] = {}

    def watch(where: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(where, name)

        def watched(*args: Any, **named: Any) -> Any:
            called.setdefault(name, []).append(_on_an_event_loop())
            return original(*args, **named)

        monkeypatch.setattr(where, name, watched)

    watch(os, "fsync")
    watch(shutil, "rmtree")
    watch(redis.connection.AbstractConnection, "send_packed_command")

    assert api.put("/files/posts.csv", content=b"userId,title,body\n1,a,b\n").status_code == 201
    assert api.put("/files/empty.csv", content=b"").status_code == 400

    assert set(called) == {"fsync", "rmtree", "send_packed_command"}
    assert not any(any(on_loop) for on_loop in called.values()), called


def _on_an_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def test_nothing_can_be_left_out_of_a_pipeline_without_a_key(api: TestClient) -> None:
    answer = api.post("/runs", json={"pipeline": "posts", "file": "posts.csv", "skip_delivered": True})

    assert answer.status_code == 400
    assert "has no `key`" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("..%5C..%5Cevil.csv", "evil.csv"),
        ("a%0Ab%00.csv", "ab.csv"),
        ("%E2%80%AEgpj.csv", "gpj.csv"),
        (".hidden", "hidden"),
        ("%3Cimg%20src=x%3E.csv", "_img src=x_.csv"),
        ("...", "file.csv"),
    ],
)
def test_a_file_name_is_made_harmless(api: TestClient, settings: Settings, name: str, kept: str) -> None:
    answer = api.put(f"/files/{name}", content=b"x\n1\n")

    if answer.status_code in (404, 405):  # a path with a slash in it is no place for an upload
        assert not any(settings.uploads.glob("*/*"))
        return
    assert answer.json()["name"] == kept
    assert [path.name for path in settings.uploads.glob("*/*")] == [kept]


def test_a_very_long_name_keeps_its_ending() -> None:
    assert harmless("x" * 500 + ".csv.gz").endswith(".csv.gz")
    assert len(harmless("ü" * 500 + ".csv").encode()) <= 120


def test_nothing_of_a_file_above_the_cap_stays(api: TestClient, settings: Settings) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(200):
            yield b"x" * 1000

    announced = api.put("/files/big.csv", content=b"x" * 200_000)
    unannounced = api.put("/files/big.csv", content=chunks())

    for answer in (announced, unannounced):
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert "ROWRELAY_MAX_UPLOAD_BYTES" in answer.json()["hint"]
    assert not any(settings.uploads.rglob("*.csv"))
    assert not any(settings.uploads.rglob(".part"))


def test_an_empty_file_is_refused(api: TestClient) -> None:
    assert api.put("/files/empty.csv", content=b"").json()["detail"].endswith("is empty")


def test_a_page_of_another_site_can_change_nothing(api: TestClient, mixed: Seeded) -> None:
    forged = (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": HERE},
        {"Origin": "null"},
    )

    for headers in forged:
        assert api.delete(f"/runs/{mixed.id}", headers=headers).status_code == 403
        assert api.put("/files/x.csv", content=b"x\n1\n", headers=headers).status_code == 403
    assert api.get(f"/runs/{mixed.id}").status_code == 200


def test_a_name_that_points_here_from_elsewhere_is_not_answered(api: TestClient) -> None:
    shipped = tomllib.loads((ROOT / "dashboard" / ".streamlit" / "config.toml").read_text())["server"]["allowedHosts"]
    before = config.get_option("server.allowedHosts")
    config.set_option("server.allowedHosts", shipped)  # as Streamlit does where it starts the dashboard
    try:
        assert api.get("/runs", headers={"Host": "evil.example:8501"}).status_code == 421
        assert api.get("/runs", headers={"Host": "localhost:8501"}).status_code == 200
    finally:
        config.set_option("server.allowedHosts", before)


def test_a_browser_uploads_from_our_own_pages_and_docs_only(api: TestClient, settings: Settings) -> None:
    """Swagger's "Try it out" is such a request, as is the Send page's; neither needs more than to come from here."""

    def put(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return api.put("/files/x.csv", content=b"x\n1\n", headers=named).status_code

    assert put(Sec_Fetch_Site="same-origin", Origin=HERE) == 201
    kept = sorted(settings.uploads.glob("*/*"))
    assert put(Sec_Fetch_Site="none") == 403
    assert put(Sec_Fetch_Site="same-origin", Origin="https://evil.example") == 403
    assert put(Origin="http://127.0.0.1:8502") == 403
    assert sorted(settings.uploads.glob("*/*")) == kept


def test_where_there_is_a_sign_in_nobody_gets_in_without_it(
    api: TestClient, mixed: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    import streamlit as st

    monkeypatch.setattr(st, "secrets", {"auth": {"cookie_secret": "c"}, "api": {"tokens": ["long-random-text"]}})

    assert api.get("/runs").status_code == 401
    assert api.get("/runs", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert api.put("/files/x.csv", content=b"x\n1\n").status_code == 401
    assert api.get("/runs", headers={"Authorization": "Bearer long-random-text"}).status_code == 200


def test_counts_add_up_and_rows_come_by_page(api: TestClient, mixed: Seeded) -> None:
    run = api.get(f"/runs/{mixed.id}").json()
    assert run["total"] == sum(run["counts"].values()) == 250
    assert run["shown_as"] == "finished, some not done"

    pages = list(pages_of(api, f"/runs/{mixed.id}/rows"))
    assert [(len(page["items"]), page["matching"]) for page in pages] == [(100, 250), (100, 250), (50, 250)]
    assert [row["row"] for page in pages for row in page["items"]] == list(range(1, 251))


def pages_of(api: TestClient, path: str, **asked: Any) -> Iterator[dict[str, Any]]:
    """All pages of a list, by its cursor."""
    cursor: str | None = ""
    while cursor is not None:
        page = api.get(path, params={**asked, **({"cursor": cursor} if cursor else {})}).json()
        yield page
        assert set(page) >= {"items", "next"}
        cursor = page["next"]


@pytest.mark.parametrize(
    "order",
    [{}, {"descending": True}, {"search": "1"}, {"sort": "title"}, {"sort": "@took_seconds", "descending": True}],
)
def test_who_follows_the_cursor_sees_every_row_once(api: TestClient, mixed: Seeded, order: dict[str, Any]) -> None:
    asked = {"state": "done", **order}
    whole = next(pages_of(api, f"/runs/{mixed.id}/rows", limit=1000, **asked))
    seen = [row["row"] for page in pages_of(api, f"/runs/{mixed.id}/rows", limit=49, **asked) for row in page["items"]]

    assert seen == [row["row"] for row in whole["items"]]
    assert len(set(seen)) == whole["matching"]


@pytest.mark.parametrize("descending", [False, True])
def test_no_row_is_passed_over_because_others_move_meanwhile(
    api: TestClient, settings: Settings, redis_url: str, tmp_path: Path, descending: bool
) -> None:
    """While a run is sent, its waiting rows become fewer from page to page."""
    run = seed(settings, redis_url, write_posts(tmp_path / "live.csv", 60))
    seen: list[int] = []
    for page in pages_of(api, f"/runs/{run.id}/rows", state="waiting", limit=20, descending=descending):
        seen += [row["row"] for row in page["items"]]
        run.outcomes(D, [row for row in seen[-20:] if row % 2])

    assert seen == sorted(range(1, 61), reverse=descending)


def test_a_cursor_that_no_list_gave_is_refused(api: TestClient, mixed: Seeded) -> None:
    other = api.get(f"/runs/{mixed.id}/rows?limit=1&sort=title").json()["next"]

    for path in ("/runs", "/files", f"/runs/{mixed.id}/rows", f"/runs/{mixed.id}/events"):
        for cursor in ("nonsense", "W10", "bnVsbA", "WzFlOTk5LCJ4Il0x", "é", "x" * 501):
            answer = api.get(path, params={"cursor": cursor})
            assert (answer.status_code, answer.json()["type"]) == (422, "/api/problems/not-valid"), cursor
    assert api.get(f"/runs/{mixed.id}/rows", params={"cursor": other}).status_code == 422  # of another order
    assert api.get(f"/runs/{mixed.id}/rows", params={"cursor": other, "sort": "title"}).status_code == 200


def test_rows_are_filtered_searched_and_sorted(api: TestClient, mixed: Seeded) -> None:
    def rows(query: str) -> list[int]:
        return [row["row"] for row in api.get(f"/runs/{mixed.id}/rows?limit=1000&{query}").json()["items"]]

    assert rows("state=failed") == [7, 8, 200]
    assert rows("state=failed&state=unknown") == [7, 8, 9, 200, 201]
    assert rows("state=rejected") == [5, 120]
    assert rows("search=17-19&column=@row") == [17, 18, 19]
    assert rows("search=18&column=@line") == [17]
    assert rows("search=REMINDER 12&column=title") == [12, *range(120, 130)]
    assert rows("search=nobody") == [5, 120]
    assert rows("search=nobody&state=done") == []
    assert rows("sort=userId&descending=true")[:3] == [89, 179, 88]
    assert rows("sort=@status&descending=true&state=failed&state=done")[:3] == [7, 8, 200]
    assert rows("sort=@row&descending=true")[:2] == [250, 249]
    assert rows("descending=true")[:2] == [250, 249]
    assert rows("search=';DROP TABLE rows--&column=title") == []


def test_an_opened_row_shows_its_request_and_what_came_of_it(api: TestClient, mixed: Seeded) -> None:
    row = api.get(f"/runs/{mixed.id}/rows/7").json()
    assert (row["state"], row["status"], row["line"]) == ("failed", 422, 8)
    assert json.loads(row["request"]["body"])["title"] == "Invoice reminder 7"

    assert api.get(f"/runs/{mixed.id}/rows/5").json()["request"] is None
    assert api.get(f"/runs/{mixed.id}/rows/251").status_code == 404


def test_results_have_the_promised_shape_in_every_form(api: TestClient, mixed: Seeded) -> None:
    results = api.get(f"/runs/{mixed.id}/results.json").json()["result"]
    assert results[0] == {
        "row": 1, "line": 2, "userId": 2, "title": "Invoice reminder 1",
        "body": "Please check the figures of order 37.", "result": "done", "postId": 101,
    }  # fmt: skip
    assert len(results) == 250

    table = list(csv.DictReader(io.StringIO(api.get(f"/runs/{mixed.id}/results.csv").content.decode("utf-8-sig"))))
    assert [line["result"] for line in table] == [row["result"] for row in results]
    lines = api.get(f"/runs/{mixed.id}/results.jsonl?state=failed").text.splitlines()
    assert [json.loads(line)["row"] for line in lines] == [7, 8, 200]


def test_troubled_rows_can_be_uploaded_again_as_they_are(api: TestClient, mixed: Seeded) -> None:
    answer = api.get(f"/runs/{mixed.id}/troubled.csv")

    lines = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [line["userId"] for line in lines] == ["nobody", "8", "9", "nobody", "21"]
    assert "whole number" in lines[0]["reason (rowrelay)"]
    assert "attachment" in answer.headers["content-disposition"]


def test_a_formula_in_a_cell_is_text_in_the_download_and_can_be_restored(
    api: TestClient, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "formulas.csv"
    formula = '=HYPERLINK(""http://evil"")'
    file.write_text(f'userId,title,body\n1,"{formula}",@SUM(A1)\n-1,+1+1,-5\n')
    run = seed(settings, redis_url, file)
    run.leave(RunState.STOPPED)

    for line in csv.DictReader(io.StringIO(api.get(f"/runs/{run.id}/results.csv").content.decode("utf-8-sig"))):
        assert line["title"].startswith("'")
        assert restored(line["title"])[0] in "=+"
        assert line["body"] in ("'@SUM(A1)", "-5")


def test_unknown_rows_are_marked_done_once_and_by_name(api: TestClient, mixed: Seeded) -> None:
    assert api.post(f"/runs/{mixed.id}/mark-done", json={"rows": [9]}).json() == {"rows": 1}
    assert api.post(f"/runs/{mixed.id}/mark-done").json() == {"rows": 1}
    assert api.post(f"/runs/{mixed.id}/mark-done").status_code == 409
    assert api.get(f"/runs/{mixed.id}").json()["counts"]["unknown"] == 0
    assert "marked done by API" in api.get(f"/runs/{mixed.id}/events").json()["items"][0]["text"]


def test_a_run_that_is_being_delivered_can_be_cancelled_but_not_deleted(
    api: TestClient, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    run = seed(settings, redis_url, write_posts(tmp_path / "live.csv", 10))

    assert api.delete(f"/runs/{run.id}").status_code == 409
    assert api.post(f"/runs/{run.id}/resume").status_code == 409
    assert api.post(f"/runs/{run.id}/cancel").json()["cancelling"]

    run.leave(RunState.CANCELLED)
    assert api.post(f"/runs/{run.id}/cancel").status_code == 409
    assert api.delete(f"/runs/{run.id}").status_code == 204
    assert api.get(f"/runs/{run.id}").status_code == 404
    assert not any((settings.data / "spool").glob("*"))


def test_an_upload_goes_with_its_run_unless_another_run_has_it(
    api: TestClient, settings: Settings, redis_url: str
) -> None:
    name = api.put("/files/p.csv", content=b"userId,title,body\n1,a,b\n").json()["file"]
    runs = [seed(settings, redis_url, settings.uploads / name) for _ in range(2)]
    for run in runs:
        run.leave(RunState.STOPPED)

    api.delete(f"/runs/{runs[0].id}")
    assert (settings.uploads / name).exists()
    api.delete(f"/runs/{runs[1].id}")
    assert not (settings.uploads / name).exists()


def test_a_run_is_deleted_by_its_whole_id_only(api: TestClient, mixed: Seeded) -> None:
    for name in ("last", mixed.id[:8], "*", "none"):
        assert api.delete(f"/runs/{name}").status_code == 404
    assert api.delete(f"/runs/{mixed.id}").status_code == 204


def test_a_download_that_fails_at_its_first_row_is_an_error_and_no_empty_file(
    api: TestClient, mixed: Seeded, settings: Settings
) -> None:
    mixed.delivery.spool.delete()

    for path in ("results.json", "results.csv", "results.jsonl", "troubled.csv"):
        answer = api.get(f"/runs/{mixed.id}/{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (410, "application/problem+json")
        assert "the spool of this run is gone" in answer.json()["detail"]


def test_what_a_check_noticed_is_kept_with_the_run(
    api: TestClient, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "odd.csv").write_text("userId,title,body,Remark\n1,NULL,b,\n")
    run = seed(settings, redis_url, tmp_path / "odd.csv")

    found = api.get(f"/runs/{run.id}").json()
    events = [event["text"] for event in api.get(f"/runs/{run.id}/events").json()["items"]]

    assert found["notices"][0] == "Columns that the pipeline does not use: Remark"
    assert found["notices"][1].startswith("column title: 1 cell holds a word for no value (NULL, at line 2)")
    assert sorted(events) == sorted(found["notices"])


def test_content_counts_as_sent_before_only_where_something_was_sent(
    api: TestClient, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    file = write_posts(tmp_path / "twice.csv", 5)
    body = file.read_bytes()
    checked, stopped, live = (seed(settings, redis_url, file) for _ in range(3))
    checked.leave(RunState.CHECKING, "checked; nothing sent yet")
    stopped.leave(RunState.STOPPED, "the limit is shut")
    live.leave(RunState.CHECKING)

    def before() -> list[str]:
        found: list[str] = api.put("/files/twice.csv", content=body).json()["runs_with_same_content"]
        return found

    assert before() == []
    other = seed(settings, redis_url, file)  # being delivered, nothing sent yet
    assert before() == [other.id]
    other.outcomes(U, [1])
    other.leave(RunState.STOPPED)
    assert before() == [other.id]
    assert api.get(f"/runs/{checked.id}/preview").json()["runs_with_same_content"] == [other.id]
    assert api.get(f"/runs/{other.id}/preview").json()["runs_with_same_content"] == []


def test_the_inbox_lists_what_can_be_taken_and_nothing_else(api: TestClient, settings: Settings) -> None:
    for name in (
        "a.csv", "posts/b.csv", "posts/done/c.csv", "posts/failed/d.csv", "posts/failed/d.csv.troubled.csv",
        ".hidden.csv", ".git/e.csv", "f.csv.part", "posts/g.csv.report.json", "done/h.csv", "~i.csv",
    ):  # fmt: skip
        (settings.inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (settings.inbox / name).write_text("x")
    outside = settings.data / "outside.csv"
    outside.write_text("x")
    (settings.inbox / "link.csv").symlink_to(outside)

    (settings.inbox / os.fsdecode(b"caf\xe9.csv")).write_text("x")  # no name that JSON could say

    assert sorted(each["file"] for each in api.get("/files").json()["items"]) == ["a.csv", "posts/b.csv"]
    assert [len(page["items"]) for page in pages_of(api, "/files", limit=1)] == [1, 1]


def test_columns_named_like_ours_can_be_sorted_by(
    api: TestClient, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    definition = pipelines()["posts"].model_copy(update={"name": "own"})
    raw = definition.resolved()
    raw["columns"] = {"status": {"type": "int"}, "attempts": {"type": "str"}}
    raw["request"]["json"] = {"s": "{status}"}
    own = from_resolved(raw)
    file = tmp_path / "own.csv"
    file.write_text("status,attempts\n3,b\n1,c\n2,a\n")
    run = seed(settings, redis_url, file, definition=own)
    run.outcomes(D, [2])
    run.leave(RunState.STOPPED)

    def rows(sort: str) -> list[int]:
        return [row["row"] for row in api.get(f"/runs/{run.id}/rows?sort={sort}").json()["items"]]

    assert rows("status") == [2, 3, 1]
    assert rows("attempts") == [3, 1, 2]
    assert rows("@status")[0] == 2
    assert api.get(f"/runs/{run.id}/rows?sort=nothing of the kind").status_code == 422


def test_a_search_in_a_spool_that_is_damaged_is_an_error_in_words(api: TestClient, mixed: Seeded) -> None:
    for part in mixed.delivery.settings.data.glob(f"spool/{mixed.id}/*.parquet"):
        part.write_bytes(b"nothing of use")

    answer = api.get(f"/runs/{mixed.id}/rows?search=damaged")

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "cannot be read" in answer.json()["detail"]


def test_runs_are_found_by_every_word(api: TestClient, mixed: Seeded) -> None:
    def found(query: str) -> list[str]:
        return [run["id"] for run in api.get(f"/runs?{query}").json()["items"]]

    assert found("search=posts dash") == [mixed.id]
    assert found("search=nothing") == []
    assert found("state=stopped") == []
    assert found("state=finished") == [mixed.id]
    assert found("state=finished, some not done") == [mixed.id]
    assert api.get("/runs").json()["next"] is None
    assert api.get("/runs/last").json()["id"] == mixed.id


def test_what_is_not_valid_is_said_in_one_form(api: TestClient, mixed: Seeded) -> None:
    answers = {
        api.get("/runs/none"): 404,
        api.get("/nowhere"): 404,
        api.get(f"/runs/{mixed.id}/rows?limit=0"): 422,
        api.get(f"/runs/{mixed.id}/rows?page=2"): 422,
        api.get("/runs?sate=finished"): 422,
        api.get(f"/runs/{mixed.id}/rows?sort=nonsense"): 422,
        api.get(f"/runs/{mixed.id}/rows?search=x&column=nonsense"): 422,
        api.get("/runs?state=nonsense"): 422,
        api.post(f"/runs/{mixed.id}/mark-done", json={"rows": []}): 422,
        api.get("/pipelines/nope"): 404,
        api.get("/pipelines/nope/template.csv"): 404,
        api.post("/runs", json={"pipeline": "posts", "file": "x.csv", "speed": 9}): 422,
        api.post("/runs", json={"pipeline": "nope", "file": "x.csv"}): 400,
        api.post("/runs", json={"pipeline": "posts", "file": "../../etc/passwd"}): 400,
        api.post("/runs", json={"pipeline": "posts", "file": "/etc/passwd"}): 400,
        api.post("/limits/none/open"): 404,
        api.get("/schedules"): 503,
    }

    for answer, status in answers.items():
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]
    assert api.post("/runs", json={"pipeline": "post", "file": "x"}).json()["hint"].startswith("Did you mean 'posts'?")


def test_every_service_away_is_an_answer_and_not_a_crash(
    api: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ROWRELAY_REDIS_URL", "redis://127.0.0.1:9/0")
    forget()

    for path in ("/runs", "/runs/x", "/limits"):
        assert api.get(path).status_code == 503
        assert "Redis does not answer" in api.get(path).json()["detail"]
    status = api.get("/status").json()
    assert [status["well"], *(each["well"] for each in status["services"])] == [False] * 4
    assert api.put("/files/x.csv", content=b"x\n1\n").status_code == 201


def test_pipelines_say_what_they_do_and_have_a_template_that_is_accepted(
    api: TestClient, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    (posts,) = api.get("/pipelines").json()["items"]
    assert (posts["limit"]["pace"], posts["columns"]) == ("7 per second", ["userId", "title", "body"])

    file = tmp_path / "template.csv"
    file.write_bytes(api.get("/pipelines/posts/template.csv").content)
    run = seed(settings, redis_url, file)
    assert run.delivery.view.run(run.id).counts[RowState.WAITING] == 1


def test_the_documentation_names_every_route_and_needs_no_sign_in_to_be_built(api: TestClient) -> None:
    assert api.get("/openapi.json").json() == document()
    page = api.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"assets/{asset}" in page
        assert api.get(f"/assets/{asset}").status_code == 200


@pytest.mark.slow
def test_a_large_download_is_streamed(
    api: TestClient, settings: Settings, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy = settings.model_copy(update={"max_upload_bytes": 10**9})
    run = seed(roomy, redis_url, write_posts(tmp_path / "many.csv", 60_000))
    run.leave(RunState.STOPPED)

    tracemalloc.start()
    with api.stream("GET", f"/runs/{run.id}/results.jsonl") as answer:
        count = sum(chunk.count(b"\n") for chunk in answer.iter_bytes())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 60_000
    assert peak < 60_000_000


def test_a_bomb_in_a_small_file_is_stopped_by_the_cap_on_unpacked_bytes(
    api: TestClient, settings: Settings, redis_url: str
) -> None:
    from flows.errors import FileError

    bomb = gzip.compress(b"userId,title,body\n" + b"1,a,b\n" * 200_000)
    answer = api.put("/files/bomb.csv.gz", content=bomb)
    assert answer.status_code == 201  # it is small as it lies there

    with pytest.raises(FileError):
        seed(settings, redis_url, settings.uploads / answer.json()["file"])


def test_the_newest_files_are_those_of_the_whole_inbox(api: TestClient, settings: Settings) -> None:
    """However many there are, and in whatever order the disk lists them: the newest is the last one written."""
    folder = settings.inbox / "many"
    folder.mkdir(parents=True)
    for n in range(20_050):
        os.mknod(folder / f"{n}.csv")
    listed = [entry.name for entry in os.scandir(folder)]
    os.utime(folder / listed[-1], (2e9, 2e9))  # the one that a look at the first 20,000 would miss

    found = api.get("/files?limit=3").json()["items"]

    assert (found[0]["file"], len(found)) == (f"many/{listed[-1]}", 3)
