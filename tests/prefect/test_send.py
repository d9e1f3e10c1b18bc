"""`rowrelay send` and `rowrelay up` on a real stack: how they end, and what a person does next."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.commands.session import person
from deployments.embedded.redis_server import free_port
from flows.ledger.connection import connect
from flows.ledger.view import View
from flows.records import RowState, RunState
from tests.harness.command import PROGRAM, Run, here, rowrelay
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import ROOT, World, world

__all__ = ["here", "rowrelay"]

LIMIT: dict[str, Any] = {"name": "cli", "requests": 20, "window_seconds": 1, "in_flight": 20, "grace_seconds": 0.2}


@pytest.fixture
def sending(stack: RunningStack, tmp_path: Path) -> Iterator[World]:
    """A stand-in, a pipeline `cliposts` for it, and the session's stack."""
    limit = LIMIT | {"name": f"cli-{tmp_path.name[-30:].strip('_').replace('_', '-').lower()}"}
    knobs = {"delay_min_seconds": 0.02, "delay_max_seconds": 0.05}
    with world(tmp_path, stack.addresses.redis_url, limit=limit, knobs=knobs, name="cliposts") as made:
        yield made


def program(w: World, stack: RunningStack, *args: object, terminal: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    process = subprocess.Popen(
        [*PROGRAM, *map(str, args)],
        cwd=ROOT,
        env={**os.environ, **stack.environment, "ROWRELAY_PIPELINES": str(w.pipeline)},
        stdout=terminal,
        stderr=terminal,
        text=True,
    )
    w.engines.append(process)
    return process


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=90)
    return process.returncode, out, err


def test_a_file_is_sent_and_only_its_result_is_on_standard_output(
    sending: World, stack: RunningStack, rowrelay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = sending.file(40, bad=2)

    code, out, err = finished(program(sending, stack, "send", file, "--pipeline", "cliposts", "--json"))

    result = json.loads(out)
    assert (code, result["exit"], result["state"]) == (1, 1, "finished")
    assert result["counts"] == {
        "rejected": 2,
        "waiting": 0,
        "sending": 0,
        "accepted": 0,
        "done": 40,
        "failed": 0,
        "unknown": 0,
    }
    assert result["total"] == 42
    assert 0 < result["peak"] <= 20
    assert 1.0 < result["seconds"] < 60
    assert sending.report()["over"] == 0
    assert sending.report()["arrivals"] == 40
    assert f"Run {result['run']}" in err
    assert "100 % of 42" in err
    assert "this content was sent before" not in err

    with urllib.request.urlopen(f"{stack.environment['PREFECT_API_URL']}/flow_runs/{result['run']}") as answer:
        flow_run = json.load(answer)
    assert f"by:{person()}" in flow_run["tags"]
    assert "with errors" in flow_run["tags"]

    use(stack, monkeypatch)
    done = json.loads(rowrelay("export", result["run"][:8], "--rows", "done")[1])["result"]
    assert {row["userId"] for row in done} == set(range(1, 41))
    assert all(row["postId"] for row in done)

    code, _, err = finished(program(sending, stack, "send", file, "--pipeline", "cliposts"))
    assert code == 1
    assert f"A file with this content was sent before: run {result['run'][:8]}, 40 rows done." in err


def use(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process are for the session's stack."""
    monkeypatch.setenv("ROWRELAY_DATA", stack.environment["ROWRELAY_DATA"])
    monkeypatch.setenv("ROWRELAY_REDIS_URL", stack.environment["ROWRELAY_REDIS_URL"])


def underway(w: World, stack: RunningStack) -> Callable[[], Any]:
    """The world's newest run, once some of its rows are done."""
    view = View(connect(stack.addresses.redis_url))

    def look() -> Any:
        newest = view.runs(0, 1)
        ours = newest and newest[0].file == str(w.folder / "rows.csv") and newest[0].counts[RowState.DONE] >= 10
        return newest[0] if ours else None

    return look


def test_ctrl_c_waits_for_answers_and_the_rest_can_be_resumed(sending: World, stack: RunningStack) -> None:
    process = program(sending, stack, "send", sending.file(90), "--pipeline", "cliposts")
    run = wait_until(underway(sending, stack), seconds=60, what="rows under way")

    process.send_signal(signal.SIGINT)
    code, out, err = finished(process)

    after = View(connect(stack.addresses.redis_url)).run(run.id)
    assert code == 130
    assert f"Resume with: rowrelay send --resume {run.id[:8]}" in err
    assert "Traceback" not in err
    assert after.state is RunState.CANCELLED
    assert after.counts[RowState.UNKNOWN] == after.counts[RowState.SENDING] == 0
    assert after.counts[RowState.WAITING] > 0
    assert sending.report()["arrivals"] == after.counts[RowState.DONE]

    code, out, err = finished(program(sending, stack, "send", "--resume", run.id[:8]))

    assert code == 0, err
    assert re.search(r"90 +done", out)
    assert sorted(int(arrival["tag"]) for arrival in sending.arrivals()) == list(range(1, 91))


@pytest.mark.slow
def test_sigterm_is_like_ctrl_c(sending: World, stack: RunningStack) -> None:
    process = program(sending, stack, "send", sending.file(90), "--pipeline", "cliposts", "--json")
    run = wait_until(underway(sending, stack), seconds=60, what="rows under way")

    process.send_signal(signal.SIGTERM)
    code, out, err = finished(process)

    result = json.loads(out)
    assert (code, result["exit"], result["run"]) == (130, 130, run.id)
    assert result["counts"]["waiting"] > 0
    assert result["counts"]["unknown"] == result["counts"]["sending"] == 0
    assert sending.report()["arrivals"] == result["counts"]["done"]
    assert "Traceback" not in err


def test_a_terminal_that_is_closed_ends_a_delivery_as_ctrl_c_does(sending: World, stack: RunningStack) -> None:
    terminal, own_end = pty.openpty()
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup the program would inherit that it is ignored
    process = program(sending, stack, "send", sending.file(90), "--pipeline", "cliposts", terminal=own_end)
    signal.signal(signal.SIGHUP, before)
    os.close(own_end)
    threading.Thread(target=drained, args=(terminal,), daemon=True).start()
    run = wait_until(underway(sending, stack), seconds=60, what="rows under way")

    process.send_signal(signal.SIGHUP)  # as the shell of a closed terminal does, after the kernel
    process.send_signal(signal.SIGHUP)
    code = process.wait(120)

    after = View(connect(stack.addresses.redis_url)).run(run.id)
    assert code == 130
    assert after.state is RunState.CANCELLED
    assert after.counts[RowState.UNKNOWN] == after.counts[RowState.SENDING] == 0
    assert sending.report()["arrivals"] == after.counts[RowState.DONE]


def drained(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass


@pytest.mark.parametrize("name", ["HTTP_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_keeps_nobody_from_the_servers_of_this_machine(
    sending: World, stack: RunningStack, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9" if name == "HTTP_PROXY" else "socks5://127.0.0.1:9")
    for other in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(other, raising=False)

    code, _, err = finished(program(sending, stack, "send", sending.file(3), "--pipeline", "cliposts"))

    assert code == 0, err


def test_a_second_ctrl_c_leaves_rows_under_way_unknown(sending: World, stack: RunningStack) -> None:
    sending.more["request"] = {"timeout_seconds": 4}
    process = program(sending, stack, "send", sending.file(90), "--pipeline", "cliposts")
    run = wait_until(underway(sending, stack), seconds=60, what="rows under way")
    sending.control(delay_min_seconds=3.8, delay_max_seconds=3.8)
    view = View(connect(stack.addresses.redis_url))
    wait_until(lambda: view.run(run.id).counts[RowState.SENDING] >= 5, what="slow answers")

    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "no new rows" not in (line := process.stderr.readline()):
        assert line, "the first Ctrl-C was not heeded"
    process.send_signal(signal.SIGINT)
    code, _, err = finished(process)

    after = view.run(run.id)
    assert code == 130
    assert "Traceback" not in err
    assert after.counts[RowState.UNKNOWN] > 0
    assert after.counts[RowState.SENDING] == 0
    assert sum(after.counts.values()) == 90


@pytest.mark.slow
def test_a_ban_stops_the_run_until_a_person_opens_the_limit(
    sending: World, stack: RunningStack, rowrelay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending.control(ban=True)
    code, out, err = finished(program(sending, stack, "send", sending.file(30), "--pipeline", "cliposts"))
    name = sending.limit["name"]

    assert code == 3, err
    assert f"rowrelay limits open {name}" in out
    assert "Traceback" not in err

    use(stack, monkeypatch)
    assert re.search(rf"{name} +latched", rowrelay("limits")[1])
    assert json.loads(rowrelay("limits", "show", "--json")[1])["limits"]
    assert rowrelay("limits", "open", name)[:2] == (0, f"The limit {name} is open again.\n")
    assert rowrelay("limits", "open", name)[:2] == (0, f"The limit {name} was not shut.\n")

    sending.control(ban=False)
    code, out, err = finished(program(sending, stack, "send", "--resume", "last"))
    assert code == 1, err  # those that the ban answered stay failed
    assert re.search(r"\d+ +failed", out)
    assert sending.report()["over"] == 0


def test_everything_runs_in_the_foreground_until_ctrl_c(
    sending: World, stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a proxy of the environment that leads nowhere: the servers of this machine are asked directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    for other in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
    port = free_port()
    process = program(sending, stack, "up", "--port", port)
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith("Ctrl-C"):
        line = process.stdout.readline()
        assert line, process.communicate(timeout=10)[1]
        lines.append(line)

    text = "".join(lines)
    assert re.search(r"^Redis +redis://:\*\*\*@127", text, flags=re.MULTILINE)
    assert f"Prefect server   {stack.addresses.prefect_api_url.removesuffix('/api')}\n" in text
    assert "deliver/cliposts" in text
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with directly.open(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
        assert answer.status == 200

    process.send_signal(signal.SIGINT)
    code, _, err = finished(process)

    assert code == 0, err
    with pytest.raises(OSError):  # noqa: PT011 — refused, whatever the system calls it
        directly.open(f"http://127.0.0.1:{port}/_stcore/health", timeout=5)
