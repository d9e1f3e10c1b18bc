"""Whole deliveries to an API that asks for a token, in this process and in processes of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from flows.delivery.delivery import Delivery
from flows.errors import RowrelayError
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.pipeline.reading import load
from flows.settings import Settings
from tests.harness.forked import Forked
from tests.harness.limits import long_known
from tests.harness.oauth import CLIENT, SECRET, OAuth


def keep_secrets(folder: Path, **secrets: str) -> Path:
    """The folder of secrets with these in it."""
    kept = folder / "secrets"
    kept.mkdir(exist_ok=True)
    for name, value in secrets.items():
        (kept / name).write_text(value)
    return kept


def oauth2(server: OAuth, grant: str = "client_credentials", **more: Any) -> dict[str, Any]:
    """The part `auth` for the server's tokens."""
    stated = {"grant": grant, "token_url": server.url + "/token", "client_id": CLIENT, "client_secret": "${secret:CS}"}
    return {"oauth2": {**stated, **more}}


def definition(folder: Path, url: str, auth: Mapping[str, Any], **more: Any) -> Path:
    """The definition of the pipeline `tokens` as a file."""
    given: dict[str, Any] = {
        "name": "tokens",
        "columns": {"id": {"type": "int"}},
        "request": {"url": url, "timeout_seconds": 5.0, **more.pop("request", {})},
        "response": {"keep": {"said": "said"}},
        "limit": {"name": "tokens", "requests": 20, "window_seconds": 1, "grace_seconds": 0.2, **more.pop("limit", {})},
        "auth": dict(auth),
        **more,
    }
    path = folder / "tokens.yaml"
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    return path


def file_of(folder: Path, rows: int, *, first: int = 1) -> Path:
    """A file of so many rows."""
    path = folder / f"rows-{first}.csv"
    path.write_text("id\n" + "".join(f"{row}\n" for row in range(first, first + rows)))
    return path


def deliver(
    redis_url: str,
    folder: Path,
    path: Path,
    file: Path,
    *,
    run: str = "r1",
    act: Callable[[Delivery], None] = lambda delivery: None,
) -> tuple[Run, str]:
    """Deliver a file, or go on with its run: (how it ended, why it stopped)."""
    loaded = load(path)
    long_known(connect(redis_url), loaded.limit.name)
    ledger = Ledger(connect(redis_url))
    new = ledger.create(run, definition=loaded.resolved(), by="test", pipeline=loaded.name, file=str(file))
    settings = Settings(data=folder / "data", secrets=keep_secrets(folder, CS=SECRET), give_up_seconds=20)
    delivery = Delivery(run, loaded, settings, redis_url)
    failure: RowrelayError | None = None
    delivery.take(resume=not new)
    try:
        delivery.connect()
        if new:
            delivery.spooling.check(file)
        delivery.open()
        act(delivery)
        with ThreadPoolExecutor(8) as pool:
            for chunks in delivery.rounds("unfinished"):
                list(pool.map(delivery.send, chunks))
    except RowrelayError as exc:
        failure = exc
    finally:
        delivery.close()
    stopped = str(delivery.stopped or failure or "")
    ended = delivery.end(failure)
    delivery.release()
    return ended, stopped


def start(redis_url: str, folder: Path, path: Path, file: Path, *, run: str, data: str = "data") -> Forked:
    """The same in a process of its own, to be killed."""
    keep_secrets(folder, CS=SECRET)
    given = {
        "redis_url": redis_url,
        "data": str(folder / data),
        "pipeline": str(path),
        "run": run,
        "file": str(file),
        "environment": {"ROWRELAY_SECRETS": str(folder / "secrets")},
    }
    long_known(connect(redis_url), load(path).limit.name)
    return Forked(json.dumps(given), folder / f"said-{uuid4().hex}")
