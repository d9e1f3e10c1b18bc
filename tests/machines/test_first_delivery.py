"""A delivery where nothing runs yet: it starts the stack, and loads Prefect while that comes up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from deployments.embedded.locks import held
from deployments.embedded.state import PREFECT, StackState
from tests.harness.wait import wait_until
from tests.harness.world import ROOT


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A data folder of the test's own, and no servers from outside."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(("ROWRELAY_", "PREFECT_"))}
    return base | {
        "ROWRELAY_DATA": str(tmp_path / "data"),
        "ROWRELAY_SEPARATE_STACK": "1",
        "POSTS_URL": "http://127.0.0.1:9/posts",
    }


@contextmanager
def sending(environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`rowrelay send` of the sample file; gone at the end of the block, and its stack with it."""
    command = [sys.executable, "-m", "deployments.commands", "send", str(ROOT / "samples/posts.csv"), "--yes", "--json"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
    stack = Path(environment["ROWRELAY_DATA"]) / "stack"
    wait_until(lambda: not held(stack / "supervisor.lock"), seconds=60, what="the stack to end")


def server(port: int) -> psutil.Process:
    """The Prefect server that was told to listen there."""
    for each in psutil.process_iter(["cmdline"]):
        words = each.info["cmdline"] or []
        if "prefect" in words and words[-2:] == ["--port", str(port)]:
            return each
    raise AssertionError(f"no Prefect server for port {port}")


def test_a_prefect_server_that_dies_as_it_starts_is_not_taken_for_the_one_that_comes_up(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Prefect, which is loaded meanwhile, knows the address of the one that died."""
    with sending(environment) as process:
        wait_until((tmp_path / "data/logs").exists, seconds=60, what="Prefect to be loaded")

        server(StackState.read(tmp_path / "data/stack").service(PREFECT).port).kill()

        said, _ = process.communicate(timeout=120)
    told = json.loads(said)
    assert (process.returncode, told["run"], told["exit"]) == (2, None, 2)
    assert "came up at another address" in told["error"]
    assert "Start the command again" in told["hint"]
