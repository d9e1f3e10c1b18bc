"""What is told to log collectors: one object a line."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from flows.logs import JsonFormatter
from tests.harness.world import ROOT


def test_a_log_line_for_machines_is_one_object_with_its_trace_inside() -> None:
    record = logging.makeLogRecord(
        {"name": "flows.delivery.sender", "levelname": "ERROR", "msg": "row %d\nfailed", "args": (3,)}
    )
    record.run = "0198c5a2"
    try:
        raise ValueError("broken")
    except ValueError:
        record.exc_info = sys.exc_info()
    text = JsonFormatter().format(record)
    line = json.loads(text)

    assert "\n" not in text
    assert (line["message"], line["level"], line["run"]) == ("row 3\nfailed", "error", "0198c5a2")
    assert "ValueError: broken" in line["trace"]


def test_with_json_logs_what_libraries_print_becomes_json_too() -> None:
    """Prefect sets up a console of its own; a collector that meets one line of it loses its place."""
    program = (
        "import logging, prefect; from prefect.logging import get_logger; from flows import logs;"
        "logs.configure('json'); get_logger('runner').warning('from prefect');"
        "logging.getLogger('flows.x').info('from us'); logging.getLogger('httpx').info('https://a/?token=secret')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines()]

    assert [line["message"] for line in lines] == ["from prefect", "from us"], done.stderr


@pytest.mark.parametrize("command", ["serve", pytest.param("worker", marks=pytest.mark.slow)])
def test_what_serves_runs_writes_json_where_that_is_set(command: str, tmp_path: Path) -> None:
    """Prefect's own words, which nobody answers here, and ours: every line one object, up to the error it ends with."""
    (tmp_path / "bad.yaml").write_text("name: bad\n")
    environment = {
        "PATH": "/usr/bin:/bin",
        "ROWRELAY_LOG_FORMAT": "json",
        "ROWRELAY_PIPELINES": str(tmp_path),
        "ROWRELAY_DATA": str(tmp_path / "data"),
        "PREFECT_API_URL": "http://127.0.0.1:1/api",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_CLIENT_MAX_RETRIES": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "deployments.commands", command],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    lines = []
    try:
        for line in process.stderr:  # until it ends, as `serve` does, or Prefect has said something
            if line.startswith("rowrelay: Prefect does not answer at http://127.0.0.1:1/api: "):
                break
            lines.append(json.loads(line))
            if lines[-1]["logger"].startswith("prefect."):
                break
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines), lines
    assert any(line["logger"].startswith("rowrelay.") for line in lines), lines


def test_lines_of_a_run_carry_its_id() -> None:
    program = (
        "import logging; from flows import logs; logs.configure('json'); logs.speak_of(run='0198c5a2');"
        "logging.getLogger('flows.x').info('row 3')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert json.loads(done.stderr)["run"] == "0198c5a2"


def test_prefect_itself_writes_json_where_that_is_set() -> None:
    program = (
        "from prefect import flow; from prefect.logging import get_logger; get_logger('server').warning('x' * 300)"
    )
    done = subprocess.run(
        [sys.executable, "-m", "deployments.container.entrypoint", sys.executable, "-c", program],
        env={"PATH": "/usr/bin:/bin", "ROWRELAY_LOG_FORMAT": "json"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert json.loads(done.stderr)["message"] == "x" * 300, done.stderr


def test_the_loggers_for_json_are_those_of_prefect() -> None:
    import prefect
    from ruamel.yaml import YAML

    read = YAML(typ="safe").load
    own = read((ROOT / "flows" / "logging.yml").read_text())
    theirs = read((Path(prefect.__file__).parent / "logging" / "logging.yml").read_text())

    assert own["loggers"] == theirs["loggers"]
    assert own["root"] == theirs["root"]
    assert set(own["handlers"]) == set(theirs["handlers"])
