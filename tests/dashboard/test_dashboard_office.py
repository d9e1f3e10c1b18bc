"""What an office needs of the pages: rows found again, the safe way first, the wrong pipeline noticed, the inbox."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st_
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from dashboard import actions, connections
from dashboard.api.app import make_api
from dashboard.files.deposit import deposit
from dashboard.files.fitting import fitting
from dashboard.parts.run import charts
from dashboard.prefect_api import schedules
from dashboard.prefect_api.sending import in_words
from dashboard.rows.across import look
from dashboard.rows.book import Rowbook
from dashboard.rows.since import delivered_since, later_runs
from dashboard.run_list import RunFilter, matching
from dashboard.words import encoding_in_words
from deployments.commands.delivered import refuse_unmeant
from deployments.commands.one_row import print_row
from deployments.commands.session import Session
from deployments.commands.showing import print_run, print_runs
from deployments.commands.since import left_out
from flows.errors import FileError, RowrelayError
from flows.ledger.keys import run_key
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import present
from flows.pipeline.reading import from_resolved
from flows.pipeline.timing import Rule
from flows.records import RowState, RunState
from flows.settings import Settings
from flows.source.readings import COMMON
from flows.words import duration
from tests.harness.limits import long_known
from tests.harness.pages import settings, show, text, undrawn
from tests.harness.remembered import forget
from tests.harness.seeding import Seeded, seed, write_posts

__all__ = ["settings"]

CHECKED = "checked; nothing sent yet"


def button(page: AppTest, label: str) -> object:
    return next(each for each in page.button if each.label == label)


def keyed(settings: Settings) -> Definition:
    return present(settings)["posts"].model_copy(update={"key": ["title"]})


def since(run: Seeded) -> dict[str, int]:
    """What later runs have delivered of it."""
    view = View(run.ledger.client)
    book = Rowbook(view, view.run(run.id), run.delivery.definition, run.delivery.settings)
    return dict(delivered_since(view, book, later_runs(view, book)).runs)


# -- the safe way first ------------------------------------------------------------------------------------------------


def test_what_was_delivered_before_is_left_out_by_the_button_that_stands_out(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    definition = keyed(settings)
    before = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 30), definition=definition)
    before.outcomes(RowState.DONE, [1, 2])
    before.leave(RunState.FINISHED)
    whole = seed(settings, redis_url, write_posts(tmp_path / "whole.csv", 31), definition=definition)
    whole.leave(RunState.CHECKING, CHECKED)

    page = show("check", run=whole.id)

    kinds = {each.label: each.proto.type for each in page.button}
    assert kinds["Leave them out"] == "primary"
    assert kinds["Send all 31 rows"] == "secondary"


def test_nothing_can_be_sent_while_a_secret_is_missing(
    settings: Settings, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = present(settings)["posts"].resolved()
    raw["request"]["headers"] = {"Authorization": "Bearer ${secret:CRM_TOKEN}"}
    run = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 3), definition=from_resolved(raw))
    run.leave(RunState.CHECKING, CHECKED)

    page = show("check", run=run.id)

    assert "The secret CRM_TOKEN is missing, so nothing can be sent." in text(page)
    assert button(page, "Send 3 rows").disabled  # type: ignore[attr-defined]
    monkeypatch.setenv("CRM_TOKEN", "s3cret")
    assert not button(show("check", run=run.id), "Send 3 rows").disabled  # type: ignore[attr-defined]


def test_what_was_decided_in_a_check_is_not_lost_by_way_of_the_inbox(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    definition = keyed(settings)
    before = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 3), definition=definition)
    before.outcomes(RowState.DONE, [1])
    before.leave(RunState.FINISHED)
    plain = seed(settings, redis_url, write_posts(tmp_path / "plain.csv", 3, bad=(1,)))
    plain.leave(RunState.CHECKING, CHECKED)
    skipping = seed(settings, redis_url, write_posts(tmp_path / "m.csv", 4), definition=definition, skip_delivered=True)
    skipping.leave(RunState.CHECKING, CHECKED)
    twice = seed(settings, redis_url, write_posts(tmp_path / "again.csv", 4), definition=definition)
    twice.leave(RunState.CHECKING, CHECKED)

    same = seed(settings, redis_url, write_posts(tmp_path / "same.csv", 3))  # as what was sent before
    same.leave(RunState.CHECKING, CHECKED)
    read = seed(settings, redis_url, write_posts(tmp_path / "read.csv", 5))
    read.ledger.facts(read.id, asked_encoding="cp1252")
    read.leave(RunState.CHECKING, CHECKED)

    pages = {each.id: show("check", run=each.id) for each in (plain, skipping, twice, same, read)}

    offered = ["Put it into the inbox" in [each.label for each in page.button] for page in pages.values()]
    assert offered == [True, False, False, False, False]
    assert "Not for the inbox" not in text(pages[plain.id])
    for each, why in (
        (skipping, "a schedule checks the file anew, and may send the rows that are left out here"),
        (twice, "a schedule may send the rows again that were delivered before"),
        (same, "a schedule passes over what was sent before"),
        (read, "a schedule reads the file anew, without what was chosen here about its reading"),
    ):
        assert f"Not for the inbox: {why}." in text(pages[each.id])
    pages[same.id].checkbox[0].check().run()  # "Send it again": by hand, as an inbox would not
    assert "Not for the inbox: a schedule passes over what was sent before." in text(pages[same.id])


# -- a run that was corrected by a later one ---------------------------------------------------------------------------


def test_rows_that_a_later_run_delivered_are_told_on_the_first(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    definition = keyed(settings)
    first = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 6, bad=(5,)), definition=definition)
    first.outcomes(RowState.DONE, [1, 2, 3])
    first.outcomes(RowState.FAILED, [4, 6])
    first.leave(RunState.FINISHED)
    later = seed(settings, redis_url, write_posts(tmp_path / "again.csv", 6), definition=definition)
    later.outcomes(RowState.DONE, [4, 5])
    later.outcomes(RowState.FAILED, [6])
    later.leave(RunState.FINISHED)

    assert since(first) == {later.id: 2}
    assert since(later) == {}
    page = show("run", id=first.id)
    assert "A later run has delivered 2 of the rows that are not done here." in text(page)
    assert "Send 2 failed again (1 of them delivered since)" in [each.label for each in page.button]
    assert "3 rejected and failed rows, to correct and send again (2 of them delivered since)" in text(page)
    assert "2 delivered since" in text(show("runs"))


def corrected(settings: Settings, redis_url: str, tmp_path: Path) -> tuple[Seeded, Seeded]:
    """A run of which rows 4 and 6 failed, and a later one that delivered row 4."""
    definition = keyed(settings)
    first = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 6, bad=(5,)), definition=definition)
    first.outcomes(RowState.DONE, [1, 2, 3])
    first.outcomes(RowState.FAILED, [4, 6])
    first.leave(RunState.FINISHED)
    later = seed(settings, redis_url, write_posts(tmp_path / "again.csv", 4), definition=definition)
    later.outcomes(RowState.DONE, [4])
    later.leave(RunState.FINISHED)
    return first, later


def test_the_command_line_tells_what_was_delivered_since_and_how_to_leave_it_out(
    settings: Settings, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, later = corrected(settings, redis_url, tmp_path)
    session = Session.of(settings, redis_url)

    print_run(session, session.view.run(first.id), as_json=False)
    said = capsys.readouterr().out
    print_run(session, session.view.run(first.id), as_json=True)
    as_json = json.loads(capsys.readouterr().out)

    name = first.id[:8]
    assert f"Delivered since by a later run: 1 failed (run {later.id[:8]}: 1)." in said
    assert f"rowrelay send --resume {name} --rows failed --skip-delivered  (1 of them delivered since)" in said
    assert as_json["delivered_since"] == {"rows": {"failed": 1}, "runs": {later.id: 1}}


def test_rows_that_were_delivered_since_are_not_sent_again_without_a_word(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    first, _ = corrected(settings, redis_url, tmp_path)
    session = Session.of(settings, redis_url)
    run = session.view.run(first.id)

    with pytest.raises(RowrelayError, match=r"Of the 2 failed rows of run .{8}, 1 row was delivered since") as refused:
        left_out(session, run, "failed", skips=False, askable=False, sure=False)

    assert refused.value.hint == (
        "Add --skip-delivered to leave out what was delivered, or --yes to send all of them again."
    )
    assert left_out(session, run, "failed", skips=True, askable=False, sure=False) == {4}
    assert left_out(session, run, "failed", skips=False, askable=False, sure=True) == frozenset()
    assert left_out(session, run, "reconcile", skips=False, askable=False, sure=False) == frozenset()


def test_over_http_rows_that_were_delivered_since_are_sent_again_only_on_request(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    first, _ = corrected(settings, redis_url, tmp_path)

    with TestClient(make_api(), base_url="http://127.0.0.1:8501") as api:
        refused = api.post(f"/runs/{first.id}/resume", json={"rows": "failed"})
        wanted = api.post(f"/runs/{first.id}/resume", json={"rows": "failed", "delivered_too": True})

    assert (refused.status_code, refused.json()["type"]) == (409, "/api/problems/delivered-since")
    assert refused.json()["detail"] == "A later run has delivered 1 of the 2 failed rows."
    assert wanted.status_code == 503  # as Prefect is away


def test_what_was_all_delivered_since_is_not_what_a_run_invites_to_send(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    definition = keyed(settings)
    first = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 4, bad=(2,)), definition=definition)
    first.outcomes(RowState.DONE, [1])
    first.outcomes(RowState.FAILED, [3])
    first.outcomes(RowState.UNKNOWN, [4])
    first.leave(RunState.FINISHED)
    before = {each.label: each.proto.type for each in show("run", id=first.id).button}
    later = seed(settings, redis_url, write_posts(tmp_path / "again.csv", 4), definition=definition)
    later.outcomes(RowState.DONE, [2, 3, 4])
    later.leave(RunState.FINISHED)
    forget()

    page = show("run", id=first.id)

    kinds = {each.label: each.proto.type for each in page.button}
    assert (before["Send 1 failed again"], before["Send 1 unknown again"]) == ("secondary", "secondary")
    assert (
        kinds["Send 1 failed again (delivered since)"] == kinds["Send 1 unknown again (delivered since)"] == "tertiary"
    )
    assert "2 rejected and failed rows, delivered since" in text(page)
    assert "to correct" not in text(page)
    assert "3 delivered since" in text(show("runs"))


def test_of_many_runs_in_a_list_only_those_with_a_key_and_open_rows_are_looked_at(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    first = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 2))
    first.outcomes(RowState.DONE, [1])
    first.outcomes(RowState.FAILED, [2])
    first.leave(RunState.FINISHED)
    later = seed(settings, redis_url, write_posts(tmp_path / "again.csv", 2))
    later.outcomes(RowState.DONE, [1, 2])
    later.leave(RunState.FINISHED)

    assert "delivered since" not in text(show("runs"))


def test_skipped_rows_are_counted_and_shown_apart_on_every_surface(
    settings: Settings, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    definition = keyed(settings)
    before = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 3), definition=definition)
    before.outcomes(RowState.DONE, [1, 2, 3])
    before.leave(RunState.FINISHED)
    file = write_posts(tmp_path / "whole.csv", 6, bad=(5,))
    run = seed(settings, redis_url, file, definition=definition, skip_delivered=True)
    run.outcomes(RowState.DONE, [4])
    run.outcomes(RowState.FAILED, [6])
    run.leave(RunState.FINISHED)
    view = View(run.ledger.client)

    print_runs(Session(settings, run.ledger.client, run.ledger, view), 1, as_json=False)

    head, line = (each.split() for each in capsys.readouterr().out.splitlines()[:2])
    assert head[-7:] == ["rows", "done", "failed", "unknown", "rejected", "skipped", "left"]
    assert line[-7:] == ["6", "1", "1", "0", "1", "3", "0"]
    for state, numbers in (("skipped", [1, 2, 3]), ("rejected", [5]), ("failed", [6])):
        page = show("run", id=run.id, state=state)
        assert list(page.dataframe[0].value["row"]) == numbers
        assert f"&amp;state={state}#rows" in text(page)
    assert "skipped" in page.pills[0].options
    assert "skipped" not in show("run", id=before.id).pills[0].options


def test_apostrophes_in_the_file_to_correct_are_explained_where_there_are_any(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    said = "some cells begin with an apostrophe: &#x27;+49 30 1."
    for body, there in (("+49 30 1", True), ("as usual", False)):
        (tmp_path / "a.csv").write_text(f"userId,title,body\n1,a,b\nnobody,x,{body}\n")
        run = seed(settings, redis_url, tmp_path / "a.csv")
        run.leave(RunState.CHECKING, CHECKED)
        assert (said in text(show("check", run=run.id))) is there
        assert (said in text(show("run", id=run.id))) is there


def test_what_went_to_prefect_is_named_for_what_it_was() -> None:
    check = {"dry_run": True, "rows": "unfinished"}

    assert in_words(check, first=True) == "Check"
    assert in_words({"rows": "unfinished"}, first=True) == "Check and first sending"
    assert in_words({"resume": "r", "rows": "unfinished"}, first=True) == "First sending"
    assert in_words({"resume": "r", "rows": "unfinished"}, first=False) == "The rows that were left"
    assert in_words({"resume": "r", "rows": "failed"}, first=False) == "The failed rows again"


def test_where_prefect_is_away_its_runs_are_numbered_and_nothing_else_is_lost(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    run = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 1))
    run.ledger.flow(run.id, "11111111-1111-1111-1111-111111111111")
    run.leave(RunState.FINISHED)

    said = text(show("run", id=run.id))

    assert "Number 1</a>" in said
    assert "(times in UTC)" in said


def test_every_encoding_that_is_offered_has_a_name_that_people_know() -> None:
    for name in COMMON:
        assert encoding_in_words(name).endswith(f"), {name}")
    assert encoding_in_words("cp1252") == "Western European (Windows-1252), cp1252"


def test_without_a_key_nobody_can_tell_what_was_delivered_since(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    first = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 3))
    first.outcomes(RowState.FAILED, [1])
    first.leave(RunState.FINISHED)
    later = seed(settings, redis_url, write_posts(tmp_path / "again.csv", 3))
    later.outcomes(RowState.DONE, [1])
    later.leave(RunState.FINISHED)

    assert since(first) == {}


def test_a_checked_run_is_sent_from_its_check_which_knows_what_went_out_since(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    definition = keyed(settings)
    run = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 4), definition=definition)
    run.leave(RunState.CHECKING, CHECKED)
    assert [each.proto.type for each in show("check", run=run.id).button if each.label == "Send 4 rows"] == ["primary"]
    other = seed(settings, redis_url, write_posts(tmp_path / "other.csv", 2), definition=definition)
    other.outcomes(RowState.DONE, [1, 2])
    other.leave(RunState.FINISHED)
    forget()

    page = show("check", run=run.id)

    assert "2 of these rows were delivered after this check" in text(page)
    kinds = {each.label: each.proto.type for each in page.button}
    assert (kinds["Leave them out"], kinds["Send all 4 rows"]) == ("primary", "secondary")
    assert "See the check and send" in [each.label for each in show("run", id=run.id).button]
    assert not any(each.label.startswith("Send") for each in show("run", id=run.id).button)


def test_where_all_rows_are_left_out_there_is_nothing_to_send(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    definition = keyed(settings)
    before = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 1), definition=definition)
    before.outcomes(RowState.DONE, [1])
    before.leave(RunState.FINISHED)
    run = seed(settings, redis_url, write_posts(tmp_path / "a.csv", 1), definition=definition, skip_delivered=True)
    run.leave(RunState.CHECKING, CHECKED)

    page = show("check", run=run.id)

    assert "There is nothing to send." in text(page)
    assert "Done at the earliest" not in text(page)
    assert "1 row was delivered before. It is left out." in text(page)


def test_the_command_line_calls_a_row_skipped_that_was_left_out(
    settings: Settings, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    definition = keyed(settings)
    before = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 1), definition=definition)
    before.outcomes(RowState.DONE, [1])
    before.leave(RunState.FINISHED)
    made = seed(settings, redis_url, write_posts(tmp_path / "a.csv", 1), definition=definition, skip_delivered=True)
    made.leave(RunState.CHECKING, CHECKED)
    view = View(made.ledger.client)

    print_row(Session(settings, made.ledger.client, made.ledger, view), view.run(made.id), 1, as_json=False)

    said = capsys.readouterr().out
    assert "a.csv: skipped" in said
    assert "delivered before" in said


@pytest.mark.parametrize(
    ("resume", "rows", "says"),
    [
        ("last", "", "The last run, posts.csv, was only checked, by dashboard."),
        ("the id", "failed", "The run has no failed rows."),
        ("the id", "", ""),
    ],
)
def test_the_command_line_sends_no_check_that_was_hardly_meant(
    settings: Settings, redis_url: str, tmp_path: Path, resume: str, rows: str, says: str
) -> None:
    made = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 3))
    made.leave(RunState.CHECKING, CHECKED, only_check=True)
    run = View(made.ledger.client).run(made.id)

    said = ""
    try:
        refuse_unmeant(run, resume=resume, rows=rows)
    except RowrelayError as exc:
        said = exc.message

    assert said == says


# -- runs found again --------------------------------------------------------------------------------------------------


def test_a_customer_is_found_in_the_rows_of_many_runs(settings: Settings, redis_url: str, tmp_path: Path) -> None:
    old = seed(settings, redis_url, write_posts(tmp_path / "old.csv", 30), name="old.csv")
    old.leave(RunState.FINISHED)
    new = seed(settings, redis_url, write_posts(tmp_path / "new.csv", 3), name="new.csv")
    new.leave(RunState.FINISHED)
    view = View(new.ledger.client)

    hits, looked = look(view, settings, view.runs(), "reminder 27", seconds=30.0)

    assert (looked, [(hit.run.id, hit.matching) for hit in hits]) == (2, [(old.id, 1)])
    assert hits[0].rows[0].values["title"] == "Invoice reminder 27"
    assert look(view, settings, view.runs(), "reminder", seconds=0.0)[1] == 1  # one at least, then the time is over
    key = f"rowrelay:run:{{{new.id}}}:definition"
    kept = new.ledger.client.get(key)
    new.ledger.client.set(key, '{"name": "of another version", "unheard_of": 1}')
    assert look(view, settings, view.runs(), "reminder 27", seconds=30.0)[1] == 2  # one run does not end the search
    new.ledger.client.set(key, kept)
    page = show("runs", find="reminder 27")
    assert "No run has such a name." in text(page)
    told = " ".join(re.sub("<[^>]*>", " ", text(page)).split())
    assert "1 row · waiting 28" in told  # of the row: its run is finished
    assert "new.csv" not in told
    assert told.index("Rows with “reminder 27”") < told.index("No run has such a name.")


def test_the_rows_of_few_runs_are_looked_through_by_itself_and_reasons_not_at_all(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    for name in ("a", "b", "c", "d"):
        run = seed(settings, redis_url, write_posts(tmp_path / f"{name}.csv", 2), name=f"reminder {name}.csv")
        run.leave(RunState.STOPPED, "HTTP 422 for Meier")

    assert matching(View(run.ledger.client), RunFilter("meier")) == []
    page = show("runs", find="reminder")
    assert "Rows with" not in text(page)
    button(page, "Look for “reminder” in the rows").click().run()  # type: ignore[attr-defined]
    assert "Rows with “reminder”" in text(page)
    assert "No row has “meier”." in text(show("runs", find="meier"))
    assert "No row has" not in text(show("runs", find="me"))
    assert "text in a row" in page.text_input[0].placeholder


def test_runs_are_found_by_the_day_on_which_they_began(settings: Settings) -> None:
    ledger = connections.ledger()
    for name, begun in (("a", 1_000_000.0), ("b", 2_000_000.0)):
        ledger.create(name, definition={}, by="test", pipeline="posts", file=f"{name}.csv")
        ledger.client.hset(f"rowrelay:run:{{{name}}}", "created", int(begun * 1000))
        ledger.client.zadd("rowrelay:runs", {name: begun})
    view = View(ledger.client)

    assert matching(view, RunFilter(since=1_500_000)) == ["b"]
    assert matching(view, RunFilter(until=1_500_000)) == ["a"]
    assert matching(view, RunFilter(since=900_000, until=2_100_000)) == ["b", "a"]
    assert not RunFilter()
    assert RunFilter(until=1.0)


def test_filters_stay_with_the_run_that_they_were_set_for(settings: Settings, redis_url: str, tmp_path: Path) -> None:
    runs = [seed(settings, redis_url, write_posts(tmp_path / f"{n}.csv", 5)) for n in range(2)]
    for run in runs:
        run.outcomes(RowState.DONE, [1])
        run.leave(RunState.FINISHED)
    page = show("run", id=runs[0].id)
    page.session_state["state"] = ["failed"]
    page.run()
    assert "No row fits." in text(page)

    page.query_params["id"] = runs[1].id
    forget()
    page.run()

    assert "No row fits." not in text(page)


def test_whose_row_it_is_stands_before_why_it_failed(settings: Settings, redis_url: str, tmp_path: Path) -> None:
    run = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 5), definition=keyed(settings))
    run.outcomes(RowState.FAILED, [1])
    run.leave(RunState.FINISHED)

    table = show("run", id=run.id).dataframe[0].value

    assert list(table.columns) == [
        "row", "state", "a:title", "why", "a:userId", "a:body", "b:postId", "status", "attempts", "line",
    ]  # fmt: skip


def test_who_uploads_the_corrected_file_finds_the_check_again(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    run = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 5, bad=(2,)), definition=keyed(settings))
    run.leave(RunState.CHECKING, CHECKED)
    page = show("check", run=run.id)
    told = " ".join(re.sub("<[^>]*>", " ", text(page)).split())
    assert "title what is wrong what stands there line Invoice reminder 2 " in told
    assert "userId nobody line 3" in told
    assert "Upload the corrected file" in [each.label for each in page.button]

    send = undrawn("send")
    send.session_state["open_check"] = page.session_state["open_check"]
    assert "The check of posts.csv is kept." in text(send.run())
    assert f"check?run={run.id}" in text(send)


# -- the file of another pipeline, and the inbox -----------------------------------------------------------------------


def test_a_file_of_another_pipeline_is_offered_to_that_one(settings: Settings, tmp_path: Path) -> None:
    posts = present(settings)["posts"]
    others = {
        "contacts": posts.model_copy(update={"name": "contacts", "columns": {"mail": posts.columns["title"]}}),
        "orders": posts.model_copy(update={"name": "orders", "columns": {"order": posts.columns["title"]}}),
    }
    folder = settings.uploads / "20261130-1"
    folder.mkdir(parents=True)
    (folder / "contacts.csv").write_text("mail;name\na@b.de;x\n")

    assert fitting("20261130-1/contacts.csv", posts, others, settings) == ["contacts"]
    assert fitting("20261130-1/gone.csv", posts, others, settings) == []
    optional = posts.columns["title"].model_copy(update={"optional": True})
    anything = {"notes": posts.model_copy(update={"name": "notes", "columns": {"note": optional}})}
    assert fitting("20261130-1/contacts.csv", posts, anything, settings) == []  # it has none of the columns


def test_a_checked_file_goes_into_the_inbox_once(settings: Settings, redis_url: str, tmp_path: Path) -> None:
    folder = settings.uploads / "20261130-1"
    folder.mkdir(parents=True)
    file = write_posts(folder / "posts.csv", 3)
    run = seed(settings, redis_url, file)
    run.leave(RunState.CHECKING, CHECKED)

    where = Path(actions.put_into_inbox(View(run.ledger.client).run(run.id), by="Ada"))

    assert where == settings.inbox / "posts" / "posts.csv"
    assert where.read_bytes() == file.read_bytes()
    assert any("Ada put the file into the inbox" in text for _, text in View(run.ledger.client).events(run.id))
    with pytest.raises(FileError, match="lies in the inbox already"):
        deposit(str(file), "posts.csv", present(settings)["posts"], settings)
    assert list(where.parent.iterdir()) == [where]


# -- schedules in words ------------------------------------------------------------------------------------------------


@given(st_.sets(st_.integers(0, 6), min_size=1), st_.integers(0, 23), st_.integers(0, 59))
def test_weekdays_and_a_clock_are_a_cron_rule_and_back(days: set[int], hour: int, minute: int) -> None:
    assert schedules.days_of(schedules.on_days(sorted(days), hour, minute)) == (sorted(days), hour, minute)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(cron="5 7 * * 1-5"), "Monday to Friday at 07:05"),
        (Rule(cron="0 7 * * 1"), "every Monday at 07:00"),
        (Rule(cron="0 7 * * 1,4"), "Monday and Thursday at 07:00"),
        (Rule(cron="0 7 * * 1,3,0"), "Monday, Wednesday and Sunday at 07:00"),
        (Rule(cron="30 23 * * *"), "every day at 23:30"),
        (Rule(cron="0 7 * * 5-1"), "0 7 * * 5-1"),
        (Rule(cron="0 7 * * 1,5-2"), "0 7 * * 1,5-2"),
        (Rule(cron="0 7 1 * *"), "0 7 1 * *"),
        (Rule(cron="15 * * * *"), "every hour at :15"),
        (Rule(interval_seconds=7200), "every 2 hours"),
        (Rule(interval_seconds=60), "every minute"),
        (Rule(rrule="FREQ=DAILY"), "FREQ=DAILY"),
    ],
)
def test_a_rule_is_told_as_people_say_it(rule: Rule, words: str) -> None:
    assert schedules.in_words(rule) == words


def test_the_first_weekday_of_a_chosen_rule_is_the_day_that_was_chosen() -> None:
    for day, name in enumerate(schedules.DAYS):
        (first, *_) = schedules.coming(
            Rule(cron=schedules.on_days([day], 7, 0)), start=datetime(2026, 11, 30, tzinfo=UTC)
        )
        assert f"{first:%A}" == name


# -- several pipelines -------------------------------------------------------------------------------------------------


NOTES = """
name: notes
columns: {note: {type: str}}
request: {url: "http://127.0.0.1:9/notes", json: {note: "{note}"}}
limit: {name: notes, requests: 7, window_seconds: 1}
"""


def test_of_several_pipelines_none_is_taken_before_the_file_or_a_person_says_which(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.yaml").write_text(NOTES)
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(tmp_path / "notes.yaml"))
    monkeypatch.setenv("ROWRELAY_EXAMPLES", "true")
    forget()
    folder = connections.settings().uploads / "20261201-1"
    folder.mkdir(parents=True)
    (folder / "n.csv").write_text("note\nx\n")
    (folder / "other.csv").write_text("age\n1\n")
    page = show("send")
    assert page.selectbox[0].value is None
    assert "Goes to" not in text(page)

    page = show("send", file="20261201-1/n.csv")
    assert page.selectbox[0].value == "notes"
    assert not button(page, "Check this file").disabled  # type: ignore[attr-defined]

    page = show("send", file="20261201-1/other.csv")
    assert page.selectbox[0].value is None
    assert "It has the columns of no pipeline: choose one above." in text(page)
    assert "rr-good" not in text(page)
    assert button(page, "Check this file").disabled  # type: ignore[attr-defined]

    (tmp_path / "more.yaml").write_text(NOTES.replace("notes", "more"))
    monkeypatch.setenv("ROWRELAY_PIPELINES", f"{tmp_path}/notes.yaml{os.pathsep}{tmp_path}/more.yaml")
    forget()
    page = show("send", file="20261201-1/n.csv")
    assert page.selectbox[0].value is None
    assert "It fits more and notes: choose one above." in text(page)

    assert show("send", pipeline="posts").selectbox[0].value == "posts"
    again = undrawn("send")
    again.session_state["used"] = "notes"
    assert again.run().selectbox[0].value == "notes"


# -- estimates ---------------------------------------------------------------------------------------------------------


def test_an_estimate_of_a_new_limit_has_its_wait_in_it(settings: Settings, redis_url: str, tmp_path: Path) -> None:
    raw = present(settings)["posts"].resolved()
    raw["limit"] |= {"name": f"new-{tmp_path.name}", "requests": 7, "window_seconds": 30.0}
    run = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 3), definition=from_resolved(raw))
    run.leave(RunState.CHECKING, CHECKED)

    said = text(show("check", run=run.id))

    terms = run.delivery.definition.terms
    assert f'Will take at least</div><div class="rr-value">{duration(30.0 + terms.lapse_seconds)}<' in said


@pytest.mark.parametrize(("sent_for", "early"), [(0, True), (25, False)])
def test_the_time_left_waits_until_enough_was_sent(
    settings: Settings, redis_url: str, tmp_path: Path, sent_for: int, early: bool
) -> None:
    run = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 190))
    long_known(run.ledger.client, run.delivery.definition.limit.name)
    run.outcomes(RowState.DONE, list(range(1, 21)))
    run.ledger.client.delete(run_key(run.id) + ":seconds", run_key(run.id) + ":minutes")
    if sent_for:
        run.spread(rate=2, seconds=sent_for)

    said = text(show("run", id=run.id))

    assert ("under a minute" in said) is early
    assert f'Worst second so far</div><div class="rr-value">{"–" if early else 2}<' in said
    assert charts.most_in({1: {"sent": 2}, 2: {"sent": 3}, 9: {"sent": 4}}, 1) == 4
    assert charts.most_in({1: {"sent": 2}, 2: {"sent": 3}, 9: {"sent": 4}}, 2) == 5
    assert not charts.has_sent_for_a_while({99: {"sent": 7}, 98: {"sent": 7}}, 100.0)
    assert charts.has_sent_for_a_while({99: {"sent": 7}, 90: {"sent": 7}}, 100.0)
