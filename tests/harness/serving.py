"""Runs as others start them: `rowrelay serve` or workers in processes of their own, and Prefect's API."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from deployments.runners.drain import descendants, is_flow_run, name_for, name_of
from flows.ledger.run import Run
from flows.records import RowState
from tests.harness.stack import RunningStack
from tests.harness.wait import PLAIN, wait_until
from tests.harness.world import ROOT, World

ANSWER_SECONDS = 60  # Prefect's server shares two cores with all that the tests run beside it


def ask(stack: RunningStack, path: str, body: Any = None, *, method: str = "POST") -> httpx.Response:
    """What Prefect's own page does: it asks for a token first, so that no other page can act in its name."""
    url = stack.addresses.prefect_api_url
    if method == "GET":
        return httpx.get(url + path, timeout=ANSWER_SECONDS, verify=PLAIN)
    token = httpx.get(f"{url}/csrf-token", params={"client": "test"}, timeout=ANSWER_SECONDS, verify=PLAIN).json()[
        "token"
    ]
    headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
    while True:
        answer = httpx.request(method, url + path, json=body, headers=headers, timeout=ANSWER_SECONDS, verify=PLAIN)
        if answer.status_code != 503:  # SQLite has one writer: Prefect's own client asks again, too
            return answer
        time.sleep(0.2)


class Serving:
    """One world's pipeline on a Prefect server, and the processes that deliver it."""

    flow = "deliver"  # the one that is asked about where none is named

    def __init__(self, w: World, stack: RunningStack, name: str, **settings: str) -> None:
        self.world, self.stack, self.name = w, stack, name
        self.log = w.folder / "processes.log"
        self.environment = {
            **os.environ,
            **stack.environment,
            "ROWRELAY_PIPELINES": str(w.pipeline),
            "ROWRELAY_SETTLE_SECONDS": "0.2",
            **settings,
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    # -- processes -------------------------------------------------------------------------------------------------

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "deployments.commands", *command],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def serve(self) -> subprocess.Popen[bytes]:
        process = self.start("serve")
        self.wait_for_deployment(process)
        return process

    def worker(self, pool: str, *options: str) -> subprocess.Popen[bytes]:
        return self.start("worker", pool, "--limit", "5", *options)

    def set_up(self, pool: str) -> None:
        process = self.start("register", pool)
        assert process.wait(60) == 0, self.text()

    def wait_for_deployment(self, process: subprocess.Popen[bytes]) -> None:
        before = self.deployment()
        wait_until(
            lambda: (
                (now := self.deployment()) and now.get("updated") != before.get("updated")
            ) or process.poll() is not None,
            seconds=60,
            what="the deployment",
        )  # fmt: skip
        assert process.poll() is None, self.text()

    def flow_runs_of(self, process: subprocess.Popen[bytes]) -> list[int]:
        return [pid for pid in descendants(process.pid) if is_flow_run(pid)]

    def process_of(self, process: subprocess.Popen[bytes], run: str) -> int:
        """The process below a server or worker that delivers a run; 0 if there is none."""
        return next((pid for pid in self.flow_runs_of(process) if delivers(pid, run)), 0)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """As if its machine had gone: the process and all below it, at once."""
        below = descendants(process.pid)
        process.kill()
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait(10)

    def text(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def end(self) -> None:
        print(self.text())  # pytest shows it where the test fails
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)
        for flow in ("deliver", "inbox"):
            if there := self.deployment(flow):  # or what is left of it goes on in the other tests' server
                self.ask(f"/deployments/{there['id']}", method="DELETE")

    # -- Prefect's API ---------------------------------------------------------------------------------------------

    def ask(self, path: str, body: Any = None, *, method: str = "POST") -> httpx.Response:
        return ask(self.stack, path, body, method=method)

    def deployment(self, flow: str = "") -> dict[str, Any]:
        found = self.ask(f"/deployments/name/{flow or self.flow}/{self.name}", method="GET")
        return dict(found.json()) if found.status_code == 200 else {}

    def trigger(self, file: str, **parameters: Any) -> str:
        given = {"pipeline": self.name, "file": file, **parameters}
        answer = self.ask(f"/deployments/{self.deployment()['id']}/create_flow_run", {"parameters": given})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def state(self, flow_run: str) -> dict[str, Any]:
        return dict(self.ask(f"/flow_runs/{flow_run}", method="GET").json()["state"])

    def states(self, flow_run: str) -> list[dict[str, Any]]:
        return list(self.ask(f"/flow_run_states/?flow_run_id={flow_run}", method="GET").json())

    # -- the ledger ------------------------------------------------------------------------------------------------

    def upload(self, rows: int, name: str) -> str:
        uploads = self.stack.settings.uploads
        uploads.mkdir(parents=True, exist_ok=True)
        self.world.file(rows, name=name).rename(uploads / name)
        return name

    def run(self, run: str) -> Run | None:
        return self.world.run(run) if self.world.view.client.exists(f"rowrelay:run:{{{run}}}") else None

    def wait_for_rows(self, run: str, rows: int, *, seconds: float = 60) -> None:
        wait_until(
            lambda: (found := self.run(run)) and found.counts[RowState.DONE] >= rows,
            seconds=seconds,
            what=f"{rows} rows",
        )


def delivers(pid: int, run: str) -> bool:
    """Whether a flow run's process has this one: a fork says so by its name, a fresh Python by its environment."""
    try:
        return name_of(pid) == name_for(run) or f"PREFECT__FLOW_RUN_ID={run}".encode() in environment_of(pid)
    except OSError:
        return False


def environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


@contextmanager
def serving(w: World, stack: RunningStack, name: str, **settings: str) -> Iterator[Serving]:
    made = Serving(w, stack, name, **settings)
    try:
        yield made
    finally:
        made.end()
