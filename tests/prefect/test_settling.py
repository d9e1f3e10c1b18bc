"""`rowrelay reconcile` and `rowrelay send --wait` on a real stack, against the stand-ins that they are for."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.standin.apis import APIS
from deployments.standin.apis.api import ApiKnobs
from deployments.standin.server import serving
from flows.ledger.connection import connect
from flows.pipeline.reading import load
from flows.records import RowState, RunState
from tests.apis import rows as made
from tests.apis.plain import HERE
from tests.harness.command import PROGRAM
from tests.harness.limits import long_known
from tests.harness.seeding import seed
from tests.harness.stack import RunningStack
from tests.harness.world import ROOT


@pytest.fixture
def upsert(stack: RunningStack) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of an API without idempotency, and the environment of its definition."""
    with serving(APIS["upsert"](ApiKnobs())) as url:
        long_known(connect(stack.addresses.redis_url), "upsert")
        yield url, {"UPSERT_URL": url, "UPSERT_REQUESTS": "100", "UPSERT_AFTER_SECONDS": "0"}


def command(stack: RunningStack, environment: dict[str, str], *args: str) -> tuple[int, str, str]:
    """A command in a process of its own: (exit code, standard output, standard error)."""
    said = subprocess.run(
        [*PROGRAM, *args],
        cwd=ROOT,
        env={**os.environ, **stack.environment, "ROWRELAY_PIPELINES": str(HERE), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return said.returncode, said.stdout, said.stderr


def test_unknown_rows_are_settled_by_asking_the_api(
    stack: RunningStack, upsert: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    url, environment = upsert
    file = made.write(tmp_path / "lost.csv", [made.Sample(n, f"a{n}@example.com", f"A {n}", "", "") for n in (1, 2, 3)])
    definition = load(HERE / "upsert.yaml", environ=environment)
    seeded = seed(stack.settings, stack.addresses.redis_url, file, definition=definition)
    seeded.outcomes(RowState.UNKNOWN, [1, 2])
    seeded.outcomes(RowState.DONE, [3])
    seeded.leave(RunState.FINISHED)
    httpx.post(f"{url}/contacts", json={"email": "a2@example.com", "name": "A 2"}, trust_env=False).raise_for_status()

    code, out, err = command(stack, environment, "reconcile", seeded.id, "--json")

    assert (code, json.loads(out)["counts"]["done"]) == (0, 3), err
    rows = httpx.get(f"{url}/truth", trust_env=False).json()["rows"]
    assert (rows["a1@example.com"]["created"], rows["a2@example.com"]["created"]) == (1, 1)
    again = command(stack, environment, "reconcile", seeded.id)
    assert again[0] == 2
    assert "The run has no unknown rows." in again[2]


def test_who_waits_sees_what_the_api_has_decided(stack: RunningStack, tmp_path: Path) -> None:
    samples = made.samples("job202", 60)
    file = made.write(tmp_path / "queued.csv", samples)
    with serving(APIS["job202"](ApiKnobs(job_seconds=2.5))) as url:
        long_known(connect(stack.addresses.redis_url), "job202")
        environment = {"JOB202_URL": url, "JOB202_REQUESTS": "50", "JOB202_EVERY_SECONDS": "1"}

        code, out, err = command(stack, environment, "send", str(file), "--pipeline", "job202", "--json")
        first = json.loads(out)
        assert (code, first["counts"]["accepted"]) == (1, 60), err

        code, out, err = command(stack, environment, "send", "--resume", first["id"], "--wait", "--json")
        counts = json.loads(out)["counts"]
        assert code == 1, err
        wanted = {state: sum(sample.state == state for sample in samples) for state in ("done", "failed", "unknown")}
        assert {state: counts[state] for state in wanted} == wanted
