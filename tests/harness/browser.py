"""A real dashboard process and a real browser, for tests and for pictures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from deployments.embedded.redis_server import free_port
from tests.harness.contract import hold
from tests.harness.wait import PLAIN

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_browser() -> str:
    """The browser of this machine. Raises RuntimeError that says what to install."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise RuntimeError("No browser was found. Install one: apt-get install chromium (Debian), or Google Chrome.")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def open_windows(browser: Browser, folder: Path, **more: Any) -> Iterator[BrowserContext]:
    """A place for windows that keeps what it has loaded and compiled on the disk: a page costs a third less then."""
    context = browser.browser_type.launch_persistent_context(
        folder, executable_path=find_browser(), args=list(FLAGS), viewport={"width": 1280, "height": 900}, **more
    )
    yield context
    context.close()


@dataclass
class Dashboard:
    """A dashboard that answers at `url`."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request to its HTTP API, as a program sends it; the answer has to be one that its document promises."""
        answer = httpx.request(method, f"{self.url}/api{path}", timeout=60, trust_env=False, verify=PLAIN, **more)
        hold(answer)
        return answer

    def open(self, page: Page, path: str = "/") -> Page:
        """Load a page and wait until it has been drawn."""
        page.goto(self.url + path)
        settle(page)
        return page


@contextmanager
def dashboard(environment: Mapping[str, str], log: Path, *, port: int = 0, tree: Path = ROOT) -> Iterator[Dashboard]:
    """Start `streamlit run dashboard/app.py` with this environment; ends with the block.

    Where no port is asked for it takes a free one, and another if somebody was quicker. Of another `tree` than this one
    it is started by that one's own Python.
    """
    python = sys.executable if tree == ROOT else str(tree / ".venv/bin/python")
    for trials_left in range(0 if port else 4, -1, -1):
        at = port or free_port()
        command = [python, "-m", "streamlit", "run", "dashboard/app.py", "--server.port", str(at)]
        with log.open("ab") as out:
            process = subprocess.Popen(command, cwd=tree, env={**os.environ, **environment}, stdout=out, stderr=out)
        url = f"http://127.0.0.1:{at}"
        if _answers(url, process):
            break
        end(process)
        said = log.read_text(errors="replace")
        if not trials_left or "not available" not in said.lower():
            raise RuntimeError(f"the dashboard did not start:\n{said[-2000:]}")
        log.unlink()
    try:
        yield Dashboard(url, process, log)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and make it."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait for it. False if it ended, or did not answer for long."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/_stcore/health", trust_env=False, verify=PLAIN).is_success:
                return process.poll() is None  # or it was another's
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    return False


def settle(page: Page, *, seconds: float = 90.0) -> None:
    """Wait until Streamlit is connected and its script has run through.

    The heading first: before the script has begun, Streamlit's state is "not running" as well.
    """
    page.wait_for_selector(".stMainBlockContainer h1, .rr-empty", timeout=seconds * 1000)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=seconds * 1000)


def patient(page: Page) -> None:
    """Let every click and every entry wait until the script has run through: one that comes in between can be lost.

    Not where something else than a click is sent, such as keys: `settle` first.
    """
    running = page.locator('[data-testid="stApp"][data-test-script-state="running"]')
    page.add_locator_handler(running, lambda: None)
