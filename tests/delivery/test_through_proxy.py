"""Whole deliveries through a proxy: killed and resumed, no row twice, the limit kept, the password nowhere."""

from __future__ import annotations

import signal
from base64 import b64encode
from pathlib import Path
from typing import Any

from flows.ledger.connection import connect
from flows.records import RowState, RunState
from tests.harness.http_proxy import Proxied, proxied
from tests.harness.world import world

__all__ = ["proxied"]
LIMIT: dict[str, Any] = {"name": "api", "requests": 20, "window_seconds": 1, "in_flight": 6, "grace_seconds": 0.3}
PASSWORD = "hunter2-" + "x" * 12
ENVIRONMENT = {"PROXY_PW": PASSWORD}


def test_a_run_through_a_proxy_is_killed_resumed_and_keeps_the_limit(
    tmp_path: Path, redis_url: str, proxied: Proxied
) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs={"delay_min_seconds": 0.05, "delay_max_seconds": 0.1}) as w:
        proxy = proxied(w.url, user=f"me:{PASSWORD}")
        w.more["proxy"] = proxy.with_user("me:${secret:PROXY_PW}")
        w.more["idempotent"] = True
        file = w.file(70)
        killed = w.start("r1", file=file, environment=ENVIRONMENT)
        w.wait_for_rows("r1", 15)
        killed.send_signal(signal.SIGKILL)
        killed.communicate(timeout=10)

        ended = w.deliver("r1", file=file, environment=ENVIRONMENT)

        report = w.report()
        assert ended["state"] == RunState.FINISHED
        assert ended["counts"]["done"] + ended["counts"]["unknown"] == 70
        assert ended["counts"]["done"] >= 64
        assert report["over"] == 0
        assert report["keys"] == 70  # what went twice is known by its key
        assert proxy.connections >= 2
        assert all(head.startswith(b"POST http://127.0.0.1:") for head in proxy.heads)
        told = [text for _, text in w.view.events("r1") if text.startswith("requests go through the proxy http://")]
        assert told
        assert any(text.startswith("requests go through the proxy") for text in w.run("r1").notices)
        assert w.run("r1").counts[RowState.FAILED] == 0
    client = connect(redis_url)
    stored = b"".join(client.dump(key) or b"" for key in client.keys("*"))  # type: ignore[union-attr]
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (PASSWORD, b64encode(f"me:{PASSWORD}".encode()).decode()):
        assert secret.encode() not in stored
        assert secret.encode() not in files


def test_a_run_whose_proxy_refuses_the_password_loses_no_row(tmp_path: Path, redis_url: str, proxied: Proxied) -> None:
    with world(tmp_path, redis_url, limit=LIMIT) as w:
        proxy = proxied(w.url, user="me:another")
        w.more["proxy"] = proxy.with_user("me:${secret:PROXY_PW}")
        file = w.file(30)

        stopped = w.deliver("r1", file=file, environment=ENVIRONMENT)
        proxy.takes(f"me:{PASSWORD}")  # somebody corrects it
        ended = w.deliver("r1", file=file, environment=ENVIRONMENT)

        assert stopped["state"] == RunState.STOPPED
        assert (
            f"the proxy {proxy.address} does not take the user and password that it was given (407)"
            in stopped["reason"]
        )
        assert stopped["counts"]["waiting"] == 30
        assert (ended["state"], ended["counts"]["done"]) == (RunState.FINISHED, 30)
        assert w.report()["arrivals"] == 30
