"""What the dashboard costs: a 1 GB upload, a run of a million rows, twenty open tabs. Many runs: bench.pages.

`python -m bench.dashboard [upload] [million] [tabs]`
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import websockets
from ruamel.yaml import YAML
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from deployments.embedded.redis_server import RedisServer
from deployments.embedded.stack import environment, use
from deployments.standin import Knobs, StandIn, serving
from flows.ledger import keys
from flows.records import RowState, RunState
from flows.settings import Settings
from tests.harness.browser import ROOT, Dashboard, dashboard, open_browser, open_windows
from tests.harness.seeding import seed, write_posts

GB = 10**9


class Watch:
    """The most memory and the mean CPU of a process while the block lasts."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.peak_mb = 0.0
        self.cpu_percent = 0.0
        self._over = threading.Event()

    def __enter__(self) -> Watch:
        self._begun, self._used = time.monotonic(), sum(self._process.cpu_times()[:2])
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        used = sum(self._process.cpu_times()[:2]) - self._used
        self.cpu_percent = 100 * used / (time.monotonic() - self._begun)

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.peak_mb = max(self.peak_mb, self._process.memory_info().rss / 1e6)


def upload(site: Dashboard, folder: Path) -> None:
    """1 GB by a program, then by a browser."""
    file = folder / "large.csv"
    with file.open("wb") as out:
        out.write(b"userId,title,body\n")
        block = b"1,a title of some length,and a body that is a little longer than that\n" * 14_000
        while out.tell() < GB:
            out.write(block)
    rest = psutil.Process(site.process.pid).memory_info().rss / 1e6
    with Watch(site.process.pid) as watch, file.open("rb") as body:
        begun = time.monotonic()
        answer = httpx.put(
            f"{site.url}/api/files/large.csv", content=iter(lambda: body.read(1 << 20), b""), timeout=300
        )
        seconds = time.monotonic() - begun
    assert answer.status_code == 201, answer.text
    print(
        f"upload of {GB / 1e9:.0f} GB by a program: {seconds:.1f} s, RSS {rest:.0f} MB before, "
        f"{watch.peak_mb:.0f} MB peak"
    )
    with open_browser() as browser, Watch(site.process.pid) as watch:
        page = browser.new_page()
        site.open(page, "/")
        begun = time.monotonic()
        page.locator("input[type=file]").set_input_files(file)
        page.get_by_text("large.csv").first.wait_for()
        page.wait_for_url("**file=**", timeout=300_000)
        print(
            f"upload of {GB / 1e9:.0f} GB by a browser: {time.monotonic() - begun:.1f} s, {watch.peak_mb:.0f} MB peak"
        )


def million(site: Dashboard, settings: Settings, redis_url: str, folder: Path, rows: int) -> None:
    """A run of so many rows: open, page, filter, search, sort, download."""
    begun = time.monotonic()
    run = seed(settings, redis_url, write_posts(folder / "million.csv", rows, bad=range(1000, rows, 5000)))
    _finish(run, rows)
    print(f"({rows:,} rows seeded in {time.monotonic() - begun:.0f} s)")
    path = f"/runs/{run.id}"
    _times("API: the run", lambda n: site.api("GET", path), 20)
    _times("API: next page of rows", _following(site, f"{path}/rows"), 20)
    _times("API: failed rows, next page", _following(site, f"{path}/rows?state=failed"), 20)
    _times("API: rejected rows, next page", _following(site, f"{path}/rows?state=rejected&limit=10"), 20)
    _times("API: search in one column, each a new one", lambda n: site.api(
        "GET", f"{path}/rows?search=reminder {n + 1}7&column=title"), 5)  # fmt: skip
    _times("API: search anywhere, each a new one", lambda n: site.api("GET", f"{path}/rows?search={n + 1}777"), 5)
    _times("API: next page of a sorted run", _following(site, f"{path}/rows?sort=title"), 6)
    # With a cache on the disk, as everybody's browser has: without it each page is compiled anew.
    with open_browser() as browser, open_windows(browser, folder / "browser") as context:
        page = context.new_page()
        site.open(page, "/status")

        def open_empty(n: int) -> None:
            page.goto(f"{site.url}/run?id=none{n}")
            page.get_by_text("There is no such run.").wait_for()

        def open_run(n: int) -> None:
            page.goto(f"{site.url}/run?id={run.id}")
            page.get_by_text(f"1–100 of {rows:,} rows").wait_for()

        _times("browser: open a run that does not exist", open_empty, 20)
        _times("browser: open the run, from the address", open_run, 20)
        seen = 1

        def next_page(n: int) -> None:
            nonlocal seen
            seen += 100
            page.get_by_role("button", name="Next page").click()
            page.get_by_text(f"{seen:,}–{seen + 99:,} of {rows:,} rows").wait_for()

        _times("browser: next page", next_page, 20)
    for form in ("json", "csv"):
        with Watch(site.process.pid) as watch:
            begun, size = time.monotonic(), 0
            with httpx.stream("GET", f"{site.url}/api{path}/results.{form}", timeout=600) as answer:
                for chunk in answer.iter_bytes():
                    size += len(chunk)
            seconds = time.monotonic() - begun
        print(
            f"download as {form}: {size / 1e6:.0f} MB in {seconds:.1f} s, {rows / seconds:,.0f} rows/s, "
            f"{watch.peak_mb:.0f} MB peak"
        )


def _following(site: Dashboard, path: str) -> Callable[[int], httpx.Response]:
    """One page after the other."""
    cursor: list[str] = []

    def get(n: int) -> httpx.Response:
        more = f"{'&' if '?' in path else '?'}cursor={cursor[0]}" if cursor else ""
        answer = site.api("GET", path + more)
        cursor[:] = filter(None, [answer.json().get("next")])
        return answer

    return get


def _finish(run: Any, rows: int) -> None:
    """Outcomes for all accepted rows, one in a thousand failed, through the ledger's own script."""
    bad = set(range(1000, rows, 5000))
    failed = [row for row in range(1, rows + 1) if row % 997 == 0 and row not in bad]
    run.outcomes(RowState.DONE, [row for row in range(1, rows + 1) if row % 997 and row not in bad], rate=1e9)
    run.outcomes(RowState.FAILED, failed, rate=1e9)
    run.ledger.client.delete(keys.run_key(run.id) + ":seconds")
    run.leave(RunState.FINISHED)


def _times(what: str, act: Callable[[int], object], count: int) -> None:
    seconds = []
    for n in range(count):
        begun = time.monotonic()
        answer = act(n)
        seconds.append(time.monotonic() - begun)
        if isinstance(answer, httpx.Response):
            assert answer.is_success, answer.text
    print(f"{what}: median {statistics.median(seconds) * 1000:.0f} ms, worst {max(seconds) * 1000:.0f} ms of {count}")


# -- tabs --------------------------------------------------------------------------------------------------------------


def tabs(site: Dashboard, folder: Path, count: int) -> None:
    """Live runs at 7/s and 500/s, alone and with so many tabs on them."""
    for pipeline, rows in (("slow", 140), ("fast", 15_000)):
        file = site.api(
            "PUT", f"/files/{pipeline}.csv", content=write_posts(folder / "t.csv", rows).read_bytes()
        ).json()
        for open_tabs in (0, count):
            body = {"pipeline": pipeline, "file": file["file"]}
            run = site.api("POST", "/runs", json=body).json()["id"]
            _wait(lambda run=run: site.api("GET", f"/runs/{run}").json().get("state") == "sending")
            with _open_tabs(site, run, open_tabs) as seen, Watch(site.process.pid) as watch:
                _wait(lambda run=run: site.api("GET", f"/runs/{run}").json().get("state") == "finished", pause=1.0)
            ended = site.api("GET", f"/runs/{run}").json()
            print(
                f"{pipeline}, {rows:,} rows, {open_tabs} tabs: {ended['rate']:.2f}/s, peak {ended['peak']}, "
                f"dashboard {watch.cpu_percent:.0f} % CPU, {watch.peak_mb:.0f} MB, {sum(seen)} refreshes"
            )


@contextmanager
def _open_tabs(site: Dashboard, run: str, count: int) -> Iterator[list[int]]:
    """Tabs as the dashboard's server sees them: sessions that ask for a refresh when they were told to."""
    seen = [0] * max(1, count)
    over = threading.Event()

    async def everything() -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(count):
                group.create_task(_tab(site.url, run, seen, n, over))

    thread = threading.Thread(target=lambda: asyncio.run(everything()), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(20)


async def _tab(url: str, run: str, seen: list[int], n: int, over: threading.Event) -> None:
    address = url.replace("http", "ws") + "/_stcore/stream"
    async with websockets.connect(address, max_size=None, origin=url, subprotocols=["streamlit"]) as socket:  # type: ignore
        first = BackMsg()
        first.rerun_script.query_string = f"id={run}"
        first.rerun_script.page_name = "run"
        await socket.send(first.SerializeToString())
        timers: dict[str, asyncio.Task[None]] = {}

        async def again(fragment: str, interval: float) -> None:
            while not over.is_set():
                await asyncio.sleep(interval)
                ask = BackMsg()
                ask.rerun_script.query_string = f"id={run}"
                ask.rerun_script.page_name = "run"
                ask.rerun_script.fragment_id = fragment
                ask.rerun_script.is_auto_rerun = True
                seen[n] += 1
                await socket.send(ask.SerializeToString())

        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                raw = await asyncio.wait_for(socket.recv(), 0.5)
                message = ForwardMsg.FromString(raw if isinstance(raw, bytes) else raw.encode())
                if message.WhichOneof("type") == "auto_rerun":
                    told = message.auto_rerun
                    if told.fragment_id not in timers:
                        timers[told.fragment_id] = asyncio.create_task(again(told.fragment_id, told.interval))
        for timer in timers.values():
            timer.cancel()


def _wait(until: Callable[[], bool], *, seconds: float = 180, pause: float = 0.2) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(pause)


def _pipelines(folder: Path, url: str) -> Path:
    """Two pipelines for the tabs."""
    made = folder / "pipelines"
    made.mkdir()
    for name, requests in (("slow", 7), ("fast", 500)):
        definition = {
            "name": name,
            "columns": {"userId": {"type": "int"}, "title": {"type": "str"}, "body": {"type": "str"}},
            "request": {"url": url, "timeout_seconds": 2},
            "response": {"keep": {"postId": "id"}},
            "limit": {"name": name, "requests": requests, "window_seconds": 1, "in_flight": min(requests, 100)},
        }
        YAML().dump(definition, made / f"{name}.yaml")
    return made


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["upload", "million", "tabs"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--tabs", type=int, default=20)
    options = parser.parse_args()
    os.environ.pop("PREFECT_API_URL", None)
    api = StandIn(Knobs(requests=None, ban_after=None), details=False)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        url = stack.enter_context(serving(api)) + "/posts"
        os.environ["POSTS_URL"] = url
        redis = RedisServer(folder / "redis").start()
        stack.callback(redis.stop)
        settings = Settings(data=folder / "data", redis_url=redis.url)  # type: ignore[arg-type]
        variables: dict[str, str] = {"ROWRELAY_DATA": str(settings.data), "ROWRELAY_REDIS_URL": redis.url}
        if "tabs" in options.what:
            variables = environment(stack.enter_context(use(settings)), settings)
            variables["ROWRELAY_PIPELINES"] = str(_pipelines(folder, url))
            served = {**os.environ, **variables, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
            runner = subprocess.Popen([sys.executable, "-m", "deployments.commands", "serve"], cwd=ROOT, env=served)
            stack.callback(lambda: (runner.terminate(), runner.wait(20)))
        else:
            variables["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
        site = stack.enter_context(dashboard({**variables, "POSTS_URL": url}, folder / "dashboard.log"))
        if "upload" in options.what:
            upload(site, folder)
        if "million" in options.what:
            million(site, settings, redis.url, folder, options.rows)
        if "tabs" in options.what:
            _wait(lambda: site.api("GET", "/status").json()["well"])
            tabs(site, folder, options.tabs)


if __name__ == "__main__":
    main()
