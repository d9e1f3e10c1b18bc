"""Runs in any state, put into a ledger without sending anything: for tests of the dashboard, and for pictures of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from flows.delivery.delivery import Delivery
from flows.ledger import keys
from flows.ledger.ledger import Ledger
from flows.ledger.moves import Answer, Claim
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import present
from flows.records import RowState, RunState
from flows.settings import Settings

_REASONS = {
    RowState.FAILED: (422, "HTTP 422", '{"error": "title is taken"}'),
    RowState.UNKNOWN: (None, "no answer within 2 s", ""),
}


@dataclass
class Seeded:
    """A run that was put there, and the delivery that holds its lease until it is `left`."""

    id: str
    delivery: Delivery
    serial: int = 0
    events: list[str] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        """Where it was put."""
        return self.delivery.ledger

    def outcomes(self, state: RowState, rows: Sequence[int], *, at: float | None = None, rate: float = 7.0) -> None:
        """Claim rows and let them come to `state`, as if they had been sent at this rate until `at`."""
        names = self.delivery.definition.kept
        end = time.time() if at is None else at
        for first in range(0, len(rows), 200):
            batch = rows[first : first + 200]
            claims = [Claim((row,), self.serial + n) for n, row in enumerate(batch, 1)]
            self.serial += len(batch)
            why, _ = self.ledger.claim(
                self.id, self.delivery.lease.epoch, claims, patience_seconds=60, idempotency_seconds=0
            )
            assert why == "ok", why
            answers = []
            for n, ((row,), serial, _) in enumerate(claims):
                status, reason, excerpt = _REASONS.get(state, (201, "", ""))
                kept = dict.fromkeys(names, 100 + row) if state is RowState.DONE else {}
                tail, detail = keys.pack(
                    names, status=status, took_seconds=0.08, kept=kept, reason=reason, excerpt=excerpt
                )
                second = int(end - (len(rows) - first - n) / rate)
                answers.append(Answer(row, self.delivery.lease.epoch, serial, state, tail, detail, second))
            self.ledger.answer(self.id, answers)

    def spread(self, *, rate: float, seconds: int, failed_every: int = 0) -> None:
        """Write the chart of a run that has been going for so long; the script's own stamps are all of now."""
        now, key = int(time.time()), keys.run_key(self.id) + ":seconds"
        chart: dict[str, int] = {}
        for ago in range(seconds, 0, -1):
            count = round(rate * (seconds - ago + 1)) - round(rate * (seconds - ago))
            chart[f"{now - ago}:sent"] = count
            bad = 1 if failed_every and ago % failed_every == 0 else 0
            chart[f"{now - ago}:done"] = count - bad
            if bad:
                chart[f"{now - ago}:failed"] = bad
        self.ledger.client.delete(key, keys.run_key(self.id) + ":minutes")
        self.ledger.client.hset(key, mapping=chart)

    def sending(self, rows: Sequence[int]) -> None:
        """Leave rows under way."""
        claims = [Claim((row,), self.serial + n) for n, row in enumerate(rows, 1)]
        self.serial += len(rows)
        self.ledger.claim(self.id, self.delivery.lease.epoch, claims, patience_seconds=60, idempotency_seconds=0)

    def leave(self, state: RunState, reason: str = "", **facts: float) -> None:
        """End the run."""
        if facts:
            self.ledger.facts(self.id, **facts)
        self.ledger.end(self.id, self.delivery.lease.epoch, state, reason)


def seed(
    settings: Settings, redis_url: str, file: Path, *, by: str = "dashboard", definition: Definition | None = None,
    lease_seconds: float = 600.0, name: str = "", skip_delivered: bool = False,
) -> Seeded:  # fmt: skip
    """A run of `file`, checked and with its spool, open for sending and held for `lease_seconds`."""
    run = str(uuid4())
    definition = definition or present(settings)["posts"]
    delivery = Delivery(run, definition, settings, redis_url)
    delivery.ledger.create(
        run, definition=definition.resolved(), by=by, pipeline=definition.name, file=str(file),
        name=name or file.name, limit=definition.limit.name,
    )  # fmt: skip
    delivery.lease.epoch = delivery.ledger.take(run, delivery.lease.owner, resume=False)  # kept by nobody from here on
    delivery.spooling.check(file, skip_delivered=skip_delivered)
    delivery.ledger.open(run, delivery.lease.epoch)
    delivery.ledger.renew(run, delivery.lease.epoch, lease_seconds=lease_seconds)
    return Seeded(run, delivery)


def write_posts(path: Path, rows: int, *, bad: Sequence[int] = ()) -> Path:
    """A file for the pipeline `posts`; the rows in `bad` (1-based) have a userId that is no number."""
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write("userId,title,body\r\n")
        for row in range(1, rows + 1):
            user = "nobody" if row in bad else row % 90 + 1
            out.write(f"{user},Invoice reminder {row},Please check the figures of order {row * 37}.\r\n")
    return path
