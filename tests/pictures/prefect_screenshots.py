"""Pictures of Prefect's own pages with our runs in them: `python -m tests.pictures.prefect_screenshots [FOLDER]`.

They go to /shots/prefect, which is not committed. Look at them: the run form, a run under way with its progress and its
named task runs, one that ended with errors.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from deployments.embedded.stack import environment, use
from flows.settings import Settings
from tests.harness.browser import ROOT, open_browser
from tests.harness.serving import serving
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import world

LIMIT = {"name": "pictures", "requests": 7, "window_seconds": 1, "in_flight": 7, "grace_seconds": 0.3}
QUICK = {"delay_min_seconds": 0.02, "delay_max_seconds": 0.05}
SETTLE_MS = 4000  # the pages draw themselves from many answers, and say nowhere that they are done


def main(folder: Path) -> None:
    """Serve a pipeline, send two files through it, and take the pictures meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        settings = Settings(data=Path(work) / "data", redis_url=None)
        with (
            use(settings) as addresses,
            world(Path(work), addresses.redis_url, limit=LIMIT, knobs=QUICK, name="pictures") as scene,
            serving(scene, RunningStack(settings, addresses, environment(addresses, settings)), "pictures") as here,
            open_browser() as browser,
        ):
            pages = addresses.prefect_api_url.removesuffix("/api")
            here.serve()
            uploads = settings.uploads
            uploads.mkdir(parents=True, exist_ok=True)
            scene.file(300, name="customers.csv").rename(uploads / "customers.csv")
            scene.file(12, bad=3, name="with-faults.csv").rename(uploads / "with-faults.csv")
            deployment = here.deployment()["id"]
            shoot(browser, f"{pages}/deployments/deployment/{deployment}", folder / "deployment.png")
            shoot(browser, f"{pages}/deployments/deployment/{deployment}/run", folder / "form.png")

            faulty = here.trigger("with-faults.csv")
            wait_until(lambda: here.state(faulty)["type"] == "COMPLETED", seconds=60, what="the run with faults")
            run = here.trigger("customers.csv")
            here.wait_for_rows(run, 60)
            shoot(browser, f"{pages}/runs/flow-run/{run}", folder / "running.png")
            shoot(browser, f"{pages}/runs/flow-run/{run}", folder / "running-task-runs.png", tab="Task Runs")
            shoot(browser, f"{pages}/runs/flow-run/{run}", folder / "running-artifacts.png", tab="Artifacts")
            shoot(browser, f"{pages}/runs/flow-run/{faulty}", folder / "errors.png")
            shoot(browser, f"{pages}/runs/flow-run/{faulty}", folder / "errors-artifacts.png", tab="Artifacts")
            shoot(browser, f"{pages}/runs", folder / "runs.png")
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")


def shoot(browser: Browser, url: str, to: Path, *, tab: str = "") -> None:
    """One page, as a person finds it, or with one of its tabs opened."""
    page = browser.new_page(viewport={"width": 1280, "height": 1100})
    page.goto(url, wait_until="load")
    if tab:
        page.get_by_text(tab, exact=True).first.click()
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=to, full_page=True)
    page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "shots" / "prefect")
