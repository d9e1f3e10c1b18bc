"""Pictures of every page and state, light and dark, wide and narrow: `… screenshots [FOLDER [NAME…]]`.

They go to /shots, which is not committed; those that the README shows go to docs/images too. Look at them. With names,
only those pictures are taken.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from flows.ledger.ledger import Ledger
from flows.pipeline.pipelines import present
from flows.records import RowState, RunState
from flows.settings import Settings
from tests.harness.browser import ROOT, Dashboard, open_browser, settle
from tests.harness.dashboard_site import Site, site
from tests.harness.seeding import Seeded, seed, write_posts
from tests.harness.wait import wait_until

D, F, U = RowState.DONE, RowState.FAILED, RowState.UNKNOWN
SIZES = ((1280, "light"), (1280, "dark"), (390, "dark"), (390, "light"))
README = {"check-rejected-1280-light": "check.png", "runs-1280-dark": "runs.png"}


def main(folder: Path, *names: str) -> None:
    """Seed a ledger, start a dashboard on it, and take all pictures, or those with these names."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp())
    with ExitStack() as stack:
        here = stack.enter_context(site(place, ROWRELAY_PIPELINES="", ROWRELAY_MAX_UPLOAD_BYTES="10737418240"))
        shoot = shooter(stack.enter_context(open_browser()), here.board, folder, names)
        empty(shoot)
        runs = seed_all(here.settings, here.redis.url)
        every_run(shoot, here, runs)
        schedules(shoot, here)
        away(shoot, here, runs)
    for picture, name in README.items():
        if (folder / f"{picture}.png").exists():
            for_readme(folder / f"{picture}.png", ROOT / "docs" / "images" / name)
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")


def empty(shoot: Callable[..., None]) -> None:
    """Every page where there is nothing yet, and uploads that will not do."""
    shoot("send-empty", "/")
    shoot("send-columns", "/", lambda page: page.get_by_text("Columns that the file needs").click())
    shoot("send-not-there", "/?file=gone/away.csv")
    shoot("upload-refused", "/", lambda page: page.locator("input[type=file]").set_input_files(
        {"name": "nothing.csv", "mimeType": "text/csv", "buffer": b""}))  # fmt: skip
    for name in ("runs", "run", "schedules"):
        shoot(f"{name}-empty", f"/{name}")
    shoot("status", "/status")
    shoot("api-docs", "/api/docs", plain=True)


def every_run(shoot: Callable[..., None], here: Site, runs: dict[str, str]) -> None:
    """Runs in every state, on the page that shows them."""
    for name, run in runs.items():
        shoot(name, f"/check?run={run}" if name.startswith("check") else f"/run?id={run}")
    errors = f"/run?id={runs['run-with-errors']}"
    by_cell = f"/check?run={runs['check-rejected']}"
    shoot("check-mend-cells", by_cell, lambda page: page.get_by_role("tab", name="Cell by cell").click())
    shoot("run-checking", f"/run?id={runs['checking']}")
    shoot("run-row-open", f"{errors}&state=failed&row=41")
    shoot("run-no-row-fits", f"{errors}&search=nothing+like+it")
    shoot("run-delete", errors, lambda page: page.get_by_role("button", name="Delete").click())
    shoot("run-unknown", "/run?id=" + str(uuid4()))
    shoot("runs", "/runs")
    shoot("runs-none-fits", "/runs?find=nothing+like+it")
    latch(here.redis.url)
    shoot("status-latched", "/status")
    with here.nobody_works():
        shoot("check-waits", f"/check?run={here.start(here.upload('early.csv', 'userId,title,body'), dry_run=True)}")


def schedules(shoot: Callable[..., None], here: Site) -> None:
    """Schedules, planned by Prefect."""
    for rule in ({"cron": "0 6 * * 1-5"}, {"rrule": "FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9;BYMINUTE=0;BYSECOND=0"}):
        here.board.api("POST", "/schedules", json={"pipeline": "posts", "timezone": "Europe/Berlin", **rule})
    paused = here.board.api("POST", "/schedules", json={"pipeline": "posts", "interval_seconds": 7200})
    assert paused.status_code == 201, paused.text
    each = next(each for each in here.board.api("GET", "/schedules").json()["items"] if each["rule"] == "every 2 hours")
    here.board.api("PATCH", f"/schedules/{each['id']}", json={"active": False})
    wait_until(
        lambda: sum(bool(each["next_times"]) for each in here.board.api("GET", "/schedules").json()["items"]) >= 2,
        seconds=90,
    )
    shoot("schedules", "/schedules")
    shoot("schedules-calendar", "/schedules", lambda page: page.get_by_text("advanced").click())


def away(shoot: Callable[..., None], here: Site, runs: dict[str, str]) -> None:
    """Prefect away, then Redis."""
    here.prefect.shut()
    shoot("schedules-prefect-away", "/schedules")
    shoot("status-prefect-away", "/status")
    file = here.upload("in-hand.csv", "userId,title,body")

    def check(page: Page) -> None:
        page.get_by_role("button", name="Check this file").click()
        expect(page.get_by_text("The file is kept")).to_be_visible(timeout=90_000)

    shoot("send-prefect-away", f"/?file={file}", check)
    here.redis.stop()
    shoot("run-redis-away", f"/run?id={runs['run-live']}")
    shoot("runs-redis-away", "/runs")
    shoot("status-redis-away", "/status")
    shoot("send-redis-away", f"/check?run={runs['check-good']}")
    here.redis.start()
    here.board.api("GET", "/runs")
    shoot("run-redis-back", f"/run?id={runs['run-live']}")

    def outage(page: Page) -> None:
        here.redis.stop()
        expect(page.get_by_text("Redis does not answer.").first).to_be_visible(timeout=90_000)

    shoot("run-redis-goes", f"/run?id={runs['run-with-errors']}", outage)


def for_readme(picture: Path, to: Path) -> None:
    """A picture in few colours: the same to look at, and small enough to be kept with the code."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(picture) as image:
        image.crop((0, 0, image.width, min(image.height, 1100))).quantize(200).save(to, optimize=True)


def seed_all(settings: Settings, redis_url: str) -> dict[str, str]:
    """A run in every state there is."""
    folder = Path(tempfile.mkdtemp())

    def posts(name: str, rows: int, bad: tuple[int, ...] = (), by: str = "dashboard") -> Seeded:
        return seed(settings, redis_url, write_posts(folder / name, rows, bad=bad), by=by)

    def bare(name: str, *, state: RunState | None = None, reason: str = "", **facts: float) -> str:
        """A run whose check has not come to its end."""
        run, definition, ledger = str(uuid4()), present(settings)["posts"], Ledger(good.ledger.client)
        ledger.create(run, definition=definition.resolved(), by="dashboard", pipeline="posts", file=name, name=name)
        epoch = ledger.take(run, "pictures", resume=False, lease_seconds=3600)
        if facts:
            ledger.facts(run, **facts)
        if state:
            ledger.end(run, epoch, state, reason)
        return run

    good = posts("customers-november.csv", 480)
    good.leave(RunState.CHECKING, "checked; nothing sent yet")
    rejected = posts("leads-fair.csv", 1284, bad=(3, 17, 18, 90, 211, 640))
    rejected.leave(RunState.CHECKING, "checked; nothing sent yet")
    done = posts("newsletter-2026-11.csv", 320, by="schedule")
    done.outcomes(D, range(1, 321))
    done.spread(rate=6.4, seconds=50)
    done.leave(RunState.FINISHED, peak=7, sent=320, seconds=50, rate=6.4, used_of_guaranteed=0.98)
    errors = posts("invoices-q4.csv", 400, bad=(5, 6))
    errors.outcomes(D, [row for row in range(1, 401) if row not in (5, 6) and row % 41 and row % 97])
    errors.outcomes(F, [row for row in range(1, 401) if row % 41 == 0])
    errors.outcomes(U, [row for row in range(1, 401) if row % 97 == 0])
    errors.spread(rate=6.4, seconds=62, failed_every=7)
    errors.ledger.event(errors.id, "API asked us to wait 2 s")
    errors.ledger.event(errors.id, "1 row got no answer in time and is unknown")
    errors.leave(RunState.FINISHED, peak=7, sent=403, seconds=62, rate=6.45, used_of_guaranteed=0.97)
    banned = posts("contacts.csv", 900, by="Prefect")
    banned.outcomes(D, range(1, 301))
    banned.spread(rate=6.4, seconds=47)
    banned.leave(
        RunState.STOPPED,
        "The API has shut us out (HTTP 403 with an HTML page). Nothing is sent under the limit 'jsonplaceholder' until "
        "a person opens it.\nSettle it with whoever runs the API, then `rowrelay limits open jsonplaceholder`.",
        peak=7, sent=301, seconds=47, rate=6.4,
    )  # fmt: skip
    cancelled = posts("test-batch.csv", 200, by="command line")
    cancelled.outcomes(D, range(1, 41))
    cancelled.spread(rate=6.4, seconds=6)
    cancelled.leave(RunState.CANCELLED, "cancelled before everything was sent", peak=7, sent=40, seconds=6, rate=6.4)
    lost = posts("orders.csv", 500)
    lost.outcomes(D, range(1, 101))
    lost.sending([101, 102])
    lost.ledger.renew(lost.id, lost.delivery.lease.epoch, lease_seconds=0.001)
    live = posts("tickets-2026.csv", 2500, bad=(8, 9))
    live.outcomes(D, [row for row in range(1, 1101) if row not in (8, 9) and row % 97])
    live.outcomes(F, [row for row in range(1, 1101) if row % 97 == 0 and row % 2])
    live.outcomes(U, [row for row in range(1, 1101) if row % 97 == 0 and row % 2 == 0])
    live.sending(range(1101, 1107))
    live.spread(rate=6.4, seconds=170, failed_every=23)
    live.ledger.facts(live.id, peak=7)
    live.ledger.event(live.id, "API asked us to wait 2 s")
    live.ledger.renew(live.id, live.delivery.lease.epoch, lease_seconds=3600)
    again = posts("newsletter-2026-11 (1).csv", 320)
    again.leave(RunState.CHECKING, "checked; nothing sent yet")
    refused = bare(
        "people.csv", state=RunState.STOPPED,
        reason="people.csv:1: its columns are not those of the pipeline (userId, title, body). missing: userId, title, "
        "body; unknown: name, age\nThe first line must name the columns; found 'name,age'.",
    )  # fmt: skip
    seeded = {
        "check-good": good, "check-rejected": rejected, "check-same-content": again, "run-done": done,
        "run-with-errors": errors, "run-banned": banned, "run-cancelled": cancelled, "run-interrupted": lost,
        "run-live": live,
    }  # fmt: skip
    return {name: run.id for name, run in seeded.items()} | {
        "checking": bare("orders-all.csv", checked_rows=260_000, checked_bytes=21_000_000, file_bytes=74_000_000),
        "check-refused": refused,
        "check-cancelled": bare("orders-old.csv", state=RunState.CANCELLED, reason="cancelled"),
        "run-refused": refused,
    }


def latch(redis_url: str) -> None:
    """A limit that the API has shut."""
    import json

    import redis

    from flows.limit.script import NAMES, Keys

    with redis.Redis.from_url(redis_url) as client:
        client.sadd(NAMES, "jsonplaceholder")
        latched = {"reason": "HTTP 403 with an HTML page", "run": "", "at": time.time() - 300}
        client.hset(Keys.of("jsonplaceholder").state, "latched", json.dumps(latched))


def shooter(browser: Browser, site: Dashboard, folder: Path, names: Sequence[str]) -> Callable[..., None]:
    """A function that takes one page in all sizes and both themes."""

    context = browser.new_context(locale="en-GB", timezone_id="Europe/Berlin")
    page = context.new_page()
    page.on("console", lambda said: print(f"{page.url}: {said.text}") if said.type in ("error", "warning") else None)

    def shoot(name: str, path: str, act: Callable[[Page], object] | None = None, *, plain: bool = False) -> None:
        if names and name not in names:
            return
        page.set_viewport_size({"width": 1280, "height": 900})
        page.emulate_media(color_scheme="light")
        page.goto(site.url + path)
        if not plain:
            settle(page)
        page.wait_for_timeout(900)
        if act:
            act(page)
            page.wait_for_timeout(600)
        for width, scheme in SIZES:
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(250)
            # Streamlit scrolls inside the page, so the picture is made as tall as what there is to see.
            height = page.evaluate("() => document.querySelector('.stMainBlockContainer')?.scrollHeight + 60 || 900")
            page.set_viewport_size({"width": width, "height": max(700, min(int(height), 4000))})
            page.wait_for_timeout(350)
            page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")

    return shoot


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "shots", *sys.argv[2:])
