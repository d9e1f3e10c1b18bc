"""Hostile inputs, and what pages and HTTP API do with them: shown as text, made harmless, or refused in words.

The tables below are the list of what was tried. `window.hacked` is what every script among them would set; it is looked
at on every page after it has loaded.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dashboard.words import visible
from deployments.embedded.redis_server import RedisServer
from flows.records import RowState, RunState
from flows.settings import Settings
from flows.sheet import restored
from tests.harness.browser import Dashboard, dashboard, open_browser, open_windows, settle
from tests.harness.seeding import Seeded, seed
from tests.harness.wait import wait_until

HACK = "window.hacked=1"
CELLS = {
    "HTML, an image that fails": f"<img src=x onerror={HACK}>",
    "HTML, a script": f"<script>{HACK}</script>",
    "HTML, out of an attribute": f'" onmouseover="{HACK}" autofocus onfocus="{HACK}" x="',
    "HTML, a frame": f'<iframe srcdoc="<script>parent.{HACK}</script>"></iframe>',
    "HTML, an SVG": f"<svg onload={HACK}>",
    "HTML, entities": f"&lt;script&gt;{HACK}&lt;/script&gt;",
    "HTML, a style that hides the page": "<style>body{display:none}</style>",
    "Markdown, a link that runs": f"[x](javascript:{HACK}) **bold** `code`",
    "Markdown, an image from elsewhere": "![x](http://evil.example/pixel.png)",
    "Streamlit's colours, icons and mathematics": ":red[red] :material/delete: $x^2$ :small[x]",
    "a template": "{{7*7}} ${7*7} <%= 7*7 %> {userId}",
    "a formula": '=HYPERLINK("http://evil.example","click")',
    "a formula after a line break": "\n=1+1",
    "a formula in full width": "＝cmd|'/c calc'!A0",
    "a formula behind a plus": "+1+1",
    "a formula behind an at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "marks that turn the direction": "\u202egpj.exe\u202c \u2066x\u2069 \u061c",
    "characters that cannot be seen": "pay\u200bpal\u200d\u2060\ufeff",
    "line separators": "a\u2028b\u2029c",
    "controls and an escape sequence": "\x1b[31mred\x07\x08",
    "ten thousand characters": "w" * 10_000,
    "a thousand combining marks": "a" + "\u0301" * 1000,
    "a path": "../../../../etc/passwd",
    "SQL": "'; DROP TABLE rows; --",
}
NAMES = {  # what is asked for, and the name it gets; None: refused
    "a way up": ("..%2F..%2Fetc%2Fpasswd", None),
    "a way up in backslashes": ("..%5C..%5Cevil.csv", None),
    "a line break and a zero": ("a%0D%0ASet-Cookie:x%00.csv", None),
    "a line break": ("a%0D%0ASet-Cookie:x.csv", "aSet-Cookie_x.csv"),
    "a mark that turns the direction": ("%E2%80%AEvsc.gpj", "vsc.gpj"),
    "HTML": ("%3Cimg%20src=x%20onerror=window.hacked=1%3E.csv", "_img src=x onerror=window.hacked=1_.csv"),
    "a hidden file": (".htaccess", "htaccess"),
    "dots": ("...", "file.csv"),
    "a very long one": ("x" * 3000 + ".csv", "x" * 116 + ".csv"),
    "quotes": ("a%22b'c.csv", "a_b'c.csv"),
    "a formula": ("=cmd().csv", "=cmd().csv"),
}


@dataclass
class Place:
    """A dashboard without Prefect."""

    board: Dashboard
    settings: Settings
    redis: str
    run: Seeded


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A run whose every cell, reason, answer, event and name is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    file = folder / "hostile.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(["userId", "title", "body", f"<b onclick={HACK}>"])
        table.writerows([n % 9 + 1, text, text, text] for n, text in enumerate(CELLS.values()))
        table.writerows([text, text, text, text] for text in CELLS.values())  # rejected: userId is no number
    with ExitStack() as stack:
        redis = RedisServer(folder / "redis").start()
        stack.callback(redis.stop)
        settings = Settings(data=folder / "data", redis_url=redis.url)  # type: ignore[arg-type]
        evil = CELLS["HTML, an image that fails"]
        run = seed(settings, redis.url, file, by=evil, name=f"{evil}\u202e.csv")
        run.outcomes(RowState.DONE, range(1, 10))
        run.outcomes(RowState.FAILED, range(10, len(CELLS) + 1))
        run.ledger.event(run.id, f"{evil} {CELLS['Markdown, a link that runs']}")
        run.leave(RunState.STOPPED, f"{evil}\n{CELLS['HTML, a script']}")
        environment = {
            "ROWRELAY_DATA": str(settings.data),
            "ROWRELAY_REDIS_URL": redis.url,
            "ROWRELAY_MAX_UPLOAD_BYTES": "100000",
            "PREFECT_API_URL": "http://127.0.0.1:9/api",
        }
        settings.inbox.mkdir(parents=True)
        (settings.inbox / f"{evil.replace('/', '')}\n**b**.csv").write_text("x\n1\n")
        yield Place(stack.enter_context(dashboard(environment, folder / "log")), settings, redis.url, run)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; its absence is a failure, never a skip."""
    expect.set_options(timeout=90_000)
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def windows(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with open_windows(browser, tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def page(windows: BrowserContext) -> Iterator[Page]:
    """A window that sees no dialog, no error, and no request to elsewhere."""
    page = windows.new_page()
    page.set_default_timeout(90_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message) or dialog.dismiss())
    page.on("request", lambda request: wrong.append(request.url) if "evil" in urlsplit(request.url).netloc else None)
    yield page
    page.close()
    assert wrong == []


def harmless(page: Page) -> None:
    """Nothing of what was shown has become anything but text."""
    page.wait_for_timeout(150)  # whatever it loads fails or runs at once
    assert page.evaluate("() => window.hacked") is None
    assert page.locator("img[src=x], iframe[srcdoc], svg[onload], [onclick], [onmouseover], [onfocus]").count() == 0
    assert page.locator('a[href^="javascript:"], img[src*="evil.example"]').count() == 0
    assert page.evaluate("() => document.body.scrollWidth <= window.innerWidth")
    assert page.locator(".stMainBlockContainer").is_visible()


@pytest.mark.parametrize(
    "path", ["/", "/check?run={id}", "/runs", "/run?id={id}", "/run?id={id}&state=failed", "/schedules", "/status"]
)
def test_no_page_takes_text_for_anything_else(place: Place, page: Page, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    place.board.open(page, path.replace("{id}", place.run.id))
    harmless(page)

    page.set_viewport_size({"width": 1280, "height": 900})
    harmless(page)


def test_a_hostile_cell_is_shown_as_what_it_is(place: Place, page: Page) -> None:
    first = len(CELLS) + 1  # the rows that were rejected, as they stand in the file
    place.board.open(page, f"/run?id={place.run.id}&row={first}")
    for number, (what, cell) in enumerate(CELLS.items(), first):
        if number > first:  # another row of the same page: loading it anew for each costs a second
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_be_hidden()
            page.wait_for_url(lambda url: "row=" not in url)
            settle(page)
            page.get_by_role("spinbutton", name="Open row").fill(str(number))
            page.get_by_role("spinbutton", name="Open row").press("Enter")
        expect(page.get_by_text(f"Row {number}, line")).to_be_visible()
        code = page.locator(".rr-code").last
        wait_until(lambda: visible(cell).strip() in code.inner_text(), what=what)  # noqa: B023  called at once
        assert not any(char in code.inner_text() for char in "\u202e\u2066\u061c\u200b\u2028\x1b"), what
        harmless(page)


def test_a_hostile_row_that_was_sent_is_shown_with_its_request(place: Place, page: Page) -> None:
    for number in (1, 3, 12, 17):
        place.board.open(page, f"/run?id={place.run.id}&row={number}")
        expect(page.get_by_text("Its request, secrets masked")).to_be_visible()
        harmless(page)


@pytest.mark.parametrize("path", ["/run?id={id}&search={}&sort={}&in={}", "/runs?find={}&of={}"])
def test_a_search_for_something_hostile_is_a_search(place: Place, page: Page, path: str) -> None:
    for what in ("HTML, an image that fails", "Markdown, a link that runs", "SQL", "marks that turn the direction"):
        place.board.open(page, path.replace("{id}", place.run.id).replace("{}", quote(CELLS[what])))
        harmless(page)


@pytest.mark.parametrize(
    "path",
    [
        "/run?id={}",
        "/check?run={}",
        "/?run={}",
        "/?file={}",
        "/?pipeline={}",
        "/runs?kind={}",
        "/run?id={}&row={}&page={}",
    ],
)
def test_an_address_with_something_hostile_in_it_is_an_address(place: Place, page: Page, path: str) -> None:
    for text in (
        CELLS["HTML, an image that fails"],
        "../" * 30 + "etc/passwd",
        "\n\x00\u202e",
    ):
        place.board.open(page, path.replace("{}", quote(text)))
        harmless(page)


def test_no_download_holds_a_formula_and_each_can_be_restored(place: Place) -> None:
    for path, column in (("results.csv", "title"), ("troubled.csv", "title")):
        answer = place.board.api("GET", f"/runs/{place.run.id}/{path}")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert "\n" not in answer.headers["content-disposition"]
        lines = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
        for cell in (cell for line in lines for cell in line):
            assert not cell.strip().startswith(("=", "+", "@", "＝")), cell
        at = lines[0].index(column)
        back = {restored(line[at]) for line in lines[1:]}
        assert set(CELLS.values()) - back == set()


def test_json_gives_every_cell_back_as_it_was(place: Place) -> None:
    rows = place.board.api("GET", f"/runs/{place.run.id}/results.json").json()["result"]

    assert [row["title"] for row in rows] == [*CELLS.values()] * 2


@pytest.mark.parametrize("what", NAMES)
def test_a_hostile_file_name_is_made_harmless(place: Place, what: str) -> None:
    asked, name = NAMES[what]
    before = set(place.settings.uploads.rglob("*"))

    answer = httpx.request(
        "PUT", f"{place.board.url}/api/files/{asked}", content=b"x\n1\n", trust_env=False, timeout=60
    )

    new = [path for path in set(place.settings.uploads.rglob("*")) - before if path.is_file()]
    if name is None:
        assert (answer.status_code, new) == (400, [])
        return
    assert answer.json()["name"] == name
    assert [path.name for path in new] == [name]
    assert new[0].parent.parent == place.settings.uploads
    assert not Path(place.settings.data.parent / "etc").exists()


PLAIN = b"userId,title,body\n" + b"1,a,b\n" * 2_000_000
BOMBS: dict[str, Callable[[], bytes]] = {
    "one that unpacks to 12 MB": lambda: gzip.compress(PLAIN),
    "one of zeros": lambda: gzip.compress(bytes(60_000_000)),
    "one within another": lambda: gzip.compress(gzip.compress(bytes(50_000_000))),
    "one in many members": lambda: gzip.compress(b"userId,title,body\n") + gzip.compress(b"1,a,b\n" * 20_000) * 60,
    "one that is cut off": lambda: gzip.compress(PLAIN)[:5000],
    "none at all": lambda: b"\x1f\x8b" + os.urandom(500),
    "another kind of packing": lambda: zlib.compress(PLAIN),
}


@pytest.mark.parametrize(
    "path", ["/runs/..%2F..%2Fetc/results.json", "/runs/%00", "/files/..%2Fx", "/assets/..%2F..%2Fx"]
)
def test_an_address_with_a_way_up_or_a_zero_is_refused_outright(place: Place, path: str) -> None:
    assert place.board.api("GET", path).status_code == 400


@pytest.mark.parametrize("what", list(BOMBS))
def test_a_packed_file_that_unpacks_to_too_much_is_refused(place: Place, what: str) -> None:
    from flows.errors import FileError

    bomb = BOMBS[what]()
    answer = place.board.api("PUT", "/files/bomb.csv.gz", content=bomb)
    assert answer.status_code == 201  # it is small as it lies there

    settings = place.settings.model_copy(update={"max_upload_bytes": 100_000})
    with pytest.raises(FileError):
        seed(settings, place.redis, settings.uploads / answer.json()["file"])


EVIL = "https://evil.example"
FORGED = {
    "another site's form": ({"Origin": EVIL, "Content-Type": "text/plain"}, 403),
    "another site's script": ({"Sec-Fetch-Site": "cross-site", "Origin": EVIL}, 403),
    "a neighbour on the same machine": ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9999"}, 403),
    "a page without an origin": ({"Origin": "null"}, 403),
    "a name that points here": ({"Host": "evil.example"}, 421),
    "a name that points here, with its origin": (
        {"Host": "evil.example:8501", "Origin": "http://evil.example:8501"},
        421,
    ),
    "a name that begins like ours": ({"Host": "127.0.0.1.evil.example"}, 421),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_request_changes_nothing(place: Place, what: str) -> None:
    headers, status = FORGED[what]
    path = f"/runs/{place.run.id}"

    for method, where, more in (
        ("DELETE", path, {}),
        ("POST", f"{path}/resume", {"content": b"{}"}),
        ("POST", f"{path}/mark-done", {}),
        ("POST", f"{path}/mend", {"content": b'{"undo": 1}'}),
        ("POST", f"{path}/cancel", {}),
        ("POST", "/runs", {"content": b'{"pipeline": "posts", "file": "x.csv"}'}),
        ("PUT", "/files/forged.csv", {"content": b"x\n1\n"}),
        ("POST", "/limits/jsonplaceholder/open", {}),
        ("POST", "/schedules", {"content": b"{}"}),
    ):
        answer = place.board.api(method, where, headers=headers, **more)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), where

    assert place.board.api("GET", path).json()["state"] == "stopped"
    assert not any(place.settings.uploads.rglob("forged.csv"))


def test_an_upload_that_a_browser_sends_for_another_site_is_refused(place: Place) -> None:
    for site, origin in (
        ("cross-site", place.board.url),
        ("none", place.board.url),
        ("same-origin", "http://evil.example"),
    ):
        own = {"Sec-Fetch-Site": site, "Origin": origin}
        answer = place.board.api("PUT", "/files/forged.csv", content=b"x\n1\n", headers=own)
        assert answer.status_code == 403
    assert not any(place.settings.uploads.rglob("forged.csv"))


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/runs/{id}/rows?cursor=WyJyb3ciLDk5OTk5OTk5OTk5OTk5OTk5OTk5XQ", None, 422),
        ("GET", "/runs/{id}/rows?cursor=WyJyb3ciLC0xXQ", None, 422),
        ("GET", "/runs/{id}/rows?page=2", None, 422),
        ("GET", "/runs/{id}/rows?limit=100000000", None, 422),
        ("GET", "/runs/{id}/rows?state=nonsense", None, 422),
        ("GET", "/runs/{id}/rows/99999999999999999999", None, 404),
        ("GET", "/runs/{id}/rows/0", None, 404),
        ("GET", "/runs/*", None, 404),
        ("GET", "/runs/%0A", None, 404),
        ("DELETE", "/runs/last", None, 404),
        ("DELETE", "/runs/{short}", None, 404),
        ("POST", "/runs", b"not json", 422),
        ("POST", "/runs", b"[" * 100_000, 400),
        ("POST", "/runs", b'{"pipeline": "posts", "file": "/etc/passwd"}', 400),
        ("POST", "/runs", b'{"pipeline": "posts", "file": "../../../etc/passwd"}', 400),
        ("POST", "/runs", b'{"pipeline": "posts", "file": "a\\nb"}', 400),
        ("POST", "/runs", b'{"pipeline": "<script>", "file": "x"}', 400),
        ("POST", "/runs", b'{"pipeline": "posts", "file": "x", "trusted": true}', 422),
        ("POST", "/runs/{id}/mark-done", b'{"rows": [0, -1, 99999999]}', 404),
        ("POST", "/runs/{id}/mend", b'{"changes": [{"row": 1e999, "skip": true}]}', 422),
        (
            "POST",
            "/runs/{id}/mend",
            b'{"changes": [{"column": "userId", "value": "x", "becomes": "1", "all": 1}]}',
            422,
        ),
        ("POST", "/runs/{id}/mend", b'{"undo": 99999999999999999999}', 409),
        ("GET", "/runs/{id}/groups?state=done", None, 422),
        ("PATCH", "/schedules/nothing", b'{"active": 1e999}', 422),
    ],
)
def test_a_request_that_makes_no_sense_is_answered_in_one_form(
    place: Place, method: str, path: str, body: bytes | None, status: int
) -> None:
    where = path.replace("{id}", place.run.id).replace("{short}", place.run.id[:8])
    headers = {"Content-Type": "application/json"} if body else {}

    answer = place.board.api(method, where, content=body, headers=headers)

    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text
    assert place.run.delivery.view.run(place.run.id).counts[RowState.DONE] == 9


def test_no_table_gives_formulas_out_by_a_download_of_its_own(place: Place, page: Page) -> None:
    place.board.open(page, f"/run?id={place.run.id}")
    page.get_by_test_id("stDataFrame").hover()

    tools = page.get_by_test_id("stElementToolbar")
    expect(tools.get_by_role("button", name="Search")).to_be_visible()  # so it is there, and says what it can do
    assert tools.get_by_role("button", name=re.compile("csv", re.IGNORECASE)).count() == 0  # charts: pictures


def test_the_documentation_can_try_out_an_upload(place: Place, page: Page) -> None:
    page.goto(f"{place.board.url}/api/docs")
    upload = page.locator(".opblock-put", has_text="/files/{file}")
    upload.locator("button.opblock-summary-control").click()
    upload.get_by_role("button", name="Try it out").click()
    upload.get_by_placeholder("file", exact=True).fill("tried.csv")
    upload.locator("input[type=file]").set_input_files(
        {"name": "tried.csv", "mimeType": "text/csv", "buffer": b"userId,title,body\n1,a,b\n"}
    )

    upload.get_by_role("button", name="Execute").click()

    expect(upload.locator(".live-responses-table .response-col_status").last).to_contain_text("201")
    (kept,) = place.settings.uploads.rglob("tried.csv")
    assert kept.read_bytes() == b"userId,title,body\n1,a,b\n"
