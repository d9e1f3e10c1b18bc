"""The dashboard as a person uses it: real pages in a real browser, real stack, and a stand-in that counts."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from deployments.standin.faults import FAULTS
from flows.records import RowState, RunState
from flows.sheet import restored
from tests.harness.browser import open_browser, open_windows, patient, settle
from tests.harness.dashboard_site import SECONDS, Site, rows_file, site, titles
from tests.harness.seeding import Seeded, write_posts
from tests.harness.wait import wait_until

SLOW = SECONDS * 1000
D, F, U = RowState.DONE, RowState.FAILED, RowState.UNKNOWN


@pytest.fixture(scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; its absence is a failure, never a skip."""
    expect.set_options(timeout=SLOW)
    with open_browser() as found:
        yield found


@pytest.fixture
def here(_site: Site) -> Site:
    """The stack, with nothing arrived yet."""
    _site.api.arrivals.clear()
    return _site


@pytest.fixture(scope="module")
def windows(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with open_windows(browser, tmp_path_factory.mktemp("browser"), locale="en-GB") as found:
        yield found


@pytest.fixture
def page(here: Site, windows: BrowserContext) -> Iterator[Page]:
    """A fresh browser window; an error that a page's script throws, or something that the policy forbids, fails."""
    page = windows.new_page()
    page.set_default_timeout(SLOW)
    patient(page)
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.on("dialog", lambda dialog: thrown.append(dialog.message) or dialog.dismiss())
    page.on("console", lambda said: thrown.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    for opened in windows.pages[1:]:  # the first keeps the browser open
        opened.close()
    assert thrown == []


def drop(here: Site, page: Page, name: str, content: bytes | str) -> None:
    """Open the Send page and give it a file."""
    here.board.open(page, "/")
    give(page, name, content)


def give(page: Page, name: str, content: bytes | str) -> None:
    """Give the Send page a file."""
    body = content.encode() if isinstance(content, str) else content
    page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "text/csv", "buffer": body})


def run_of(page: Page) -> str:
    """The run in the page's address."""
    page.wait_for_url("**/run?id=*")
    return page.url.split("id=")[1].split("&")[0]


def counts(here: Site, page: Page) -> dict[str, int]:
    """The run of the page as the API has it."""
    found: dict[str, int] = here.run(run_of(page))["counts"]
    return found


def stopped(here: Site, name: str, rows: int, *, bad: tuple[int, ...] = ()) -> Seeded:
    """A run that has ended, for looking at."""
    folder = here.settings.data / "seeds"
    folder.mkdir(exist_ok=True)
    return here.seed(write_posts(folder / name, rows, bad=bad))


# -- the main way ------------------------------------------------------------------------------------------------------


def test_a_file_with_mistakes_is_shown_sent_watched_and_taken_home(here: Site, page: Page) -> None:
    rows = rows_file(1, 20, "nobody,=bad,b\n3,,no title\n").replace("\n", ",\n").replace("body,\n", "body,Remark\n", 1)
    drop(here, page, "mixed.csv", rows)

    expect(page.get_by_text("Columns that the pipeline does not use: Remark")).to_be_visible()
    expect(page.get_by_role("button", name="Send 20 good rows")).to_be_visible()
    expect(page.get_by_text("The first requests, as they would go out")).to_be_visible()
    assert here.tags == []  # nothing was sent yet
    page.reload()  # what is shown is in the address, so a reload shows it again
    page.get_by_role("button", name="Send 20 good rows").click()

    run_of(page)
    expect(page.get_by_text("finished, some not done")).to_be_visible()
    legend = page.locator(".rr-legend")
    expect(legend).to_contain_text("done20")
    expect(legend).to_contain_text("rejected2")
    expect(legend).to_contain_text("22rows")

    with page.expect_download() as taken:
        page.get_by_role("link", name="Results as JSON").click()
    results = json.loads(Path(taken.value.path()).read_text())["result"]
    assert [row["result"] for row in results] == ["done"] * 20 + ["rejected"] * 2
    assert sorted(here.tags) == titles(1, 20)

    with page.expect_download() as taken:
        page.get_by_role("link", name="2 rejected rows, to correct and send again").click()
    text = Path(taken.value.path()).read_text("utf-8-sig")
    troubled = list(csv.DictReader(io.StringIO(text)))
    assert [row["title"] for row in troubled] == ["'=bad", ""]
    assert restored(troubled[0]["title"]) == "=bad"
    assert "whole number" in troubled[0]["reason (rowrelay)"]

    page.get_by_text("Events and Prefect").click()
    for what in ("Check, ", "First sending, "):
        expect(page.get_by_role("link", name=what)).to_be_visible()
    expect(page.get_by_text("some cells begin with an apostrophe: '=bad")).to_be_visible()

    here.api.arrivals.clear()  # corrected, it is uploaded as it is
    drop(here, page, "corrected.csv", text.replace("nobody", "7").replace(",3,,", ",3,now it has,"))
    page.get_by_role("button", name="Send 2 rows").click()
    run_of(page)
    expect(page.locator(".rr-head").get_by_text("finished", exact=True)).to_be_visible()
    assert sorted(here.tags) == ["=bad", "now it has"]


def test_send_in_the_menu_takes_another_file_and_the_open_check_is_found_again(here: Site, page: Page) -> None:
    drop(here, page, "open.csv", rows_file(60, 3))
    send = page.get_by_role("button", name="Send 3 rows")
    expect(send).to_be_visible()

    page.get_by_role("link", name="Send", exact=True).click()
    expect(page.get_by_text("Drop a file here")).to_be_visible()
    expect(page.get_by_text("The check of open.csv is kept.")).to_be_visible()
    page.get_by_role("link", name="Go back to it").click()

    expect(send).to_be_visible()
    assert here.tags == []


def test_a_count_at_the_top_leads_to_its_rows(here: Site, page: Page) -> None:
    run = stopped(here, "counted.csv", 120, bad=(7,))
    run.outcomes(D, range(8, 100))
    run.outcomes(F, [1, 2])
    run.leave(RunState.FINISHED)
    here.board.open(page, f"/run?id={run.id}")

    page.locator(".rr-legend").get_by_role("link", name="failed 2").click()

    expect(page.get_by_text("1–2 of 2 rows")).to_be_in_viewport()
    page.wait_for_url("**state=failed**")


def test_a_run_is_cancelled_and_resumed_and_no_row_is_sent_twice(here: Site, page: Page) -> None:
    drop(here, page, "long.csv", rows_file(100, 150))
    page.get_by_role("button", name="Send 150 rows").click()
    run_of(page)
    expect(page.locator(".rr-head").get_by_text("sending", exact=True)).to_be_visible()

    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".rr-head").get_by_text("cancelled", exact=True)).to_be_visible()
    before = counts(here, page)
    assert before["waiting"] > 0

    page.get_by_role("button", name=f"Resume: {before['waiting']} rows").click()
    page.get_by_role("dialog").get_by_role("button", name="Send", exact=True).click()
    expect(page.locator(".rr-head").get_by_text("finished", exact=True)).to_be_visible()
    assert counts(here, page)["done"] == 150
    assert sorted(here.tags) == titles(100, 150)


@pytest.mark.slow
def test_failed_rows_are_sent_again_after_one_question(here: Site, page: Page) -> None:
    assert "unprocessable" in FAULTS
    here.api.knobs = here.api.knobs.model_copy(update={"faults": {"unprocessable": 1.0}})
    try:
        drop(here, page, "again.csv", rows_file(300, 5))
        page.get_by_role("button", name="Send 5 rows").click()
        run_of(page)
        again = page.get_by_role("button", name="Send 5 failed again")
        expect(again).to_be_visible()
    finally:
        here.api.knobs = here.api.knobs.model_copy(update={"faults": {}})

    again.click()
    page.get_by_role("dialog").get_by_role("button", name="Send again").click()
    expect(page.locator(".rr-head").get_by_text("finished", exact=True)).to_be_visible()
    assert counts(here, page)["done"] == 5
    assert len(here.tags) == 10


def test_unknown_rows_are_sent_again_or_called_done_and_the_run_is_deleted(here: Site, page: Page) -> None:
    run = stopped(here, "unknown.csv", 4)
    run.outcomes(D, [1, 2])
    run.outcomes(U, [3])
    run.outcomes(U, [4])
    run.leave(RunState.FINISHED)
    here.board.open(page, f"/run?id={run.id}")

    page.get_by_role("button", name="Send 2 unknown again").click()
    expect(page.get_by_role("dialog")).to_contain_text("a row may be there twice")
    page.get_by_role("button", name="Leave it").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert here.tags == []
    page.get_by_role("button", name="Mark unknown as done").click()
    page.get_by_role("button", name="Mark as done").click()
    expect(page.locator(".rr-legend")).to_contain_text("done4")
    expect(page.get_by_role("button", name="Mark unknown as done")).to_be_hidden()

    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete for good").click()
    page.wait_for_url("**/runs**")
    assert here.board.api("GET", f"/runs/{run.id}").status_code == 404


@pytest.mark.slow
def test_unknown_rows_sent_again_arrive(here: Site, page: Page) -> None:
    run = stopped(here, "unknown.csv", 3)
    run.outcomes(D, [1, 2])
    run.outcomes(U, [3])
    run.leave(RunState.FINISHED)
    here.board.open(page, f"/run?id={run.id}")

    page.get_by_role("button", name="Send 1 unknown again").click()
    page.get_by_role("dialog").get_by_role("button", name="Send again").click()

    expect(page.locator(".rr-head").get_by_text("finished", exact=True)).to_be_visible()
    assert here.tags == ["Invoice reminder 3"]


# -- checks ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_check_that_stopped_is_done_again_from_its_page_and_sends_nothing(here: Site, page: Page) -> None:
    file = here.upload("wrong.csv", "name,age\nx,1\n")
    run = here.start(file)  # by a program that meant to send it at once
    here.shown(run, "stopped")
    (here.settings.uploads / file).write_text(rows_file(700, 3))
    here.board.open(page, f"/run?id={run}")

    page.get_by_role("button", name="Check again").click()
    page.get_by_role("dialog").get_by_role("button", name="Check again").click()

    page.wait_for_url(f"**/check?run={run}")
    expect(page.get_by_role("button", name="Send 3 rows")).to_be_visible()
    assert here.tags == []


@pytest.mark.slow
def test_a_check_that_waits_for_a_runner_can_be_cancelled_and_done_later(here: Site, page: Page) -> None:
    with here.nobody_works():
        drop(here, page, "waits.csv", rows_file(720, 3))
        expect(page.get_by_text("Waiting for a worker to start it.")).to_be_visible()
        page.get_by_role("button", name="Cancel", exact=True).click()
        expect(page.get_by_text("cancelled before it began")).to_be_visible()
        again = page.get_by_role("button", name="Take another file")
        expect(again).to_have_count(1)  # what was there before is taken away once the page is whole
        again.click()
        expect(page.get_by_text("Drop a file here")).to_be_visible()

    give(page, "other.csv", rows_file(730, 2))
    expect(page.get_by_role("button", name="Send 2 rows")).to_be_visible()
    assert here.tags == []


def test_a_check_that_was_interrupted_is_no_dead_end(here: Site, page: Page) -> None:
    file = here.upload("interrupted.csv", rows_file(740, 3))
    run = stopped(here, "x.csv", 1)
    client = run.ledger.client
    client.hset(f"rowrelay:run:{{{run.id}}}", mapping={"file": file, "total": 0, "state": "checking", "lease": 0})
    here.board.open(page, f"/?run={run.id}")  # where checks stood before they had a page of their own
    page.wait_for_url(f"**/check?run={run.id}")
    expect(page.get_by_text("The check was interrupted.")).to_be_visible()

    page.get_by_role("button", name="Check again").click()

    expect(page.get_by_role("button", name="Send 3 rows")).to_be_visible()
    assert here.tags == []


@pytest.mark.slow
def test_fix_and_upload_again_keeps_the_pipeline(here: Site, page: Page) -> None:
    here.board.open(page, "/?pipeline=replies")
    give(page, "notes.csv", 'note\nfine\n""\n' + "x" * 50 + "\n")
    page.get_by_role("button", name="Upload the corrected file").click()

    expect(page.get_by_text("Replies, for a second pipeline")).to_be_visible()
    page.wait_for_url("**pipeline=replies**")
    give(page, "fixed.csv", "note\nfixed\n")
    expect(page.get_by_role("button", name="Send 1 row", exact=True)).to_be_visible()


@pytest.mark.slow
def test_a_file_sent_before_is_said_and_one_only_checked_is_not(here: Site, page: Page) -> None:
    content = rows_file(760, 2)
    for name in ("first.csv", "second.csv"):  # checking it twice is not sending it
        drop(here, page, name, content)
        expect(page.get_by_role("button", name="Send 2 rows")).to_be_enabled()
    assert page.get_by_text("exactly this content").count() == 0
    page.get_by_role("button", name="Send 2 rows").click()
    expect(page.locator(".rr-head").get_by_text("finished", exact=True)).to_be_visible()

    drop(here, page, "third.csv", content)

    expect(page.get_by_text("A file with exactly this content was sent before.")).to_be_visible()
    expect(page.get_by_role("button", name="Send 2 rows")).to_be_disabled()
    page.get_by_text("Send it again: every row will reach the API a second time").click()
    expect(page.get_by_role("button", name="Send 2 rows")).to_be_enabled()


# -- uploads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("picture.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(200), None),
        ("big.csv", b"x" * 300_000, "may be uploaded"),
        ("empty.csv", b"", "is empty"),
    ],
)
def test_a_file_that_will_not_do_is_refused_in_words(
    here: Site, page: Page, name: str, content: bytes | str, says: str | None
) -> None:
    here.board.open(page, "/?pipeline=posts")
    give(page, name, content)

    box = page.locator(".rr-bad, .trouble")
    expect(box).to_be_visible()
    if says:
        expect(box).to_contain_text(says)
    assert here.tags == []


def test_columns_that_the_pipeline_does_not_know_are_asked_about(here: Site, page: Page) -> None:
    here.board.open(page, "/?pipeline=posts")
    give(page, "wrong.csv", "name,age,city\nx,1,y\n")

    expect(page.get_by_role("heading", name="Which column is which?")).to_be_visible()
    expect(page.get_by_role("combobox", name="Column of the file for userId")).to_be_visible()
    expect(page.get_by_role("button", name="Send ")).to_have_count(0)
    assert here.tags == []


def slow_line(page: Page, bytes_a_second: int) -> None:
    """Let the browser's line be slow, or lost; 0 for no bound."""
    line = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_a_second or -1}
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", line)
    page.slow_line = session  # type: ignore[attr-defined]  # it holds only as long as the session


def lying(here: Site) -> list[str]:
    """What lies among the uploads, half-written files too."""
    # Not rglob, which fails where a folder is taken away meanwhile.
    return sorted(name for _, _, names in os.walk(here.settings.uploads) for name in names if name != ".swept")


LARGE = rows_file(800, 12_000)[:190_000].rsplit("\n", 1)[0] + "\n"


def sent_titles(here: Site, page: Page) -> list[str]:
    """What was sent as the titles of the page's run."""
    answer = here.board.api("GET", f"/runs/{run_of(page)}/results.json")
    return [row["title"] for row in answer.json()["result"]]


def test_a_file_in_another_encoding_is_read_as_the_person_chooses(here: Site, page: Page) -> None:
    rows = "userId,title,body\n1,Привет мир,Москва\n2,Иванов Пётр,Тула\n"
    here.board.open(page, "/?pipeline=posts")
    give(page, "cyrillic.csv", rows.encode("cp866"))

    expect(page.get_by_role("heading", name="How does it read right?")).to_be_visible()
    refused = page.url.split("run=")[1].split("&")[0]
    readings = here.run(refused)["readings"]
    assert readings[0] == {"encoding": "cp866", "lines": rows.splitlines()}
    assert len(readings) > 1
    page.get_by_role("button", name="Read it as Cyrillic (DOS 866), cp866").click()
    page.get_by_role("button", name="Send 2 rows").click()
    assert here.run(run_of(page))["encoding"] == "cp866"
    expect(page.get_by_text("finished").first).to_be_visible()
    assert sent_titles(here, page) == ["Привет мир", "Иванов Пётр"]


def test_a_person_says_what_an_apostrophe_is(here: Site, page: Page) -> None:
    drop(here, page, "guarded.csv", "userId,title,body\n1,'+49 30 123,a\n2,plain,b\n")

    expect(page.get_by_text("title: what is the apostrophe in '+49 30 123?")).to_be_visible()
    expect(page.get_by_role("button", name="Send 1 good row")).to_be_visible()
    page.get_by_role("button", name="Read +49 30 123", exact=True).click()
    page.get_by_role("button", name="Send 2 rows").click()
    run_of(page)
    expect(page.get_by_text("finished").first).to_be_visible()
    assert sent_titles(here, page) == ["+49 30 123", "plain"]


def test_an_upload_that_is_cancelled_leaves_nothing_behind(here: Site, page: Page) -> None:
    before = lying(here)
    here.board.open(page, "/")
    slow_line(page, 10_000)
    give(page, "cancelled.csv", LARGE)
    expect(page.get_by_role("progressbar", name="Upload")).to_be_visible()

    page.get_by_role("button", name="Cancel", exact=True).click()

    expect(page.locator(".trouble")).to_contain_text("Cancelled. Nothing of the file was kept.")
    wait_until(lambda: lying(here) == before, seconds=SECONDS, what="the upload to be gone")


def test_a_line_lost_midway_leaves_nothing_half_taken(here: Site) -> None:
    before = lying(here)
    host, port = here.board.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        head = f"PUT /api/files/lost.csv HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(LARGE)}\r\n\r\n"
        line.sendall(head.encode() + LARGE[:100_000].encode())
        wait_until(lambda: lying(here) != before, seconds=SECONDS, what="the upload to begin")

    wait_until(lambda: lying(here) == before, seconds=SECONDS, what="the upload to be gone")


def test_after_a_lost_line_the_same_file_is_tried_again_by_a_button(here: Site, page: Page) -> None:
    here.board.open(page, "/")
    page.route("**/api/files/**", lambda route: route.abort("connectionreset"))
    give(page, "lost.csv", LARGE)
    expect(page.locator(".trouble")).to_contain_text("The connection was lost, and nothing of the file was kept.")

    page.unroute("**/api/files/**")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("button", name="Send ")).to_be_visible()
    assert "lost.csv" in lying(here)


def test_an_upload_goes_on_while_another_page_is_looked_at(here: Site, page: Page) -> None:
    here.board.open(page, "/")
    slow_line(page, 3_000)
    give(page, "patient.csv", LARGE)
    expect(page.get_by_role("progressbar", name="Upload")).to_be_visible()

    page.get_by_role("link", name="Status").click()
    expect(page.get_by_role("heading", name="Status")).to_be_visible()
    page.get_by_role("link", name="Send", exact=True).click()

    expect(page.locator(".going .name")).to_have_text("patient.csv")
    slow_line(page, 0)
    expect(page.get_by_role("button", name="Send ")).to_be_visible()


# -- services that are away --------------------------------------------------------------------------------------------


def test_the_page_says_that_redis_is_away_keeps_what_was_chosen_and_goes_on(here: Site, page: Page) -> None:
    run = stopped(here, "patience.csv", 250, bad=(5, 9))
    run.outcomes(D, [1, 2, 3])
    run.leave(RunState.STOPPED, "for looking at")
    here.board.open(page, f"/run?id={run.id}&state=rejected")
    expect(page.get_by_text("1–2 of 2 rows")).to_be_visible()

    here.redis.stop()
    try:
        expect(page.get_by_text("Redis does not answer.").first).to_be_visible()
        search = page.get_by_role("textbox", name="Search")
        search.fill("nobody")
        search.press("Enter")
        expect(page.get_by_text("Redis does not answer.").first).to_be_visible()
        page.wait_for_url("**search=nobody**")
        page.wait_for_url("**state=rejected**")
        assert "Traceback" not in page.content()
    finally:
        here.redis.start()
    expect(page.locator(".rr-legend")).to_contain_text("done3")
    expect(page.get_by_text("1–2 of 2 rows")).to_be_visible()
    expect(page.get_by_text("Redis does not answer.")).to_have_count(0)
    expect(search).to_have_value("nobody")
    page.wait_for_url("**search=nobody**")
    page.wait_for_url("**state=rejected**")


def test_an_address_with_filters_survives_being_opened_while_redis_is_away(here: Site, page: Page) -> None:
    run = stopped(here, "opened.csv", 30, bad=(5,))
    run.leave(RunState.STOPPED, "for looking at")
    here.redis.stop()
    try:
        page.goto(f"{here.board.url}/run?id={run.id}&state=rejected&row=5")
        expect(page.get_by_text("Redis does not answer.").first).to_be_visible()
    finally:
        here.redis.start()

    expect(page.get_by_text("1–1 of 1 row", exact=True)).to_be_visible()
    expect(page.get_by_text("Row 5, line 6")).to_be_visible()


@pytest.mark.slow
def test_prefect_away_with_a_file_in_hand_loses_nothing(here: Site, page: Page) -> None:
    here.board.open(page, "/")
    here.prefect.shut()
    try:
        give(page, "in-hand.csv", rows_file(900, 2))
        expect(page.get_by_text("The file is kept: try again when that is mended.")).to_be_visible()
        page.reload()
        expect(page.get_by_text("in-hand.csv")).to_be_visible()
    finally:
        here.prefect.open()

    page.get_by_role("button", name="Check this file").click()
    expect(page.get_by_role("button", name="Send 2 rows")).to_be_visible()
    here.prefect.shut()
    try:
        page.get_by_role("button", name="Send 2 rows").click()
        expect(page.get_by_text("Nothing was sent. The checked file is kept.")).to_be_visible()
    finally:
        here.prefect.open()
    page.get_by_role("button", name="Send 2 rows").click()
    expect(page.locator(".rr-head").get_by_text("finished", exact=True)).to_be_visible()
    assert sorted(here.tags) == titles(900, 2)


# -- tabs, links, other pages ------------------------------------------------------------------------------------------


def test_a_second_tab_shows_the_truth_and_so_does_the_first(here: Site, page: Page) -> None:
    drop(here, page, "tabs.csv", rows_file(920, 200))
    page.get_by_role("button", name="Send 200 rows").click()
    run_of(page)
    expect(page.locator(".rr-head").get_by_text("sending", exact=True)).to_be_visible()
    other = page.context.new_page()
    other.set_default_timeout(SLOW)
    here.board.open(other, page.url.removeprefix(here.board.url))

    other.get_by_role("button", name="Cancel", exact=True).click()
    other.get_by_role("button", name="Cancel the run").click()

    for tab in (page, other):
        expect(tab.locator(".rr-head").get_by_text("cancelled", exact=True)).to_be_visible()
        expect(tab.get_by_role("button", name="Resume")).to_be_visible()
    done = counts(here, page)["done"]
    for tab in (page, other):
        expect(tab.locator(".rr-legend")).to_contain_text(f"done{done}")


def test_a_link_with_filter_search_and_sort_shows_the_same_to_somebody_else(
    here: Site, page: Page, browser: Browser
) -> None:
    run = stopped(here, "shared.csv", 250, bad=(2,))
    run.outcomes(D, range(3, 150))
    run.outcomes(F, range(150, 160))
    run.leave(RunState.STOPPED, "for looking at")
    here.board.open(page, "/run")  # the latest, without its id
    page.wait_for_url(f"**id={run.id}**")

    page.get_by_role("button", name="failed", exact=True).click()
    page.wait_for_url("**state=failed**")
    page.get_by_role("textbox", name="Search").fill("Reminder 15")
    page.get_by_role("textbox", name="Search").press("Enter")
    page.wait_for_url("**search=**")
    page.get_by_text("Descending").click()
    page.wait_for_url("**down=**")
    page.get_by_role("spinbutton", name="Open row").fill("155")
    page.get_by_role("spinbutton", name="Open row").press("Enter")
    expect(page.get_by_text("Row 155, line 156")).to_be_visible()

    somebody = browser.new_context(locale="de-DE").new_page()
    somebody.goto(page.url)
    settle(somebody, seconds=SECONDS)
    expect(somebody.get_by_text("1–10 of 10 rows")).to_be_visible()
    expect(somebody.get_by_text("Row 155, line 156")).to_be_visible()
    expect(somebody.get_by_role("textbox", name="Search")).to_have_value("Reminder 15")
    somebody.context.close()


def test_a_row_is_opened_by_keyboard_or_mouse_closed_and_its_page_is_in_the_address(here: Site, page: Page) -> None:
    run = stopped(here, "paged.csv", 250, bad=(2,))
    run.leave(RunState.STOPPED, "for looking at")
    here.board.open(page, f"/run?id={run.id}&page=2")
    expect(page.get_by_text("101–200 of 250 rows")).to_be_visible()

    page.get_by_role("button", name="Next page").click()
    expect(page.get_by_text("201–250 of 250 rows")).to_be_visible()
    page.wait_for_url("**page=3**")
    table = page.get_by_test_id("stDataFrame").locator("canvas").first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box
    page.mouse.click(box["x"] + 300, box["y"] + 55)  # what lies above the canvas takes the click for it
    expect(page.get_by_text("Row 201, line 202")).to_be_visible()
    page.wait_for_url("**row=201**")
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.get_by_text("Row 201, line 202")).to_be_hidden()

    for number in ("7", "8"):
        settle(page)  # what is typed before that can be lost
        page.get_by_role("spinbutton", name="Open row").focus()
        page.keyboard.press("Control+a")
        page.keyboard.type(number)
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"Row {number}, line")).to_be_visible()
        page.wait_for_url(f"**row={number}**")
        page.keyboard.press("Escape")
        expect(page.get_by_text(f"Row {number}, line")).to_be_hidden()
        expect(page.get_by_role("spinbutton", name="Open row")).to_have_value("")

    page.get_by_role("button", name="rejected", exact=True).click()
    expect(page.get_by_text("1–1 of 1 row", exact=True)).to_be_visible()
    page.wait_for_url("**state=rejected**")
    page.reload()
    expect(page.get_by_text("1–1 of 1 row", exact=True)).to_be_visible()


@pytest.mark.parametrize(
    "address", ["/run?id={id}&row=" + "9" * 5000, "/run?id={id}&page=" + "9" * 40 + "&row=²", "/run?id={id}&row=-1"]
)
def test_numbers_that_cannot_be_meant_do_no_harm(here: Site, page: Page, address: str) -> None:
    run = stopped(here, "numbers.csv", 150)
    run.leave(RunState.STOPPED, "for looking at")

    here.board.open(page, address.replace("{id}", run.id))

    expect(page.get_by_text("Click a row to see its request")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_file_that_is_not_there_is_not_said_to_be(here: Site, page: Page) -> None:
    for name in ("../../../../etc/passwd", "/etc/passwd", "nothing/here.csv"):
        here.board.open(page, f"/?file={name}")
        expect(page.get_by_text("That file is not here.")).to_be_visible()
        expect(page.get_by_text("Drop a file here")).to_be_visible()


def test_a_limit_that_was_shut_is_opened_by_a_person(here: Site, page: Page) -> None:
    from flows.limit.script import NAMES, Keys

    client = stopped(here, "latched.csv", 1).ledger.client
    client.sadd(NAMES, "shut-one")
    client.hset(Keys.of("shut-one").state, "latched", json.dumps({"reason": "HTTP 403", "run": "", "at": 1.0}))
    here.board.open(page, "/status")
    expect(page.get_by_text("The API has blocked this account: HTTP 403")).to_be_visible()

    page.get_by_role("button", name="Open shut-one").click()
    expect(page.get_by_role("dialog")).to_contain_text("Only do so if you know that the API lets us in again.")
    page.get_by_role("button", name="Open it").click()

    expect(page.get_by_text("The API has blocked this account: HTTP 403")).to_be_hidden()


def test_a_schedule_is_made_paused_and_removed(here: Site, page: Page) -> None:
    here.board.open(page, "/schedules")
    expect(page.get_by_text("Nothing is scheduled.")).to_be_visible()
    expect(page.get_by_text("Choose at least one day.")).to_be_visible()
    expect(page.get_by_role("checkbox", name="Leave out rows that were delivered before")).to_be_disabled()  # no key
    page.get_by_text("Monday", exact=True).click()
    expect(page.locator(".rr-list li")).to_have_count(5)
    expect(page.locator(".rr-list li").last).to_contain_text("Monday")
    page.get_by_text("advanced").click()
    page.get_by_text("As a calendar rule").click()
    expect(page.locator(".rr-list li").first).to_contain_text("Monday")
    page.get_by_role("textbox", name="Folder or URL").fill("../../etc")
    page.get_by_role("textbox", name="Folder or URL").press("Enter")
    page.get_by_role("button", name="Make the schedule").click()
    expect(page.get_by_text("What you have entered is kept.")).to_be_visible()
    page.get_by_role("textbox", name="Folder or URL").fill("")
    page.get_by_role("textbox", name="Folder or URL").press("Enter")
    page.get_by_text("on weekdays").click()
    page.get_by_role("button", name="Monday to Friday").click()
    expect(page.locator(".rr-list li")).to_have_count(5)

    page.get_by_role("button", name="Make the schedule").click()
    expect(page.get_by_text("Monday to Friday at 07:00")).to_be_visible()
    settle(page)
    page.get_by_role("button", name="Make the schedule").click()
    expect(page.get_by_text("There is such a schedule already.")).to_be_visible()
    page.get_by_role("button", name="Change", exact=True).click()
    page.get_by_role("dialog").get_by_text("Friday", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Change it").click()
    expect(page.get_by_text("Monday to Thursday at 07:00")).to_be_visible()
    settle(page)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("paused", exact=True)).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("active", exact=True)).to_be_visible()
    settle(page)  # a click before that can be lost
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("Nothing is scheduled.")).to_be_visible()


_FOCUSED = """() => {
  let element = document.activeElement;
  while (element.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  return (element.innerText || element.ariaLabel || "").trim();
}"""


def test_everything_can_be_reached_with_the_keyboard(here: Site, page: Page) -> None:
    here.board.open(page, "/?pipeline=posts")
    expect(page.get_by_text("Drop a file here")).to_be_visible()
    reached: set[str] = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(_FOCUSED))

    for wanted in ("Runs", "Schedules", "Choose a file", "Columns that the file needs", "inbox"):
        assert any(wanted in text for text in reached), (wanted, reached)


def test_no_page_asks_anything_of_another_server_and_none_can_be_framed(here: Site, page: Page) -> None:
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))

    for path in ("/", "/runs", "/run", "/schedules", "/status"):
        here.board.open(page, path)
    page.goto(f"{here.board.url}/api/docs")
    expect(page.get_by_role("heading", name="Rowrelay")).to_be_visible()
    expect(page.locator(".opblock")).not_to_have_count(0)

    assert [url for url in asked if not url.startswith((here.board.url, "data:", "blob:"))] == []
    for path in ("/", "/api/runs", "/api/docs"):
        headers = page.request.get(f"{here.board.url}{path}").headers
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_the_navigation_marks_the_page_that_a_check_or_a_run_belongs_to(here: Site, page: Page, tmp_path: Path) -> None:
    run = here.seed(write_posts(tmp_path / "posts.csv", 3))
    run.leave(RunState.CHECKING, "checked; nothing sent yet")
    chosen = "element => getComputedStyle(element).backgroundColor"

    for address, marked, other in ((f"/check?run={run.id}", "Send", "Runs"), (f"/run?id={run.id}", "Runs", "Send")):
        here.board.open(page, address)
        expect(page.get_by_role("button", name="Delete" if "run?" in address else "Send 3 rows")).to_be_visible()
        backgrounds = [page.get_by_role("link", name=name, exact=True).evaluate(chosen) for name in (marked, other)]
        assert (backgrounds[0] != "rgba(0, 0, 0, 0)", backgrounds[1]) == (True, "rgba(0, 0, 0, 0)")


def test_a_chosen_pill_looks_chosen_in_the_dark(here: Site, page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    here.board.open(page, "/schedules")

    page.get_by_role("button", name="Tuesday", exact=True).click()

    expect(page.locator("button[data-selected=true]", has_text="Tuesday")).to_have_css("color", "rgb(255, 255, 255)")
