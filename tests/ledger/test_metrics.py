"""What is told to Prometheus."""

from __future__ import annotations

import json
import re
import signal
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from deployments.observe.metrics import server
from flows.ledger.connection import connect
from flows.ledger.erase import erase
from flows.metrics import ENDINGS, Collector
from flows.records import RunState
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
        with scraped(Collector(connect(redis_url))) as another:  # whoever is asked says the same
            assert scrape(another)[requests] == 40
        erase(connect(redis_url), run)
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


def test_a_run_that_had_ended_and_goes_on_counts_each_row_once(scene: World, redis_url: str) -> None:
    run = str(uuid4())
    file = scene.file(150)
    engine = scene.start(run, file=file)
    scene.wait_for_rows(run, 50)
    engine.send_signal(signal.SIGTERM)
    before = scene.ended(engine)["counts"]["done"]
    assert 50 <= before < 150

    with scraped(Collector(connect(redis_url))) as address:
        sent = scrape(address)['rowrelay_requests_total{pipeline="posts"}']
        assert sent >= before
        ended = scene.deliver(run, file=file)
        after = scrape(address)

    assert (ended["state"], ended["counts"]["done"]) == (RunState.FINISHED, 150), ended
    assert after['rowrelay_requests_total{pipeline="posts"}'] == 150
    assert after['rowrelay_outcomes_total{outcome="done",pipeline="posts"}'] == 150
    endings = {how: after[f'rowrelay_runs_ended_total{{how="{how}",pipeline="posts"}}'] for how in ENDINGS}
    assert endings == {"cancelled": 1, "finished": 1, "finished_with_errors": 0, "stopped": 0}


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
