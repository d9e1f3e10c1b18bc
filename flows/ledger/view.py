"""Reading the ledger: runs, rows by page and state, charts. Nothing here writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.errors import RunNotFound
from flows.ledger import keys
from flows.ledger.connection import translated
from flows.ledger.keys import Record
from flows.ledger.mends import Mend
from flows.ledger.runs import Runs
from flows.records import Rejection, RowState


class View(Runs):
    """What the ledger has of a run's rows and of its course."""

    @translated()
    def definition(self, run: str) -> dict[str, Any]:
        """The run's resolved pipeline definition."""
        raw = self.client.get(keys.run_key(run) + ":definition")
        if not isinstance(raw, bytes):
            raise RunNotFound(f"There is no run {run}.", hint="`rowrelay runs` lists them.")
        return dict(msgspec.json.decode(raw))

    def bits(self, run: str, state: RowState, total: int) -> NDArray[np.uint8]:
        """Which rows are in a state, a bit a row, as numpy.packbits has them; `waiting` is what the others leave."""
        return self._bits(run, [state], total)

    @translated()
    def _bits(self, run: str, states: Collection[RowState], total: int) -> NDArray[np.uint8]:
        """Which rows are in any of the states. All are read at one instant: rows move from one to another."""
        if RowState.WAITING in states:
            left = ~self._bits(run, [state for state in RowState if state not in states], total)
            left[total // 8 :] &= np.packbits(np.arange(8) < total % 8) if total % 8 else 0xFF
            return left
        found = np.zeros((total + 7) // 8, dtype=np.uint8)
        pipe = self.client.pipeline(transaction=True)
        for state in states:
            if state is RowState.SENDING:
                pipe.zrange(keys.run_key(run) + ":sending", 0, -1)
            else:
                pipe.get(f"{keys.run_key(run)}:is:{state}")
        raw = pipe.execute()
        for rows in raw:
            if isinstance(rows, list):
                for row in map(int, rows):
                    found[(row - 1) // 8] |= 128 >> (row - 1) % 8
            else:
                found |= _padded(rows, total)
        return found

    @translated()
    def asked(self, run: str, total: int) -> NDArray[np.uint8]:
        """Which rows a person asked to send again that have not been, a bit a row."""
        return _padded(self.client.get(keys.run_key(run) + ":asked"), total)

    def bitmap(self, run: str, state: RowState, total: int) -> NDArray[np.bool_]:
        """Which rows are in a state, by row - 1, a byte a row."""
        return np.unpackbits(self.bits(run, state, total), count=total).astype(bool)

    def rejected(self, run: str) -> NDArray[np.int64]:
        """The numbers of the rejected rows, ascending."""
        return np.flatnonzero(self.bitmap(run, RowState.REJECTED, self.run(run).total)) + 1

    def select(self, run: str, states: Iterable[RowState], total: int) -> NDArray[np.int64]:
        """Row numbers in any of the states, ascending."""
        found = self._bits(run, frozenset(states), total)
        return np.flatnonzero(np.unpackbits(found, count=total)) + 1

    @translated()
    def records(self, run: str, rows: Sequence[int], *, names: tuple[str, ...], created: float) -> list[Record]:
        """What is known of these rows, in their order. `names` are the definition's kept fields."""
        pipe = self.client.pipeline(transaction=False)
        for row in rows:
            for kind in ("rows", "detail"):
                pipe.hget(*keys.place(run, kind, row))
            pipe.getbit(f"{keys.run_key(run)}:is:{RowState.REJECTED}", row - 1)
        raw = pipe.execute()
        return [
            keys.unpack(row, raw[i], raw[i + 1], names=names, created=created)
            if raw[i]
            else Record(row, RowState.REJECTED if raw[i + 2] else RowState.WAITING)
            for row, i in zip(rows, range(0, len(raw), 3), strict=True)
        ]

    @translated()
    def parcel(self, run: str, row: int) -> list[int]:
        """The rows that last travelled with this one, itself included, in their order."""
        raw = self.client.hget(*keys.place(run, "rows", row))
        name = keys.claim_of(raw) if isinstance(raw, bytes) else ""
        rows = self.client.hget(keys.run_key(run) + ":parcels", name)
        return [int(each) for each in rows.split(b",")] if isinstance(rows, bytes) else [row]

    @translated()
    def parcels_of(self, run: str, rows: Sequence[int]) -> list[list[int]]:
        """The parcels in which these rows last went, each once, in the order of the rows."""
        names = {row: keys.claim_of(raw) for row, raw in self._raw(run, rows).items()}
        if not names:
            return []
        wanted = list(dict.fromkeys(names.values()))
        raw = dict(zip(wanted, self.client.hmget(keys.run_key(run) + ":parcels", wanted), strict=True))
        found: dict[str, list[int]] = {}
        for row, name in names.items():
            text = raw[name]
            found.setdefault(name, [int(each) for each in text.split(b",")] if isinstance(text, bytes) else [row])
        return list(found.values())

    @translated()
    def doubtful_parcels(self, run: str, rows: Sequence[int]) -> dict[int, list[int]]:
        """The parcels of those of the rows that may have been acted on, while that is so of all rows of the parcel."""
        records = self._raw(run, rows)
        doubtful = {row: keys.claim_of(raw) for row, raw in records.items() if keys.is_doubtful(raw)}
        if not doubtful:
            return {}
        names = list(dict.fromkeys(doubtful.values()))
        found = self.client.hmget(keys.run_key(run) + ":parcels", names)
        parcels = {
            name: [int(row) for row in raw.split(b",")]
            for name, raw in zip(names, found, strict=True)
            if isinstance(raw, bytes)
        }
        others = {row for parcel in parcels.values() for row in parcel} - set(records)
        records |= self._raw(run, sorted(others))
        whole = {
            name
            for name, parcel in parcels.items()
            if all(each in records and keys.is_doubtful(records[each]) for each in parcel)
        }
        return {row: parcels.get(name, [row]) for row, name in doubtful.items() if name in whole or name not in parcels}

    def _raw(self, run: str, rows: Sequence[int]) -> dict[int, bytes]:
        pipe = self.client.pipeline(transaction=False)
        for row in rows:
            pipe.hget(*keys.place(run, "rows", row))
        return {row: raw for row, raw in zip(rows, pipe.execute(), strict=True) if isinstance(raw, bytes)}

    def blocks(self, run: str, total: int, *, names: tuple[str, ...], created: float) -> Iterator[list[Record]]:
        """Every row of the run in order, a few thousand at a time: flat memory for any size."""
        rejected = self.bitmap(run, RowState.REJECTED, total)
        span = 50
        for first in range(0, (total + keys.BLOCK - 1) // keys.BLOCK, span):
            pipe = self.client.pipeline(transaction=False)
            for block in range(first, first + span):
                for kind in ("rows", "detail"):
                    pipe.hgetall(f"{keys.run_key(run)}:{kind}:{block}")
            with translated():
                raw = pipe.execute()
            out = []
            for row in range(first * keys.BLOCK + 1, min((first + span) * keys.BLOCK, total) + 1):
                block, slot = (row - 1) // keys.BLOCK - first, str((row - 1) % keys.BLOCK).encode()
                found = raw[2 * block].get(slot)
                if found:
                    out.append(keys.unpack(row, found, raw[2 * block + 1].get(slot), names=names, created=created))
                else:
                    out.append(Record(row, RowState.REJECTED if rejected[row - 1] else RowState.WAITING))
            yield out

    @translated()
    def samples(self, run: str) -> list[Rejection]:
        """The first rejections, with their reasons."""
        raw: list[bytes] = self.client.lrange(keys.run_key(run) + ":samples", 0, -1)  # type: ignore[assignment]
        return [msgspec.msgpack.decode(item, type=Rejection) for item in raw]

    @translated()
    def mends(self, run: str) -> list[Mend]:
        """The documents by which its rejected rows were mended, oldest first."""
        raw: list[bytes] = self.client.lrange(keys.run_key(run) + ":mends", 0, -1)  # type: ignore[assignment]
        return [msgspec.json.decode(item, type=Mend) for item in raw]

    @translated()
    def refused(self, run: str, total: int) -> NDArray[np.bool_]:
        """What the check rejected, by row - 1, also where rows were mended since."""
        raw = self.client.get(keys.run_key(run) + ":refused")
        if raw is None:
            return self.bitmap(run, RowState.REJECTED, total)
        return np.unpackbits(_padded(raw, total), count=total).astype(bool)

    @translated()
    def events(self, run: str, limit: int = 50) -> list[tuple[float, str]]:
        """The last events, newest first, with their Unix times."""
        raw: list[bytes] = self.client.lrange(keys.run_key(run) + ":events", 0, limit - 1)  # type: ignore[assignment]
        return [(float(at), str(text)) for at, text in (msgspec.json.decode(item) for item in raw)]

    @translated()
    def chart(self, run: str, span: str = "seconds") -> dict[int, dict[str, int]]:
        """Counts of requests sent and outcomes by Unix second (`seconds`, the last quarter of an hour) or minute."""
        series: dict[int, dict[str, int]] = {}
        for kept, width in (("minutes", 1), ("seconds", 60)) if span == "minutes" else (("seconds", 1),):
            raw: dict[bytes, bytes] = self.client.hgetall(f"{keys.run_key(run)}:{kept}")  # type: ignore[assignment]
            for name, count in raw.items():
                at, kind = name.decode().split(":")
                counts = series.setdefault(int(at) // width, {})
                counts[kind] = counts.get(kind, 0) + int(count)
        return dict(sorted(series.items()))

    @translated()
    def paces(self, run: str) -> dict[str, bytes]:
        """What each process has sent of the run, as `Ledger.pace` was given it."""
        raw: dict[bytes, bytes] = self.client.hgetall(keys.run_key(run) + ":paces")  # type: ignore[assignment]
        return {process.decode(): sent for process, sent in raw.items()}

    @translated()
    def flows(self, run: str) -> list[str]:
        """The Prefect flow runs that delivered this run, oldest first."""
        raw: list[bytes] = self.client.lrange(keys.run_key(run) + ":flows", 0, -1)  # type: ignore[assignment]
        return [item.decode() for item in raw]


def _padded(raw: object, total: int) -> NDArray[np.uint8]:
    """A stored bitmap in its full length: Redis stores no trailing zeros."""
    size = (total + 7) // 8
    full = (raw if isinstance(raw, bytes) else b"").ljust(size, b"\0")[:size]
    return np.frombuffer(full, dtype=np.uint8).copy()
