"""Undoing a run for real: at the command line, and over HTTP through Prefect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from dashboard.api.app import make_api
from deployments.standin.apis import APIS
from deployments.standin.apis.api import ApiKnobs
from deployments.standin.server import serving
from flows.ledger.connection import connect
from flows.ledger.view import View
from flows.records import RowState, RunState
from tests.apis.plain import HERE
from tests.harness.command import PROGRAM
from tests.harness.contract import hold
from tests.harness.limits import long_known
from tests.harness.prefect_at import prefect_at
from tests.harness.remembered import forget
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import ROOT

EMAILS = (*(f"new-{n}@example.com" for n in range(1, 9)), "known-1@example.com", "known-2@example.com")
HERE_URL = "http://127.0.0.1:8501"


@dataclass
class Office:
    """A stand-in of `upsert`, and the session's stack."""

    url: str
    folder: Path
    stack: RunningStack

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.stack.environment, "ROWRELAY_PIPELINES": str(self.folder / "upsert.yaml")}

    @property
    def view(self) -> View:
        return View(connect(self.stack.addresses.redis_url))

    def there(self) -> dict[str, int]:
        """How many contacts each e-mail has at the API."""
        return dict(httpx.get(f"{self.url}/truth", trust_env=False).json()["there"])

    def program(self, *args: object) -> tuple[int, str, str]:
        """A command in a process of its own: exit code, standard output, standard error."""
        ended = subprocess.run(
            [*PROGRAM, *map(str, args)],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return ended.returncode, ended.stdout, ended.stderr

    def send(self, emails: Sequence[str] = EMAILS) -> dict[str, Any]:
        """Send a file; the run."""
        file = self.folder / "contacts.csv"
        file.write_text("email,name\n" + "".join(f"{email},Anna\n" for email in emails), encoding="utf-8")
        code, out, err = self.program("send", file, "--pipeline", "upsert", "--json")
        assert code == 0, err
        return dict(json.loads(out))


@pytest.fixture
def office(stack: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    with serving(APIS["upsert"](ApiKnobs(wait_seconds=0.01))) as url:
        monkeypatch.setenv("UPSERT_URL", url)
        monkeypatch.setenv("UPSERT_REQUESTS", "100")
        monkeypatch.setenv("UPSERT_AFTER_SECONDS", "0")
        (tmp_path / "upsert.yaml").write_bytes((HERE / "upsert.yaml").read_bytes())
        long_known(connect(stack.addresses.redis_url), "upsert")
        yield Office(url, tmp_path, stack)


def test_a_run_is_undone_at_the_command_line_once_that_is_confirmed(office: Office) -> None:
    first = office.send()
    name = first["run"][:8]

    code, out, _ = office.program("undo", name, "--dry-run")
    assert code == 0
    assert f"8 rows of run {name} are undone: DELETE to {office.url.partition('://')[2]}." in out
    assert "2 rows left alone: the run kept no createdId of it." in out
    assert f"DELETE {office.url}/contacts/" in out
    code, out, err = office.program("undo", name)
    assert (code, out) == (2, "")
    assert "Add --yes" in err
    assert sum(office.there().values()) == len(EMAILS)
    assert office.view.run(first["run"]).facts.undone_by == {}

    code, out, err = office.program("undo", name, "--yes", "--json")

    ended = json.loads(out)
    assert (code, ended["exit"], ended["state"], ended["undoes"]) == (0, 0, "finished", first["run"]), err
    assert (ended["counts"]["done"], ended["counts"]["rejected"], ended["skipped"]) == (8, 2, 2)
    assert ended["file"] == f"{ended['run']}/undo of contacts.csv"
    assert {email: count for email, count in office.there().items() if count} == dict.fromkeys(EMAILS[8:], 1)
    shown = office.program("show", name)[1]
    assert f"Run {ended['run'][:8]} has undone 8 of its rows." in shown
    assert json.loads(office.program("show", name, "--json")[1])["undone_by"] == {ended["run"]: 8}
    code, _, err = office.program("undo", name, "--yes")
    assert code == 2
    assert "is left to undo (8 rows: run" in err
    with connect(office.stack.addresses.redis_url) as client:
        assert View(client).run(ended["run"]).facts.sent == 8


def test_the_results_of_a_run_go_through_another_pipeline(office: Office) -> None:
    first = office.send()
    others = office.folder / "more"
    others.mkdir()
    (others / "upsert.yaml").write_bytes((HERE / "upsert.yaml").read_bytes())
    (others / "renew.yaml").write_text(
        "name: renew\ncolumns: {id: {type: int}, email: {type: str}}\n"
        f'request: {{method: PUT, url: "{office.url}/contacts/{{id}}", json: {{name: "{{email}}"}}}}\n'
        "limit: {name: upsert, requests: 100, window_seconds: 1}\n",
        encoding="utf-8",
    )
    environment = office.environment | {"ROWRELAY_PIPELINES": str(others)}
    ended = subprocess.run(
        [*PROGRAM, "send", "--from-run", first["run"], "--pipeline", "renew", "--json"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip

    found = json.loads(ended.stdout)
    assert (ended.returncode, found["counts"]["done"], found["undoes"]) == (0, len(EMAILS), ""), ended.stderr
    contact = httpx.get(f"{office.url}/contacts", params={"email": EMAILS[0]}, trust_env=False).json()["items"][0]
    assert contact["name"] == EMAILS[0]
    for words in (("--from-run", "x"), ("--from-run", "x", "--pipeline", "renew", "--resume", "y")):
        assert office.program("send", *words)[0] == 2


def test_a_run_is_undone_over_http_once_for_each_key(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    first = office.send()
    for name, value in office.environment.items():
        monkeypatch.setenv(name, value)
    forget()
    here = prefect_at(office.stack.addresses.prefect_api_url)
    with here, served(office), TestClient(make_api(), base_url=HERE_URL) as api:
        api.event_hooks = {"response": [hold]}
        asked = [
            api.post(f"/runs/{first['run']}/undo", headers={"Idempotency-Key": f"{first['run']}-key"}) for _ in range(2)
        ]
        assert [each.status_code for each in asked] == [202, 202]
        made = asked[0].json()["id"]
        assert asked[1].json()["id"] == made
        assert asked[0].headers["Location"].endswith(f"/runs/{made}")
        wait_until(
            lambda: api.get(f"/runs/{made}").json()["state"] in ("finished", "stopped"),
            seconds=120,
            what="the undo",
        )
        late = api.post(f"/runs/{first['run']}/undo", headers={"Idempotency-Key": f"{first['run']}-key"})
        assert (late.status_code, late.json()["id"]) == (202, made)  # also when nothing is left to undo
        assert api.post(f"/runs/{first['run']}/undo").status_code == 409
        told = api.get(f"/runs/{made}").json()
        assert (told["file"], told["undoes"]) == ("undo of contacts.csv", first["run"])
        assert api.get(f"/runs/{first['run']}").json()["undone_by"] == {made: 8}
    run = office.view.run(made)
    assert (run.state, run.counts[RowState.DONE], run.skipped) == (RunState.FINISHED, 8, 2)
    flow = httpx.get(f"{office.stack.addresses.prefect_api_url}/flow_runs/{made}").json()
    assert flow["name"] == "upsert · undo of contacts.csv"


@contextmanager
def served(office: Office) -> Iterator[None]:
    """`rowrelay serve` for the length of the block."""
    with (office.folder / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.commands", "serve"],
            cwd=ROOT, env=office.environment, stdout=log, stderr=log,
        )  # fmt: skip
        url = f"{office.stack.addresses.prefect_api_url}/deployments/name/deliver/upsert"
        try:
            wait_until(
                lambda: httpx.get(url).status_code == 200 or process.poll() is not None, seconds=60, what="deployment"
            )
            assert process.poll() is None, (office.folder / "serve.log").read_text()[-2000:]
            yield
        finally:
            process.terminate()
            process.wait(60)
