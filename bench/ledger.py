"""What rows cost in Redis: `python -m bench.ledger [--rows N] [--failed CHARACTERS]`.

Fills a ledger of its own through the ledger's own writes, as a delivery does (claims, then answers of 200 rows), with
one kept number a row, or as rows that failed with an answer of so many characters. Prints memory and append-only file,
before and after a rewrite, scaled to a million rows.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from deployments.embedded.redis_server import RedisServer
from flows.ledger import keys
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.ledger.moves import Answer, Claim
from flows.records import RowState

RUN, BATCH = "bench", 200
MILLION, MEGABYTE = 1_000_000, 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=MILLION)
    parser.add_argument("--failed", type=int, metavar="CHARACTERS", help="rows that failed, with such an answer")
    options = parser.parse_args()
    rows = options.rows
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), appendfsync="everysec").start()
        try:
            client = connect(server.url)
            empty = int(client.info("memory")["used_memory"])
            began = time.monotonic()
            fill(Ledger(client), rows, options.failed)
            took = time.monotonic() - began
            held = int(client.info("memory")["used_memory"]) - empty
            written = int(client.info("persistence")["aof_current_size"])
            client.bgrewriteaof()
            while (
                client.info("persistence")["aof_rewrite_in_progress"]
                or client.info("persistence")["aof_rewrite_scheduled"]
            ):
                time.sleep(0.1)
            rewritten = int(client.info("persistence")["aof_current_size"])
        finally:
            server.stop()
    print(f"{rows} rows in {took:.1f} s; for a million:")
    for what, size in (("memory", held), ("append-only file", written), ("after a rewrite", rewritten)):
        print(f"  {what:<17} {size * MILLION / rows / MEGABYTE:7.1f} MB")
    return 0


def fill(ledger: Ledger, rows: int, failed: int | None = None) -> None:
    """Deliver them all, or let them fail with an answer of so many characters, without sending anything."""
    state = RowState.DONE if failed is None else RowState.FAILED
    words = {"reason": "", "excerpt": ""}
    if failed is not None:
        words = {"reason": "status 422: email: The domain of this address does not exist", "excerpt": "x" * failed}
    ledger.create(RUN, definition={}, by="bench", pipeline="bench")
    epoch = ledger.take(RUN, "bench", resume=False, lease_seconds=3600)
    ledger.begin(RUN, epoch, total=rows, rejected=0)
    ledger.open(RUN, epoch)
    for first in range(1, rows + 1, BATCH):
        batch = range(first, min(first + BATCH, rows + 1))
        ledger.claim(RUN, epoch, [Claim((row,), row) for row in batch], patience_seconds=60, idempotency_seconds=0)
        second = int(time.time())
        answers = []
        for row in batch:
            kept = {"postId": row} if failed is None else {}
            tail, detail = keys.pack(("postId",), status=201, took_seconds=0.08, kept=kept, **words)
            answers.append(Answer(row, epoch, row, state, tail, detail, second))
        ledger.answer(RUN, answers)


if __name__ == "__main__":
    raise SystemExit(main())
