"""Pictures of every page in every state, light and dark, wide and narrow: `python -m tests.screenshots [FOLDER]`.

They go to /shots, which is not committed. Look at them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from deployments.server import RedisServer
from deployments.stack import StackAddresses, environment, use
from flows.records import RowState, RunState
from flows.settings import Settings
from tests.browser import ROOT, Dashboard, dashboard, open_browser, settle
from tests.seeding import Seeded, seed, write_posts

D, F, U = RowState.DONE, RowState.FAILED, RowState.UNKNOWN
SIZES = ((1280, "light"), (1280, "dark"), (390, "dark"), (390, "light"))


def main(folder: Path) -> None:
    """Seed a ledger, start a dashboard on it, and take all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with world() as (redis, settings, variables), ExitStack() as stack:
        log = Path(tempfile.mkdtemp()) / "dashboard.log"
        site = stack.enter_context(dashboard(variables, log))
        browser = stack.enter_context(open_browser())
        shoot = shooter(browser, site, folder)
        shoot("send-empty", "/")
        shoot("runs-empty", "/runs")
        shoot("run-empty", "/run")
        shoot("schedules-empty", "/schedules")
        shoot("status", "/status")
        runs = seed_all(settings, redis.url)
        for name, run in runs.items():
            path = f"/?run={run.id}" if name.startswith("check") else f"/run?id={run.id}"
            shoot(name, path)
        shoot("run-row-open", f"/run?id={runs['run-with-errors'].id}&state=failed&row=41")
        shoot("run-delete", f"/run?id={runs['run-with-errors'].id}", lambda page: page.get_by_role(
            "button", name="Delete").click())  # fmt: skip
        time.sleep(3)
        shoot("runs", "/runs")
        latch(redis.url)
        shoot("status-latched", "/status")
        redis.stop()
        shoot("run-redis-away", f"/run?id={runs['run-live'].id}")
        shoot("runs-redis-away", "/runs")
        shoot("status-redis-away", "/status")
        shoot("send-redis-away", f"/?run={runs['check-good'].id}")
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")


@contextmanager
def world() -> Iterator[tuple[RedisServer, Settings, dict[str, str]]]:
    """A Redis of our own, which can be stopped, and an embedded Prefect server beside it."""
    os.environ.pop("PREFECT_API_URL", None)
    os.environ["POSTS_URL"] = "http://127.0.0.1:9/posts"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        redis = RedisServer(Path(folder) / "redis").start()
        stack.callback(redis.stop)
        settings = Settings(data=Path(folder) / "data", redis_url=redis.url)  # type: ignore[arg-type]
        addresses: StackAddresses = stack.enter_context(use(settings))
        yield redis, settings, {**environment(addresses, settings), "POSTS_URL": os.environ["POSTS_URL"]}


def seed_all(settings: Settings, redis_url: str) -> dict[str, Seeded]:
    """A run in every state there is."""
    folder = Path(tempfile.mkdtemp())

    def posts(name: str, rows: int, bad: tuple[int, ...] = (), by: str = "dashboard") -> Seeded:
        return seed(settings, redis_url, write_posts(folder / name, rows, bad=bad), by=by)

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
    lost.ledger.renew(lost.id, lost.delivery.epoch, lease_seconds=0.001)
    live = posts("tickets-2026.csv", 2500, bad=(8, 9))
    live.outcomes(D, [row for row in range(1, 1101) if row not in (8, 9) and row % 97])
    live.outcomes(F, [row for row in range(1, 1101) if row % 97 == 0 and row % 2])
    live.outcomes(U, [row for row in range(1, 1101) if row % 97 == 0 and row % 2 == 0])
    live.sending(range(1101, 1107))
    live.spread(rate=6.4, seconds=170, failed_every=23)
    live.ledger.facts(live.id, peak=7)
    live.ledger.event(live.id, "API asked us to wait 2 s")
    live.ledger.renew(live.id, live.delivery.epoch, lease_seconds=3600)
    return {
        "check-good": good, "check-rejected": rejected, "run-done": done, "run-with-errors": errors,
        "run-banned": banned, "run-cancelled": cancelled, "run-interrupted": lost, "run-live": live,
    }  # fmt: skip


def latch(redis_url: str) -> None:
    """A limit that the API has shut."""
    import json

    import redis

    from flows.limit_script import NAMES, Keys

    with redis.Redis.from_url(redis_url) as client:
        client.sadd(NAMES, "jsonplaceholder")
        latched = {"reason": "HTTP 403 with an HTML page", "run": "", "at": time.time() - 300}
        client.hset(Keys.of("jsonplaceholder").state, "latched", json.dumps(latched))


def shooter(browser: Browser, site: Dashboard, folder: Path) -> Callable[..., None]:
    """A function that takes one page in all sizes and both themes."""

    context = browser.new_context(locale="en-GB", timezone_id="Europe/Berlin")
    page = context.new_page()

    def shoot(name: str, path: str, act: Callable[[Page], object] | None = None) -> None:
        page.set_viewport_size({"width": 1280, "height": 900})
        page.emulate_media(color_scheme="light")
        page.goto(site.url + path)
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
            height = page.evaluate("() => document.querySelector('.stMainBlockContainer').scrollHeight + 60")
            page.set_viewport_size({"width": width, "height": max(700, min(int(height), 4000))})
            page.wait_for_timeout(350)
            page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")

    return shoot


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "shots")
