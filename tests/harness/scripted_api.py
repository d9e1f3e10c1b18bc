"""An API that answers as a test says, and whole deliveries to it in this process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from flows.delivery.delivery import Delivery
from flows.errors import RowrelayError
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.pipeline.reading import load
from flows.records import Wanted
from flows.settings import Settings
from tests.harness.limits import long_known
from tests.harness.scripted import Answer, answering


class Asked(NamedTuple):
    """A request as it came."""

    at: float
    method: str
    path: str
    key: str
    body: Any

    @property
    def values(self) -> list[str]:
        """The emails in it."""
        rows = self.body if isinstance(self.body, list) else [self.body]
        return [row["email"] for row in rows]


@dataclass
class Scripted:
    """Answers (status, body, headers) as `answer` says; `log` has what came."""

    answer: Callable[[Asked], Answer]
    url: str = ""
    log: list[Asked] = field(default_factory=list)

    def reply(self, method: str, path: str, headers: Message, body: bytes) -> Answer:
        """Answer one request."""
        key = headers.get("Idempotency-Key", "")
        asked = Asked(time.monotonic(), method, path, key, json.loads(body or b"null"))
        self.log.append(asked)
        return self.answer(asked)


@contextmanager
def scripted(answer: Callable[[Asked], Answer]) -> Iterator[Scripted]:
    """The API, while it serves."""
    api = Scripted(answer)
    with answering(api.reply) as api.url:
        yield api


def delivered(
    redis_url: str,
    folder: Path,
    definition: dict[str, Any],
    emails: Sequence[str],
    *,
    rows: Wanted = "unfinished",
    request: str = "",
    table: str = "",
    act: Callable[[Delivery], None] = lambda delivery: None,
) -> Run:
    """Deliver the run `r1` of these rows, or go on with it; returns how it ended. `act` is called once it is open.

    `table`: the whole file, in place of emails.
    """
    given = {"name": "scripted", "columns": {"email": {"type": "str"}}, **definition}
    if "limits" not in given:
        given["limit"] = {"name": "scripted", "in_flight": 4, "grace_seconds": 0.2, **given.get("limit", {})}
    path = folder / "scripted.yaml"
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    loaded, file = load(path), folder / "rows.csv"
    file.write_text(table or "\n".join(["email", *emails]) + "\n")
    for limit in loaded.each_limit:
        long_known(connect(redis_url), limit.name)
    new = Ledger(connect(redis_url)).create(
        "r1", definition=loaded.resolved(), by="test", pipeline=loaded.name, file=str(file)
    )
    delivery = Delivery("r1", loaded, Settings(data=folder / "data", give_up_seconds=20), redis_url)
    failure: RowrelayError | None = None
    delivery.take(resume=not new)
    try:
        delivery.connect()
        if new:
            delivery.spooling.check(file)
        delivery.open()
        act(delivery)
        with ThreadPoolExecutor(8) as pool:
            for chunks in delivery.rounds(rows, request=request):
                list(pool.map(delivery.send, chunks))
    except RowrelayError as exc:
        failure = exc
    finally:
        delivery.close()
    ended = delivery.end(failure)
    delivery.release()
    return ended


def patient(run: Callable[[], Run], *, seconds: float) -> Run:
    """What `run` returns, which must not take longer."""
    found: list[Run] = []
    thread = threading.Thread(target=lambda: found.append(run()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, f"it had not ended after {seconds:g} s"
    return found[0]
