"""A whole delivery in a process of its own, without Prefect: what Prefect maps, on a plain thread pool.

    python -m tests.harness.engine '{"redis_url": …, "data": …, "pipeline": …, "run": …, "file": …}'

Prints one JSON object: the run's state, reason and counts.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flows.delivery.delivery import Delivery
from flows.errors import RowrelayError, Superseded
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.pipeline.reading import load
from flows.records import RowState, Wanted
from flows.settings import Settings


def deliver(
    *,
    redis_url: str,
    data: str,
    pipeline: str,
    run: str,
    file: str = "",
    rows: Wanted = "unfinished",
    request: str = "",
    reason: str = "",
    skip_delivered: bool = False,
    give_up_seconds: float = 60.0,
    stall: float = 0.0,
    roots: str = "",
    wait: bool = False,
    environment: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Deliver or resume `run`; `stall` blocks the sending loop for 150 ms about once in so many seconds.

    `roots` is a file with the certificates to trust. `wait`: until the API has decided about every accepted row.
    """
    os.environ.update(environment or {})
    if roots:
        os.environ["SSL_CERT_FILE"] = roots
    settings = Settings(data=Path(data), give_up_seconds=give_up_seconds)
    definition = load(pipeline)
    new = Ledger(connect(redis_url)).create(
        run, definition=definition.resolved(), by="test", pipeline=definition.name, file=file
    )
    delivery = Delivery(run, definition, settings, redis_url)
    signal.signal(signal.SIGTERM, lambda number, frame: delivery.drain())
    delivery.take(resume=not new)
    failure: RowrelayError | None = None
    try:
        delivery.connect()
        if delivery.view.run(run).total == 0:
            delivery.spooling.check(Path(file), skip_delivered=skip_delivered)
        delivery.open()
        if stall:
            _stall(delivery, stall)
        with ThreadPoolExecutor(16) as pool:
            for chunks in delivery.rounds(rows, request=request, reason=reason):
                list(pool.map(delivery.send, chunks))
        if wait:
            delivery.settling.wait()
    except RowrelayError as exc:
        failure = exc
    finally:
        delivery.close()
    stopped = str(delivery.stopped or failure or "")
    try:
        ended = delivery.end(failure)
    except Superseded:
        ended = delivery.view.run(run)
    return {
        "stopped": stopped,
        "state": ended.state,
        "reason": ended.reason,
        "counts": {state: ended.counts[state] for state in RowState},
        "total": ended.total,
        "facts": dict(ended.stored),
    }


def _stall(delivery: Delivery, every: float) -> None:
    engine = delivery.sending.engine

    async def stall() -> None:
        import asyncio
        import random

        while engine.sender is None or not engine.sender.is_ending:  # a loop with tasks left cannot end
            await asyncio.sleep(every * random.uniform(0.5, 1.5))
            time.sleep(0.15)  # noqa: ASYNC251  a blocked loop is what is wanted

    threading.Thread(target=engine.run, args=(stall,), daemon=True).start()


def main(given: str) -> None:
    """Deliver as `given` says, in JSON, and print what became of it."""
    print(json.dumps(deliver(**json.loads(given))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
