"""The durable state of runs and rows: every write to it.

Rows move only along TRANSITIONS, inside one Lua script that also moves the counters, so that
`total = rejected + waiting + sending + accepted + done + failed + unknown` holds at every moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.errors import LedgerError, RunBusy, RunNotFound, Superseded
from flows.ledger import keys
from flows.ledger.facts import FactValue, written
from flows.ledger.mends import Mend
from flows.ledger.moves import BATCH, Answer, Claim, Found, calls
from flows.ledger.notes import Notes
from flows.records import Rejection, RowState, RunState

LEASE_SECONDS = 5.0
SAMPLES = 100
SERIALS = 10_000  # claim numbers that a process asks for at once, of four billion a run


class Ledger(Notes):
    """All writes: what deliverers do with runs and their rows, and what people say of them."""

    def take(
        self,
        run: str,
        owner: str,
        *,
        resume: bool,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> int:
        """Become the run's sole deliverer and return the epoch. `resume` clears an earlier wish to cancel.

        A dead deliverer's lease is waited for; one that is renewed twice meanwhile is alive. Once may be a renewal that
        was still on its way when its machine was cut off.

        Raises:
            RunBusy: somebody else is delivering the run.
            RunNotFound: there is no such run.
        """
        deadline = clock() + lease_seconds + 1
        left, renewals = float("inf"), 0
        while True:
            code, value, other = self._ask(run, "take", owner, round(lease_seconds * 1000), int(resume))
            if code == 1:
                return int(value)
            if code == -1:
                raise RunNotFound(f"There is no run {run}.", hint="`rowrelay runs` lists them.")
            if value > left:
                renewals += 1
                deadline = clock() + lease_seconds + 1
            if renewals > 1 or clock() > deadline:
                raise RunBusy(f"Run {run} is already being delivered by {other.decode()}.")
            left = value
            sleep(min(0.5, value / 1000 + 0.01))

    def renew(self, run: str, epoch: int, *, lease_seconds: float = LEASE_SECONDS) -> tuple[bool, int, bool]:
        """Keep the run. Returns (still ours, rows of dead deliverers still `sending`, cancel wished)."""
        ours, _settled, older, cancel = self._ask(run, "renew", epoch, round(lease_seconds * 1000))
        return bool(ours), int(older), bool(cancel)

    def end(self, run: str, epoch: int, state: RunState, reason: str = "") -> bool:
        """Give the run back in its last state. False if another has it."""
        return bool(self._ask(run, "end", epoch, state, reason))

    def check_afresh(self, run: str, epoch: int) -> None:
        """Forget what an earlier, unfinished check wrote. Raises Superseded."""
        self._keep(self._ask(run, "afresh", epoch))

    def reject(self, run: str, epoch: int, rejections: Sequence[Rejection]) -> None:
        """Mark rows as rejected and keep the first ones to show. Raises Superseded."""
        for first in range(0, len(rejections), BATCH):
            missing = SAMPLES - int(self.client.llen(keys.run_key(run) + ":samples"))
            flat: list[Any] = []
            for item in rejections[first : first + BATCH]:
                shown = missing > 0 and not item.skipped
                missing -= shown
                flat += (item.row, msgspec.msgpack.encode(item) if shown else b"")
            self._keep(self._ask(run, "reject", epoch, *flat))

    def begin(self, run: str, epoch: int, *, total: int, rejected: int, **facts: FactValue) -> None:
        """End the check: fix the totals and what the spool holds, in one write.

        Raises:
            LedgerError: it was begun before.
            redis.ResponseError: the rejections do not add up.
        """
        flat = [part for pair in written(facts).items() for part in pair]
        if not self._ask(run, "begin", epoch, total, rejected, *flat):
            raise LedgerError(f"Run {run} was begun by another process.")

    def mend(self, run: str, epoch: int, mend: Mend, rejected: NDArray[np.uint8], samples: Sequence[Rejection]) -> None:
        """State anew which rows of a checked run are rejected (a bit a row), by a document, in one write.

        Raises:
            RunBusy: somebody has taken the run since `epoch`, or mended it meanwhile.
            LedgerError: it is not one that was only checked.
        """
        shown = [msgspec.msgpack.encode(each) for each in samples[:SAMPLES]]
        flat = [part for pair in written(mend.facts).items() for part in pair]
        said = self._ask(
            run, "mend", epoch, mend.number, msgspec.json.encode(mend), rejected.tobytes(), len(shown), *shown, *flat
        )
        if said == 0:
            raise RunBusy("Somebody else has mended or begun this run meanwhile.", hint="Look at it again.")
        if said != 1:
            raise LedgerError(f"Run {run} is not one that was only checked.")

    def open(self, run: str, epoch: int) -> None:
        """Let rows be claimed under this epoch. Raises Superseded."""
        self._keep(self._ask(run, "open", epoch))

    @staticmethod
    def _keep(ours: object) -> None:
        if not ours:
            raise Superseded("Another process has taken over this run.")

    def serials(self, run: str, count: int = SERIALS) -> int:
        """The first of `count` claim numbers that nobody else was given; later ones are higher."""
        return int(self.client.hincrby(keys.run_key(run), "serials", count)) - count + 1

    def claim(
        self, run: str, epoch: int, claims: Sequence[Claim], *, patience_seconds: float, idempotency_seconds: float
    ) -> tuple[str, list[list[int]]]:
        """Move the rows of parcels to `sending`, right before their requests leave. A parcel goes whole or not at all.

        `patience_seconds` is how long an attempt can take until nobody waits for its answer. Returns (why, one number
        a row, by parcel): the generation of its idempotency key, -1 if it is not to be sent, -2 if not yet, or because
        another row of its parcel is not. A row that may have been acted on is only claimed in the parcel in which it
        went before. `why` is "ok", "superseded", "cancelled", or the state of a run that is not sending; where that is
        heard when some have been granted, the others are not yet to be sent.
        """
        patience, memory = round(patience_seconds * 1000), round(idempotency_seconds * 1000)
        granted: list[list[int]] = []
        for some in calls(claims):
            flat = [part for each in some for part in (each.serial, ",".join(map(str, each.rows)), each.key)]
            why, *answers = self._ask(run, "claim", epoch, patience, memory, *flat)
            if why != b"ok":
                late = [[-2] * len(each.rows) for each in claims[len(granted) :]]
                return ("ok", granted + late) if granted else (why.decode(), [])
            left = iter(answers)
            granted += [list(islice(left, len(each.rows))) for each in some]
        return "ok", granted

    def progress(
        self, run: str, epoch: int, row: int, serial: int, *, writes: bool, known: bytes, patience_seconds: float
    ) -> int:
        """Note how far the steps of a claimed row are: before one that `writes` goes, or once one was answered.

        1: noted, and it may go on; 2: noted, and it may not; 0: not noted, so that it may not.
        """
        patience = round(patience_seconds * 1000)
        return int(self._ask(run, "progress", epoch, patience, row, serial, int(writes), known))

    def resolve(self, run: str, epoch: int, found: Sequence[Found]) -> list[bool]:
        """Record what was found out about rows that nobody has under way. Says of each whether it moved."""
        moved: list[bool] = []
        for first in range(0, len(found), BATCH):
            some = found[first : first + BATCH]
            packed = msgspec.msgpack.encode(
                [(*each[:4], len(each.tail), len(each.detail), len(each.steps)) for each in some]
            )
            texts = b"".join([part for each in some for part in (each.tail, each.detail, each.steps)])
            moved += map(bool, self._ask(run, "resolve", epoch, packed, texts) or [0] * len(some))
        return moved

    def answer(self, run: str, answers: Sequence[Answer]) -> list[RowState | None]:
        """Record outcomes, at most a few thousand. Says for each what the row is now; None where it was refused.

        It is refused only if a newer claim exists. An attempt without effect leaves a row `unknown` that may have
        been acted on before.
        """
        flat = [
            (
                a.row,
                a.epoch,
                a.serial,
                a.state,
                len(a.tail),
                len(a.detail),
                -1 if a.sent_second is None else a.sent_second,
                round(a.wait_seconds * 1000),
                int(a.without_effect),
                a.parcel,
            )
            for a in answers
        ]
        texts = b"".join([part for a in answers for part in (a.tail, a.detail)])
        taken = self._ask(run, "answer", round(time.time() * 1000), msgspec.msgpack.encode(flat), texts)
        return [(None, a.state, RowState.UNKNOWN)[int(code)] for a, code in zip(answers, taken, strict=True)]

    def request(self, run: str, request: str) -> int:
        """The number of a resend request, by its id."""
        return int(self._ask(run, "request", request))

    def resend(self, run: str, epoch: int, number: int, rows: Iterable[int]) -> int:
        """Let failed or unknown rows wait again; each moves once a request. Returns how many moved.

        Raises:
            Superseded: another process has the run.
        """
        moved = 0
        for more in self._batches(run, rows, "resend", epoch, number):
            self._keep(more >= 0)
            moved += more
        return moved

    def mark_done(self, run: str, rows: Iterable[int], *, by: str) -> int:
        """Call unknown rows done, on a person's word. Returns how many moved."""
        return sum(self._batches(run, rows, "mark", msgspec.msgpack.encode({"r": f"marked done by {by}"})))

    def restored(self, run: str, rows: Iterable[int]) -> int:
        """Call waiting rows unknown, because the ledger comes from a backup. Returns how many moved."""
        why = "the ledger was restored from a backup; the row may have been sent after that was made"
        return sum(self._batches(run, rows, "restored", msgspec.msgpack.encode({"r": why})))

    def _batches(self, run: str, rows: Iterable[int], *ask: Any) -> Iterable[int]:
        batch: list[int] = []
        for row in rows:
            batch.append(row)
            if len(batch) == BATCH:
                yield int(self._ask(run, *ask, *batch))
                batch = []
        if batch:
            yield int(self._ask(run, *ask, *batch))
