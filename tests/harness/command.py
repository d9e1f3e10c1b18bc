"""The command line, in this process and in one of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.commands import cli

PROGRAM = [sys.executable, "-c", "import sys; from deployments.commands.cli import main; sys.exit(main())"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the commands, with a data folder of its own."""
    for name in ("ROWRELAY_REDIS_URL", "PREFECT_API_URL", "ROWRELAY_PIPELINES", "POSTS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROWRELAY_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def rowrelay(here: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: exit code, standard output, standard error."""

    def run(*args: object) -> tuple[int, str, str]:
        code = cli.main([str(arg) for arg in args])
        sys.stdout.flush()
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run
