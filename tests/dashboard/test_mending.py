"""Mending over HTTP and at the command line: groups, documents, undo, what is refused."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from dashboard import connections
from dashboard.api.app import make_api
from deployments.commands import cli
from flows.records import RowState, RunState
from flows.settings import Settings
from tests.harness.bad_mends import MENDS
from tests.harness.contract import hold
from tests.harness.mended import PEOPLE, ROWS, Checked, checked
from tests.harness.prefect_at import prefect_at
from tests.harness.rows import outcome

GERMANY = {"column": "country", "value": "Germany", "becomes": "DE"}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def settings(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("ROWRELAY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(tmp_path / "people.yaml"))
    (tmp_path / "people.yaml").write_text(PEOPLE)
    with prefect_at():
        yield connections.settings()


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as client:
        client.event_hooks = {"response": [hold]}
        yield client


@pytest.fixture
def people(settings: Settings) -> Checked:
    return checked(settings)


@pytest.fixture
def rowrelay(capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*args: object) -> tuple[int, str, str]:
        code = cli.main([*map(str, args)])
        sys.stdout.flush()
        return (code, *capfd.readouterr())

    return run


def test_groups_say_what_is_wrong_the_largest_first(api: TestClient, people: Checked) -> None:
    found = api.get(f"/runs/{people.id}/groups").json()

    assert found["matching"] == 6
    assert found["items"][0] == {
        "state": "rejected", "column": "country", "check": "must be one of DE, FR", "value": "Germany", "cut": False,
        "reason": "country: must be one of DE, FR (found 'Germany')", "status": None, "rows": 2, "first": 2,
        "place": "line 3",
        "likely": None,
    }  # fmt: skip
    assert found["items"][1]["likely"] == ""  # n/a, in a column that may be empty
    assert [(each["column"], each["value"], each["rows"]) for each in found["items"][1:]] == [
        ("age", "n/a", 1), ("age", "old", 1), ("email", "a@x", 1), ("country", "Spain", 1), ("", "", 1),
    ]  # fmt: skip
    first = api.get(f"/runs/{people.id}/groups?limit=4").json()
    rest = api.get(f"/runs/{people.id}/groups", params={"limit": 4, "cursor": first["next"]}).json()
    assert [*first["items"], *rest["items"]] == found["items"]
    assert rest["next"] is None
    rows = api.get(f"/runs/{people.id}/rows", params={"reason": found["items"][0]["reason"]}).json()
    assert [row["row"] for row in rows["items"]] == [2, 4]


def test_a_document_is_applied_told_and_taken_back(api: TestClient, people: Checked) -> None:
    path = f"/runs/{people.id}"
    made = api.post(f"{path}/mend", json={"changes": [GERMANY, {"row": 7, "skip": True}]})

    assert made.status_code == 200, made.text
    said = made.json()
    assert {name: said[name] for name in ("number", "by", "matched", "changed", "accepted", "skipped", "undo")} == {
        "number": 1, "by": "API", "matched": [2, 1], "changed": 2, "accepted": 1, "skipped": 1, "undo": None,
    }  # fmt: skip
    counts = api.get(path).json()["counts"]
    assert (counts["waiting"], counts["rejected"]) == (3, 5)
    assert api.get(f"{path}/rows/2").json()["changed"] == {"country": "Germany"}
    assert api.get(f"{path}/rows/1").json()["changed"] == {}
    assert api.get(f"{path}/preview").json()["rows_to_send"] == 3
    mends = api.get(f"{path}/mends").json()
    assert [each["number"] for each in mends["items"]] == [1]
    assert mends["map"] == "columns:\n  country:\n    map:\n      Germany: DE\n    other: keep\n"

    assert api.post(f"{path}/mend", json={"undo": 1}).json()["undo"] == 1
    assert api.get(path).json()["counts"]["waiting"] == 2
    assert api.get(f"{path}/mends").json()["map"] == ""
    assert api.post(f"{path}/mend", json={"undo": 1}).status_code == 422


def test_the_same_key_gives_the_same_answer_and_changes_nothing_twice(api: TestClient, people: Checked) -> None:
    def send(document: dict[str, Any]) -> Any:
        return api.post(f"/runs/{people.id}/mend", json=document, headers={"Idempotency-Key": "k1"})

    first, again, other = send({"changes": [GERMANY]}), send({"changes": [GERMANY]}), send({"undo": 1})

    assert first.json() == again.json()
    assert (other.status_code, other.json()["type"]) == (422, "/api/problems/key-reused")
    assert len(people.view.mends(people.id)) == 1


def test_what_was_sent_or_is_being_sent_is_refused(api: TestClient, people: Checked) -> None:
    def refused() -> tuple[int, str]:
        said = api.post(f"/runs/{people.id}/mend", json={"changes": [GERMANY]})
        return said.status_code, said.json()["detail"]

    epoch = people.ledger.take(people.id, "sender", resume=True)
    assert refused() == (409, "The run is being delivered.")
    people.ledger.open(people.id, epoch)
    from flows.ledger.moves import Claim

    people.ledger.claim(people.id, epoch, [Claim((1,), 1)], patience_seconds=5, idempotency_seconds=0)
    people.ledger.answer(people.id, [outcome(1, epoch, 1, RowState.FAILED)])
    people.ledger.end(people.id, epoch, RunState.STOPPED, "stopped")
    assert refused() == (409, "Rows of this run were sent already, so its rejected rows stay as they are.")
    assert api.post("/runs/none/mend", json={"changes": [GERMANY]}).status_code == 404


@pytest.mark.parametrize(("document", "message"), MENDS, ids=[str(document)[:60] for document, _ in MENDS])
def test_a_bad_document_is_refused_with_what_to_do(
    rowrelay: Run, people: Checked, tmp_path: Path, document: object, message: str
) -> None:
    file = tmp_path / "changes.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))

    assert rowrelay("mend", "last", file) == (2, "", f"rowrelay: {message}\n")
    assert people.view.mends(people.id) == []


def test_the_command_shows_groups_and_an_example_then_applies_it(
    rowrelay: Run, people: Checked, tmp_path: Path
) -> None:
    code, out, err = rowrelay("mend", "last")
    assert (code, err) == (1, "")
    assert "must be one of DE, FR" in out
    assert '{"column": "country", "value": "Germany", "becomes": "…"},' in out
    (tmp_path / "changes.json").write_text(json.dumps({"changes": [GERMANY]}))

    code, out, err = rowrelay("mend", "last", tmp_path / "changes.json")

    assert (code, err) == (1, "")
    assert "changed 2 rejected rows, of which 1 can be sent (document 1)." in out
    assert f"Take it back: rowrelay mend {people.id[:8]} --undo 1" in out
    _, out, _ = rowrelay("mend", "last")
    assert "      Germany: DE\n" in out
    assert re.search(r"line [0-9]+ +rejected", rowrelay("show", "last")[1])
    _, out, _ = rowrelay("show", "last", "--row", 2)
    assert "country in the file" in out
    code, out, _ = rowrelay("mend", "last", "--undo", 1, "--json")
    assert (code, json.loads(out)["counts"]) == (1, {"rejected": 6, "waiting": 2})
    found = json.loads(rowrelay("mend", "last", "--json")[1])
    assert (found["rejected"], found["more_groups"], found["documents"], found["map"]) == (6, 0, [], "")
    assert found["groups"][0]["value"] == "Germany"


def test_the_refusals_are_many(settings: Settings) -> None:
    assert len(MENDS) >= 15


def test_a_run_without_rejected_rows_ends_well(rowrelay: Run, settings: Settings, tmp_path: Path) -> None:
    checked(settings, [ROWS[0], ROWS[1]])
    (tmp_path / "changes.json").write_text(json.dumps({"changes": [GERMANY]}))

    assert rowrelay("mend", "last", tmp_path / "changes.json")[0] == 0
    code, out, _ = rowrelay("mend", "last")
    assert (code, out.splitlines()[0]) == (0, "No row is rejected.")


def test_failed_rows_are_grouped_by_what_the_api_said(api: TestClient, rowrelay: Run, settings: Settings) -> None:
    from flows.ledger import keys
    from flows.ledger.moves import Answer, Claim

    run = checked(settings, [f"{n},p{n}@x,DE,1,x" for n in range(1, 8)])
    epoch = run.ledger.take(run.id, "sender", resume=True)
    run.ledger.open(run.id, epoch)
    run.ledger.claim(run.id, epoch, [Claim((n,), n) for n in range(1, 8)], patience_seconds=5, idempotency_seconds=0)
    for n in range(1, 8):
        why = "taken" if n % 3 else ""
        tail, detail = keys.pack((), status=409 if why else 500, took_seconds=0.1, kept={}, reason=why, excerpt="")
        run.ledger.answer(run.id, [Answer(n, epoch, n, RowState.FAILED, tail, detail, None)])
    run.ledger.end(run.id, epoch, RunState.FINISHED)

    found = api.get(f"/runs/{run.id}/groups?state=failed").json()

    assert [(each["reason"], each["status"], each["rows"], each["first"]) for each in found["items"]] == [
        ("taken", 409, 5, 1), ("HTTP 500", 500, 2, 3),
    ]  # fmt: skip
    rows = api.get(f"/runs/{run.id}/rows", params={"state": "failed", "reason": "HTTP 500"}).json()
    assert [row["row"] for row in rows["items"]] == [3, 6]
    lines = api.get(f"/runs/{run.id}/troubled.csv", params={"state": "failed", "reason": "HTTP 500"}).text.splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [["HTTP 500", "3"], ["HTTP 500", "6"]]
    wish = {"rows": "failed", "reason": "not taken"}
    refused = api.post(f"/runs/{run.id}/resume", json=wish)
    assert (refused.status_code, refused.json()["detail"]) == (409, "The run has no failed rows with this reason.")
    assert api.post(f"/runs/{run.id}/resume", json=wish | {"reason": "taken"}).status_code == 503  # Prefect is away
    _, out, _ = rowrelay("show", run.id[:8])
    assert "Failed rows, by reason:" in out
    assert json.loads(rowrelay("show", run.id[:8], "--json")[1])["groups"][0]["rows"] == 5
