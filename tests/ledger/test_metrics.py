"""What is told to Prometheus, to log collectors and to people who are away."""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from deployments.observe.metrics import server
from deployments.registry.notifications import AUTOMATION
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.logs import JsonFormatter
from flows.metrics import Collector
from flows.records import RunState
from flows.settings import Settings
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import World, world

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$", flags=re.MULTILINE)


@pytest.fixture
def scene(tmp_path: Path, redis_url: str) -> Iterator[World]:
    with world(tmp_path, redis_url, limit={"name": "seen", "requests": 50, "window_seconds": 0.5}) as made:
        yield made


@contextmanager
def scraped(collector: Collector) -> Iterator[str]:
    """The address of a metrics server."""
    with server("127.0.0.1", 0, collector) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


def scrape(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {name + (f"{{{labels}}}" if labels else ""): float(value) for name, labels, value in NAME.findall(text)}


def test_the_metrics_say_what_the_ledger_and_the_limit_say(scene: World, redis_url: str) -> None:
    run = str(uuid4())
    requests = 'rowrelay_requests_total{pipeline="posts"}'
    with scraped(Collector(connect(redis_url), folder=scene.folder)) as address:
        before = scrape(address)
        scene.deliver(run, file=scene.file(40, bad=2))
        after = scrape(address)
        with scraped(Collector(connect(redis_url))) as late:  # a process that begins now: counting begins with it
            assert scrape(late)[requests] == 0
        Ledger(connect(redis_url)).delete(run)
        emptied = scrape(address)

    assert before["rowrelay_up"] == after["rowrelay_up"] == 1
    assert after[requests] == 40
    assert after['rowrelay_outcomes_total{outcome="done",pipeline="posts"}'] == 40
    assert after['rowrelay_outcomes_total{outcome="failed",pipeline="posts"}'] == 0
    assert after['rowrelay_runs_ended_total{how="finished_with_errors",pipeline="posts"}'] == 1
    assert after['rowrelay_limit_slots{limit="seen",window_seconds="0.5"}'] == 50
    assert after['rowrelay_limit_state{limit="seen",state="open"}'] == 1
    assert after["rowrelay_redis_durable"] == 1
    assert after["rowrelay_disk_free_bytes"] > 0
    assert emptied[requests] == 40  # a counter that fell would look like a restart, and all its past like new events


def test_a_run_that_had_ended_and_goes_on_counts_only_what_is_new(scene: World, redis_url: str) -> None:
    run = str(uuid4())
    file = scene.file(150)
    engine = scene.start(run, file=file)
    scene.wait_for_rows(run, 50)
    engine.send_signal(signal.SIGTERM)
    before = scene.ended(engine)["counts"]["done"]
    assert 50 <= before < 150

    with scraped(Collector(connect(redis_url))) as address:
        assert scrape(address)['rowrelay_requests_total{pipeline="posts"}'] == 0
        ended = scene.deliver(run, file=file)
        after = scrape(address)

    assert (ended["state"], ended["counts"]["done"]) == (RunState.FINISHED, 150), ended
    assert after['rowrelay_requests_total{pipeline="posts"}'] == 150 - before
    assert after['rowrelay_outcomes_total{outcome="done",pipeline="posts"}'] == 150 - before


def test_a_run_under_way_shows_its_queue_its_rate_and_its_round_trip(tmp_path: Path, redis_url: str) -> None:
    limit = {"name": "slow", "requests": 20, "window_seconds": 1}
    with world(tmp_path, redis_url, limit=limit) as scene:
        run = str(uuid4())
        engine = scene.start(run, file=scene.file(200))
        with scraped(Collector(connect(redis_url))) as address:
            rate = 'rowrelay_request_rate{pipeline="posts"}'
            seen = wait_until(
                lambda: found if (found := scrape(address)).get(rate, 0) > 0.5 else None, seconds=20, what="a rate"
            )
        engine.kill()
        engine.wait()

    rows = {
        state: seen[f'rowrelay_rows{{pipeline="posts",state="{state}"}}'] for state in ("waiting", "sending", "done")
    }
    assert sum(rows.values()) == 200
    assert rows["waiting"] > 0
    assert 0 < seen['rowrelay_round_trip_seconds{pipeline="posts",quantile="0.5"}'] < 1
    assert seen['rowrelay_limit_askers{limit="slow"}'] == 1


def test_without_redis_the_metrics_say_so_instead_of_failing() -> None:
    with scraped(Collector(connect("redis://127.0.0.1:1/0"))) as address:
        assert scrape(address)["rowrelay_up"] == 0


def test_every_metric_of_the_grafana_dashboard_exists() -> None:
    """A renamed metric would leave an empty panel that nobody notices."""
    text = (ROOT / "deployments" / "observe" / "grafana" / "rowrelay.json").read_text()
    board = json.loads(text)
    source = (ROOT / "flows" / "metrics.py").read_text()
    asked = {name.removesuffix("_total") for name in re.findall(r"\browrelay_[a-z_]+", text)}

    assert board["panels"]
    assert asked
    assert {name for name in asked if f'"{name}"' not in source} == set()


def test_every_metric_is_told_of_in_the_docs() -> None:
    source = (ROOT / "flows" / "metrics.py").read_text()
    docs = (ROOT / "docs" / "operations.md").read_text()

    assert {name for name in re.findall(r'"(rowrelay_[a-z_]+)"', source) if name not in docs} == set()


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
    """Prefect's own words, which nobody answers here, and ours: every line one object."""
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
    try:
        process.wait(25)
    except subprocess.TimeoutExpired:
        process.terminate()
    _, said = process.communicate(timeout=30)
    ours = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert ours, said
    assert {"time", "level", "logger", "message"} <= set(ours[0])


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

@flow(name="deliver", flow_run_name="told · a.csv")
def deliver(how):
    return Failed(message="3 done of 9. The API has shut us out") if how == "stop" else Completed(
        name=None if how == "well" else "CompletedWithErrors", message="8 done, 1 failed of 9")

for how in sys.argv[1:]:
    deliver(how, return_state=True)
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
            [sys.executable, "-c", FAIL, "well", "stop", "errors"], env=environment, cwd=ROOT, check=True, timeout=90
        )
        # Other tests' runs on the same server are told of as well.
        ours = lambda: [each for each in told.messages if "told · a.csv" in each["subject"]]  # noqa: E731
        wait_until(lambda: len(ours()) >= 2, seconds=90, what="two messages")
        assert "nobody" in set_up("").lower()
    finally:
        told.server.shutdown()

    assert sorted(message["subject"] for message in ours()) == [
        "Rowrelay: told · a.csv is CompletedWithErrors",
        "Rowrelay: told · a.csv is Failed",
    ]
    assert any("The API has shut us out" in message["text"] for message in ours())
    assert all("http://dash.example/run?id=" in message["text"] for message in ours())


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
