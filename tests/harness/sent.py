"""A run that was sent, with rows in every state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import redis

from flows.delivery.check import check_file
from flows.ledger import keys
from flows.ledger.ledger import Ledger
from flows.ledger.moves import Answer, Claim
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.reading import load
from flows.records import RowState
from flows.spool.spool import Spool

POSTS = """
name: posts
columns:
  userId: {type: int, min: 1}
  title: {type: str, blank: false}
  price: {type: decimal, optional: true}
request: {url: "http://127.0.0.1:1/posts"}
response: {keep: {postId: id, tags: tags}}
limit: {name: a, requests: 7, window_seconds: 1}
"""
FILE = """userId,title,price,extra
1,first,1.50,a
0,=1+1,,b
3,"with
newline",-5,c
4,fourth
5,=cmd|x,,e
6,sixth,2,f
"""


@dataclass
class Sent:
    """A run whose rows ended as a test wishes."""

    ledger: Ledger
    view: View
    spool: Spool
    id: str
    epoch: int

    @property
    def run(self) -> Run:
        return self.view.run(self.id)

    def end(self, row: int, state: RowState, *, status: int | None = None, reason: str = "", **kept: object) -> None:
        """Claim a row and record its outcome."""
        claims = [Claim((row,), row)]
        why, _ = self.ledger.claim(self.id, self.epoch, claims, patience_seconds=5, idempotency_seconds=0)
        assert why == "ok"
        tail, detail = keys.pack(
            ("postId", "tags"), status=status, took_seconds=0.1, kept=kept, reason=reason, excerpt=""
        )
        assert self.ledger.answer(self.id, [Answer(row, self.epoch, row, state, tail, detail, None)]) == [state]


def sent(
    redis_url: str,
    folder: Path,
    *,
    text: str = FILE,
    yaml: str = POSTS,
    encoding: str = "utf-8",
    mapping: dict[str, str] | None = None,
) -> Sent:
    """Check a file into ledger and spool; no row is sent yet."""
    (folder / "posts.yaml").write_text(yaml)
    file = folder / "posts.csv"
    file.write_bytes(text.encode(encoding))
    definition: Definition = load(folder / "posts.yaml")
    client = redis.Redis.from_url(redis_url)
    ledger, spool = Ledger(client), Spool(str(folder / "spool"), "run-1")
    about = {"pipeline": "posts", "file": str(file), "asked_map": mapping}
    ledger.create("run-1", definition=definition.resolved(), by="test", **about)
    epoch = ledger.take("run-1", "test", resume=False)
    result = check_file(
        file,
        definition,
        spool,
        mapping=mapping,
        on_rejections=lambda found: ledger.reject("run-1", epoch, found),
    )
    ledger.begin("run-1", epoch, total=result.rows, rejected=result.rejected, delimiter=result.delimiter)
    ledger.open("run-1", epoch)
    return Sent(ledger, View(client), spool, "run-1", epoch)
