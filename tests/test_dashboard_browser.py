"""The dashboard as a person uses it: real pages in a real browser, real stack, and a stand-in that counts."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from deployments.server import RedisServer
from deployments.stack import environment, use
from deployments.standin import Knobs, StandIn, serving
from flows.records import RunState
from flows.settings import Settings
from tests.browser import ROOT, Dashboard, dashboard, open_browser, settle
from tests.conftest import wait_until
from tests.seeding import seed, write_posts

SLOW = 30_000  # ms for what waits for a runner to take something up


@dataclass
class Site:
    """Everything that runs."""

    board: Dashboard
    api: StandIn
    redis: RedisServer
    settings: Settings
    browser: Browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A whole stack with a Redis that can be stopped, a runner, a stand-in API, the dashboard and a browser."""
    folder = tmp_path_factory.mktemp("site")
    api = StandIn(Knobs(ban_after=None, tag="title"))
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.delenv("PREFECT_API_URL", raising=False)
        redis = RedisServer(folder / "redis").start()
        stack.callback(redis.stop)
        address = stack.enter_context(serving(api))
        settings = Settings(data=folder / "data", redis_url=redis.url)  # type: ignore[arg-type]
        addresses = stack.enter_context(use(settings))
        variables = {
            **environment(addresses, settings),
            "POSTS_URL": address + "/posts",
            "ROWRELAY_MAX_UPLOAD_BYTES": "200000",
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        }
        runner = subprocess.Popen(
            [sys.executable, "-m", "deployments.serve"], cwd=ROOT, env={**os.environ, **variables}
        )
        stack.callback(_end, runner)
        board = stack.enter_context(dashboard(variables, folder / "dashboard.log"))
        browser = stack.enter_context(open_browser())
        wait_until(
            lambda: board.api("GET", "/status").json()[2]["well"], seconds=60, what="the runner to serve the pipelines"
        )
        yield Site(board, api, redis, settings, browser)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def page(site: Site) -> Iterator[Page]:
    """A fresh browser window; an error that a page's script throws fails the test."""
    site.api.arrivals.clear()
    context: BrowserContext = site.browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    page = context.new_page()
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    yield page
    context.close()
    assert thrown == []


def drop(site: Site, page: Page, name: str, content: bytes | str) -> None:
    """Open the Send page and give it a file."""
    site.board.open(page, "/")
    body = content.encode() if isinstance(content, str) else content
    page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "text/csv", "buffer": body})


def rows_file(first: int, count: int, extra: str = "") -> str:
    """Good rows with titles that nobody else uses."""
    return "userId,title,body\n" + "".join(f"{n % 9 + 1},t{n},b\n" for n in range(first, first + count)) + extra


def counts(site: Site, page: Page) -> dict[str, int]:
    """The run of the page as the API has it."""
    run = page.url.split("id=")[1].split("&")[0]
    found: dict[str, int] = site.board.api("GET", f"/runs/{run}").json()["counts"]
    return found


def test_a_file_with_mistakes_is_shown_sent_watched_and_taken_home(site: Site, page: Page) -> None:
    drop(site, page, "mixed.csv", rows_file(1, 20, "nobody,bad,b\n3,,no title\n"))

    expect(page.get_by_role("button", name="Send 20 good rows")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("The first requests, as they would go out")).to_be_visible()
    assert site.api.arrivals.details == []  # nothing was sent yet
    page.reload()  # what is shown is in the address, so a reload shows it again
    page.get_by_role("button", name="Send 20 good rows").click(timeout=SLOW)

    page.wait_for_url("**/run?id=*")
    expect(page.get_by_text("finished, some not done")).to_be_visible(timeout=SLOW)
    legend = page.locator(".rr-legend")
    expect(legend).to_contain_text("done20")
    expect(legend).to_contain_text("rejected2")
    expect(legend).to_contain_text("22rows")

    with page.expect_download() as taken:
        page.get_by_role("link", name="Results as JSON").click()
    results = json.loads(Path(taken.value.path()).read_text())["result"]
    assert [row["result"] for row in results] == ["done"] * 20 + ["rejected"] * 2
    assert sorted(arrival.tag for arrival in site.api.arrivals.details) == sorted(f"t{n}" for n in range(1, 21))

    with page.expect_download() as taken:
        page.get_by_role("link", name="2 rejected and failed rows").click()
    troubled = list(csv.DictReader(io.StringIO(Path(taken.value.path()).read_text())))
    assert [row["title"] for row in troubled] == ["bad", ""]
    assert "whole number" in troubled[0]["reason"]


def test_a_run_is_cancelled_and_resumed_and_no_row_is_sent_twice(site: Site, page: Page) -> None:
    drop(site, page, "long.csv", rows_file(100, 60))
    page.get_by_role("button", name="Send 60 rows").click(timeout=SLOW)
    page.wait_for_url("**/run?id=*")

    page.get_by_role("button", name="Cancel", exact=True).click(timeout=SLOW)
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_text("cancelled", exact=True)).to_be_visible(timeout=SLOW)
    before = counts(site, page)
    assert 0 < before["waiting"] < 60

    page.get_by_role("button", name=f"Resume: {before['waiting']} rows").click()
    page.get_by_role("dialog").get_by_role("button", name="Send", exact=True).click()
    expect(page.locator(".rr-head").get_by_text("finished", exact=True)).to_be_visible(timeout=SLOW)
    assert counts(site, page)["done"] == 60
    assert sorted(arrival.tag for arrival in site.api.arrivals.details) == sorted(f"t{n}" for n in range(100, 160))


def test_failed_rows_are_sent_again_after_one_question(site: Site, page: Page) -> None:
    site.api.knobs = site.api.knobs.model_copy(update={"faults": {"unprocessable": 1.0}})
    try:
        drop(site, page, "again.csv", rows_file(300, 5))
        page.get_by_role("button", name="Send 5 rows").click(timeout=SLOW)
        page.wait_for_url("**/run?id=*")
        again = page.get_by_role("button", name="Send 5 failed again")
        expect(again).to_be_visible(timeout=SLOW)
    finally:
        site.api.knobs = site.api.knobs.model_copy(update={"faults": {}})

    again.click()
    page.get_by_role("button", name="Send again").click()
    expect(page.locator(".rr-head").get_by_text("finished", exact=True)).to_be_visible(timeout=SLOW)
    assert counts(site, page)["done"] == 5
    assert len(site.api.arrivals.details) == 10


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("picture.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(200), None),
        ("wrong.csv", "name,age\nx,1\n", "userId"),
        ("big.csv", b"x" * 300_000, "may be uploaded"),
        ("empty.csv", b"", "is empty"),
    ],
)
def test_a_file_that_will_not_do_is_refused_in_words(
    site: Site, page: Page, name: str, content: bytes | str, says: str | None
) -> None:
    drop(site, page, name, content)

    box = page.locator(".rr-bad, .trouble")
    expect(box).to_be_visible(timeout=SLOW)
    if says:
        expect(box).to_contain_text(says)
    assert site.api.arrivals.details == []


def test_text_from_a_file_is_shown_as_text(site: Site, page: Page) -> None:
    evil = "<img src=x onerror=window.hacked=1>"
    file = (
        f'userId,title,body\n1,{evil},"[x](javascript:alert(1)) **b** :red[r] $x$"\n'
        f"{evil},\u202egnp,=cmd()\n2,{'w' * 10_000},x\n"
    )

    drop(site, page, f"{evil}.csv", file)
    page.get_by_role("button", name="Send 2 good rows").click(timeout=SLOW)
    page.wait_for_url("**/run?id=*")
    expect(page.get_by_text("finished, some not done")).to_be_visible(timeout=SLOW)
    for row in (1, 2, 3):
        page.goto(f"{page.url.split('&')[0]}&row={row}")
        settle(page)
        expect(page.get_by_text(f"Row {row}, line")).to_be_visible()
    site.board.open(page, "/runs")

    expect(page.get_by_role("link", name="_img src=x onerror=window.hacked=1_.csv")).to_be_visible()
    assert page.evaluate("() => window.hacked") is None
    assert page.evaluate("() => document.body.scrollWidth <= window.innerWidth")
    assert page.locator("img[src=x]").count() == 0


def test_the_page_says_that_redis_is_away_and_goes_on_when_it_is_back(site: Site, page: Page) -> None:
    drop(site, page, "patience.csv", rows_file(500, 6))
    page.get_by_role("button", name="Send 6 rows").click(timeout=SLOW)
    page.wait_for_url("**/run?id=*")
    expect(page.locator(".rr-head").get_by_text("finished", exact=True)).to_be_visible(timeout=SLOW)

    site.redis.stop()
    try:
        expect(page.get_by_text("Redis does not answer.").first).to_be_visible(timeout=SLOW)
        assert "Traceback" not in page.content()
    finally:
        site.redis.start()
    expect(page.locator(".rr-legend")).to_contain_text("done6", timeout=SLOW)


def test_a_schedule_is_made_paused_and_removed(site: Site, page: Page) -> None:
    site.board.open(page, "/schedules")
    expect(page.get_by_text("Nothing is scheduled.")).to_be_visible(timeout=SLOW)
    expect(page.locator(".rr-list li")).to_have_count(5)

    page.get_by_role("button", name="Make the schedule").click()
    expect(page.get_by_text("Monday to Friday at 06:00")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("paused", exact=True)).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("Nothing is scheduled.")).to_be_visible(timeout=SLOW)


_FOCUSED = """() => {
  let element = document.activeElement;
  while (element.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  return (element.innerText || element.ariaLabel || "").trim();
}"""


def test_everything_can_be_reached_with_the_keyboard(site: Site, page: Page) -> None:
    site.board.open(page, "/")
    reached: set[str] = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(_FOCUSED))

    assert any("Choose a file" in text for text in reached)
    assert any("Columns that the file needs" in text for text in reached)
    assert any("inbox" in text for text in reached)


def test_no_page_asks_anything_of_another_server(site: Site, page: Page) -> None:
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))

    for path in ("/", "/runs", "/run", "/schedules", "/status"):
        site.board.open(page, path)

    assert [url for url in asked if not url.startswith((site.board.url, "data:", "blob:"))] == []


def test_a_row_is_opened_closed_and_its_page_is_in_the_address(site: Site, page: Page) -> None:
    run = seed(site.settings, site.redis.url, write_posts(site.settings.data / "paged.csv", 250, bad=(2,)))
    run.leave(RunState.STOPPED, "for looking at")
    site.board.open(page, f"/run?id={run.id}&page=2")
    expect(page.get_by_text("101–200 of 250 rows")).to_be_visible(timeout=SLOW)

    page.get_by_role("button", name="Next page").click()
    expect(page.get_by_text("201–250 of 250 rows")).to_be_visible()
    page.wait_for_url("**page=3**")
    table = page.get_by_test_id("stDataFrame").locator("canvas").first
    table.click(position={"x": 18, "y": 55})
    expect(page.get_by_text("Row 201, line 202")).to_be_visible(timeout=SLOW)
    page.wait_for_url("**row=201**")
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.get_by_text("Row 201, line 202")).to_be_hidden()

    page.get_by_role("button", name="rejected", exact=True).click()
    expect(page.get_by_text("1–1 of 1 rows")).to_be_visible(timeout=SLOW)
    page.wait_for_url("**state=rejected**")
    page.reload()
    expect(page.get_by_text("1–1 of 1 rows")).to_be_visible(timeout=SLOW)
