"""What people are told who are away."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.registry import automations
from deployments.registry.notifications import AUTOMATION, renew
from flows.settings import Settings
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import ROOT


class Told:
    """An address that takes messages."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook/s3cret"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


FAIL = """
import sys
from prefect import flow
from prefect.states import Completed, Failed
from flows.flow_runs.outcome import FILES_WITH_ERRORS, STOPPED, WITH_ERRORS
from flows.flow_runs.states import told

@flow(name="deliver", flow_run_name="told · a.csv")
def deliver(how, file):
    if how == "stop":
        return told(Failed(message="3 done of 9. The API has shut us out"), STOPPED)
    outcome = {"well": "", "errors": WITH_ERRORS, "files": FILES_WITH_ERRORS}.get(how, "")
    name = "CompletedWithErrors" if how == "former" else None
    return told(Completed(name=name, message="With errors: " * (how == "errors") + "8 done, 1 failed of 9"), outcome)

for how in sys.argv[1:]:
    deliver(how, "a.csv", return_state=True)
"""


def switch(stack: RunningStack, *, on: bool) -> bool:
    """Switch the automation, as the page in Prefect's UI does. Returns what it was."""
    with httpx.Client(base_url=stack.addresses.prefect_api_url, timeout=20) as client:
        token = client.get("/csrf-token", params={"client": "test"}).json()["token"]
        headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
        body = {"automations": {"name": {"any_": [AUTOMATION]}}}
        (found,) = client.post("/automations/filter", json=body, headers=headers).json()
        client.patch(f"/automations/{found['id']}", json={"enabled": on}, headers=headers).raise_for_status()
        return bool(found["enabled"])


@pytest.mark.slow
def test_people_are_told_of_runs_that_stop_or_end_with_errors_and_of_no_others(stack: RunningStack) -> None:
    told = Told()
    environment = {**stack.environment, "PATH": "/usr/bin:/bin", "ROWRELAY_DASHBOARD_URL": "http://dash.example"}
    command = [sys.executable, "-m", "deployments.commands", "notify"]

    def set_up(url: str) -> str:
        done = subprocess.run(
            command,
            env={**environment, "ROWRELAY_NOTIFY_URL": url},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert "s3cret" not in done.stdout + done.stderr
        return done.stdout

    try:
        set_up(told.url)
        set_up(told.url)  # twice is once
        switch(stack, on=False)
        set_up(told.url)
        assert switch(stack, on=True) is False  # who has switched it off wants it off
        subprocess.run(
            [sys.executable, "-c", FAIL, "well", "stop", "files", "errors", "former"],
            env=environment,
            cwd=ROOT,
            check=True,
            timeout=90,
        )
        # Other tests' runs on the same server are told of as well.
        ours = lambda: [each for each in told.messages if "told · a.csv" in each["subject"]]  # noqa: E731
        wait_until(lambda: len(ours()) >= 3, seconds=90, what="three messages")
        assert "nobody" in set_up("").lower()
    finally:
        told.server.shutdown()

    assert sorted(message["subject"] for message in ours()) == [
        "Rowrelay: told · a.csv ended with errors",
        "Rowrelay: told · a.csv ended with errors",
        "Rowrelay: told · a.csv is Failed",
    ]
    assert any("The API has shut us out" in message["text"] for message in ours())
    assert all("\nRun: http://dash.example/run?id=" in message["text"] for message in ours())
    pages = stack.addresses.prefect_api_url.removesuffix("/api")
    assert all(f"\nIn Prefect: {pages}/runs/flow-run/" in message["text"] for message in ours())
    assert not any("None" in message["text"] for message in ours())


def notifications(tmp_path: Path, data: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The program with the data folder alone: no address of a server is handed over."""
    return subprocess.run(
        [sys.executable, "-m", "deployments.commands", "notify", *options],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "ROWRELAY_DATA": str(data), **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_an_automation_of_an_earlier_version_is_brought_up_to_date(stack: RunningStack, tmp_path: Path) -> None:
    data = stack.settings.data
    assert notifications(tmp_path, data, ROWRELAY_NOTIFY_URL="http://127.0.0.1:1/hook/s3cret").returncode == 0

    async def of_before() -> tuple[str, str]:
        async with get_client() as client:
            (there,) = await client.read_automations_by_name(AUTOMATION)
            core = AutomationCore(**there.model_dump(exclude={"id", "owner_resource"}))
            core.trigger = automations.on_state({"Failed", "CompletedWithErrors"})
            await client.update_automation(automation_id=there.id, automation=core)
            await renew(client, stack.settings)
            (now,) = await client.read_automations_by_name(AUTOMATION)
            await automations.remove(client, AUTOMATION)
            await renew(client, stack.settings)
            return now.trigger.model_dump_json(), str(await client.read_automations_by_name(AUTOMATION))

    with temporary_settings({PREFECT_API_URL: stack.addresses.prefect_api_url}):
        trigger, afterwards = asyncio.run(of_before())

    assert "With errors: *" in trigger
    assert afterwards == "[]"  # where there is none, none is made


@pytest.mark.slow
def test_the_embedded_server_is_told_whom_to_tell_also_if_the_test_message_does_not_arrive(
    stack: RunningStack, tmp_path: Path
) -> None:
    data = stack.settings.data
    done = notifications(tmp_path, data, "--test", ROWRELAY_NOTIFY_URL="http://127.0.0.1:1/hook/s3cret")
    try:
        assert switch(stack, on=True) is True
        assert "are told" in done.stdout
        assert "The test message did not arrive" in done.stderr
        assert "s3cret" not in done.stdout + done.stderr
        assert done.returncode == 1, done.stderr
    finally:
        assert notifications(tmp_path, data).returncode == 0
    assert not (tmp_path / ".prefect" / "prefect.db").exists()  # of a server that Prefect would begin by itself


def test_nobody_is_said_to_be_told_where_there_is_no_server(tmp_path: Path) -> None:
    url = {"ROWRELAY_NOTIFY_URL": "http://127.0.0.1:1/hook/s3cret"}
    none = notifications(tmp_path, tmp_path / "data", **url)
    assert (none.returncode, none.stdout) == (2, "")
    assert "PREFECT_API_URL" in none.stderr

    gone = notifications(tmp_path, tmp_path / "data", PREFECT_API_URL="http://me:s3cret@127.0.0.1:1/api", **url)
    assert (gone.returncode, gone.stdout) == (2, "")
    assert "127.0.0.1:1/api does not answer" in gone.stderr
    assert "s3cret" not in gone.stderr


def test_an_address_that_is_none_is_refused_without_being_shown() -> None:
    from deployments.registry.notifications import block
    from flows.errors import StackError

    with pytest.raises(StackError) as caught:
        block("s3cret-without-scheme")
    assert "s3cret" not in str(caught.value)
    assert Settings(notify_url="https://x/s3cret").model_dump_json().count("s3cret") == 0  # type: ignore[arg-type]
