"""`rowrelay answer`: what an answer would mean, by which rule, for which rows, with which exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.apis.plain import HERE
from tests.harness.command import Run, here, rowrelay

__all__ = ["here", "rowrelay"]

THROTTLED = {"errors": [{"message": "slow down", "extensions": {"code": "THROTTLED", "retryAfter": 7}}]}
ITEMS = [
    {"index": {"_id": "a@b.de", "status": 201}},
    {"index": {"_id": "c@d.de", "status": 400, "error": {"reason": "bad name"}}},
    {"index": {"_id": "e@f.de", "status": 429, "error": {"reason": "queue full"}}},
]


@pytest.fixture(autouse=True)
def _definitions(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(HERE))
    (here / "rows.csv").write_text("email,name\nnobody,Z\na@b.de,A\nc@d.de,C\ne@f.de,E\n")


@pytest.fixture
def told(here: Path, rowrelay: Run) -> Any:
    """(exit code, the JSON form) of an answer with this body."""

    def run(pipeline: str, status: int, body: Any = None, *options: str) -> tuple[int, Any]:
        given: tuple[str, ...] = ()
        if body is not None:
            (here / "body.json").write_text(body if isinstance(body, str) else json.dumps(body))
            given = ("--body", "body.json")
        code, out, _ = rowrelay("answer", pipeline, "--status", status, *given, *options, "--json")
        return code, json.loads(out)

    return run


def line_of(name: str, text: str) -> int:
    lines = (HERE / f"{name}.yaml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def test_the_rule_is_told_by_number_and_line_and_everybody_waits_as_the_answer_says(told: Any) -> None:
    code, said = told("graphql", 200, THROTTLED)

    assert code == 1
    assert said["means"] == "wait"
    assert (said["rule"]["list"], said["rule"]["number"]) == ("answers", 1)
    assert said["rule"]["line"] == line_of("graphql", "THROTTLED")
    assert said["limit"] == {"name": "graphql", "pause_seconds": 7.0, "ban": False}
    assert [(row["state"], row["again"], row["attempt"]) for row in said["rows"]] == [("waiting", True, False)]


def test_what_is_kept_is_told_and_a_done_row_is_exit_code_0(told: Any) -> None:
    code, said = told("graphql", 200, {"data": {"create": {"contact": {"id": 17}}}})

    assert code == 0
    assert said["rows"][0]["kept"] == {"contactId": 17}


@pytest.mark.parametrize(
    ("status", "options", "code", "means", "pause", "ban"),
    [
        (403, (), 3, "failed", None, True),
        (429, ("--header", "Retry-After: 30"), 1, "waiting", 30.0, False),
        (422, (), 1, "failed", None, False),
        (500, (), 1, "unknown", None, False),
    ],
)
def test_where_no_rule_fits_what_is_built_in_decides(
    told: Any, status: int, options: Any, code: int, means: str, pause: float | None, ban: bool
) -> None:
    found, said = told("graphql", status, None, *options)

    assert (found, said["means"], said["rule"]) == (code, means, None)
    assert (said["limit"]["pause_seconds"], said["limit"]["ban"]) == (pause, ban)


def test_an_answer_to_a_batch_says_it_of_each_row_of_the_first_request(told: Any) -> None:
    code, said = told("bulk-ndjson", 200, {"items": ITEMS}, "--file", "rows.csv")

    assert code == 1
    assert [(row["row"], row["state"], row["reason"], row["rules"][0]["number"]) for row in said["rows"]] == [
        (2, "done", "", 3),
        (3, "failed", "bad name", 2),
        (4, "waiting", "queue full", 1),
    ]
    assert said["rows"][1]["rules"][0]["line"] == line_of("bulk_ndjson", "means: failed")


def test_without_a_file_a_batch_says_what_is_missing(told: Any, here: Path, rowrelay: Run) -> None:
    code, said = told("bulk-ndjson", 200, {"items": ITEMS})

    assert (code, said["items_unread"], said["rows"]) == (1, True, [])
    assert "--file FILE" in rowrelay("answer", "bulk-ndjson", "--status", 200, "--body", "body.json")[1]


def test_a_refused_batch_is_halved(told: Any) -> None:
    code, said = told("job202", 422, {"message": "bad"}, "--file", "rows.csv")

    assert (code, said["halved"], len(said["rows"])) == (1, True, 3)


def test_rows_found_by_their_key_are_called_by_their_number(told: Any) -> None:
    _, said = told("keyed", 200, {"results": {"row-2": {"status": "created", "id": 5}}}, "--file", "rows.csv")

    assert (said["rows"][0]["state"], said["rows"][0]["kept"]) == ("done", {"contactId": 5})


@pytest.mark.parametrize(("items", "then"), [([], "create"), ([{"id": 1}], "update"), ([{"id": 1}, {"id": 2}], "many")])
def test_a_step_that_is_answered_well_says_which_comes_next(told: Any, items: Any, then: str) -> None:
    code, said = told("upsert", 200, {"items": items}, "--file", "rows.csv")

    assert (code, said["step"], said["next_step"]) == (0, "find", then)
    assert said["rows"][0]["kept"]["found"] == len(items)


def test_another_step_is_named(told: Any, rowrelay: Run) -> None:
    code, said = told("upsert", 422, {"message": "bad name"}, "--step", "create")

    assert (code, said["rule"]["list"], said["reason"]) == (1, "steps[1].answers", "bad name")
    code, _, err = rowrelay("answer", "upsert", "--status", 200, "--step", "creat")
    assert (code, "Did you mean `create`?" in err) == (2, True)


@pytest.mark.parametrize(
    ("body", "number", "state"),
    [({"items": [{"id": 3, "name": "A"}]}, 1, "done"), ({"items": [{"id": 3, "name": "other"}]}, 2, "waiting")],
)
def test_a_reconciliation_is_asked_about_the_row_of_the_file(told: Any, body: Any, number: int, state: str) -> None:
    _, said = told("upsert", 200, body, "--of", "reconcile", "--file", "rows.csv")

    assert (said["rule"]["list"], said["rule"]["number"]) == ("reconcile.answers", number)
    assert said["rows"][0]["state"] == state


def test_a_question_that_no_rule_answers_leaves_the_rows_as_they_are(told: Any) -> None:
    code, said = told("upsert", 404, {}, "--of", "reconcile", "--file", "rows.csv")

    assert (code, said["means"], said["rows"]) == (1, "stays", [])


def test_the_report_of_a_job_is_read_back_into_rows(told: Any) -> None:
    report = [{"email": "A@B.de", "result": "ok", "id": 1}, {"email": "c@d.de", "result": "error", "message": "no"}]
    _, said = told("job202", 200, {"state": "done", "report": report}, "--of", "poll", "--file", "rows.csv")

    assert [(row["row"], row["state"]) for row in said["rows"]] == [(2, "done"), (3, "failed"), (4, "unknown")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--body", "nowhere.json"), "nowhere.json: cannot be read: No such file or directory"),
        (("--header", "Retry-After"), "has no colon"),
        (("--of", "poll"), "graphql has no `poll:`"),
        (("--step", "find"), "It has no steps."),
        (("--file", "none.csv"), "none.csv"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_to_do(rowrelay: Run, options: Any, words: str) -> None:
    code, out, err = rowrelay("answer", "graphql", "--status", 200, *options)

    assert (code, out) == (2, "")
    assert words in err


def test_people_read_it_in_words(here: Path, rowrelay: Run) -> None:
    (here / "body.json").write_text(json.dumps(THROTTLED))

    _, out, _ = rowrelay("answer", "graphql", "--status", 200, "--body", "body.json")

    assert f"rule 1 of answers ({HERE / 'graphql.yaml'}:{line_of('graphql', 'THROTTLED')})" in out
    assert "everybody under the limit graphql waits 7 s" in out
    assert "goes out again; this was no attempt" in out


def test_headers_that_slow_the_pace_are_told(here: Path, rowrelay: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (HERE / "status200.yaml").read_text()
    (here / "own").mkdir()
    (here / "own" / "slow.yaml").write_text(text + "slow_by: {remaining: X-Left, reset: X-Reset}\n")
    monkeypatch.setenv("ROWRELAY_PIPELINES", "own")
    headers = ("--header", "X-Left: 12", "--header", "X-Reset: 40")

    _, slower, _ = rowrelay("answer", "status200", "--status", 200, *headers)
    _, waits, _ = rowrelay("answer", "status200", "--status", 429, *headers, "--header", "Retry-After: 3")
    _, same, _ = rowrelay("answer", "status200", "--status", 200)

    assert "12 requests remain for the next 40 s: everybody under the limit status200 goes no faster than" in slower
    assert "waits 3 s" in waits
    assert "remain" not in same
