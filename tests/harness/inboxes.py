"""An inbox with a ledger, a limiter and an API; only Prefect is left out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flows.delivery.delivery import Delivery
from flows.errors import RowrelayError
from flows.intake.fate import Delivered, Fate, Taken
from flows.intake.intake import Intake
from flows.intake.origin import origin
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.pipeline.reading import load
from flows.settings import Settings
from flows.storage.located import opened
from tests.harness.world import World, world

LIMIT: dict[str, Any] = {"name": "inbox", "requests": 200, "window_seconds": 1, "in_flight": 20, "grace_seconds": 0.3}
QUICK = {"delay_min_seconds": 0.005, "delay_max_seconds": 0.01}


@pytest.fixture
def here(tmp_path: Path, redis_url: str) -> Iterator[World]:
    with world(tmp_path, redis_url, limit=LIMIT, knobs=QUICK) as w:
        inbox(w).mkdir(parents=True)
        yield w


def settings(w: World, **more: Any) -> Settings:
    return Settings(data=w.folder / "data", **{"settle_seconds": 0.3, **more})


def inbox(w: World) -> Path:
    return w.folder / "data" / "inbox" / "posts"


def deliver(w: World, here: Settings, run: str) -> Delivered:
    """What the flow does, without Prefect."""
    client = connect(w.redis_url)
    delivery = Delivery(run, load(w.pipeline), here, w.redis_url)
    try:
        delivery.take(resume=True)
    except RowrelayError as exc:
        return Delivered(message=str(exc))
    failure: RowrelayError | None = None
    try:
        delivery.connect()
        if delivery.view.run(run).total == 0:
            with opened(delivery.view.run(run).file, here, delivery.definition) as file:
                delivery.spooling.check(file, skip_delivered=delivery.view.run(run).facts.skip_delivered)
        delivery.open()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(delivery.send, delivery.planned.plan("unfinished", epoch=delivery.lease.epoch)))
        delivery.settle()
    except RowrelayError as exc:
        failure = exc
    finally:
        delivery.close()
    delivery.end(failure)
    client.close()
    return Delivered(delivery.interrupted, delivery.failure)


def intake(w: World, folder: str = "", *, skip_delivered: bool = False, **more: Any) -> Intake:
    made = settings(w, **more)
    definition = load(w.pipeline)
    return Intake(
        origin(folder, definition, made),
        definition,
        made,
        Ledger(connect(w.redis_url)),
        lambda run, name: deliver(w, made, run),
        by="test",
        skip_delivered=skip_delivered,
    )


def looked(w: World, folder: str = "", **more: Any) -> list[Taken]:
    """What became of the files that lay there, with what is told of each."""
    made = intake(w, folder, **more)
    made.look()
    return made.taken


def look(w: World, folder: str = "", **more: Any) -> dict[str, Fate]:
    """What became of the files that lay there."""
    return {taken.name: taken.fate for taken in looked(w, folder, **more)}


def put(w: World, name: str, rows: int, *, age: float = 60.0, **more: Any) -> Path:
    made = w.file(rows, name=name, **more)
    target = inbox(w) / name
    made.rename(target)
    os.utime(target, (time.time() - age, time.time() - age))
    return target


def report(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.with_name(path.name + ".report.json").read_text())
    return found


def w_file(rows: int) -> bytes:
    return b"userId,title,body\n" + b"".join(b"%d,t,fsspec %d\n" % (i, rows) for i in range(1, rows + 1))
