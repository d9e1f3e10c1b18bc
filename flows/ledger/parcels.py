"""Which request rows last travelled in, and at which place in it: for people, of definitions with `batch`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flows.ledger import keys
from flows.ledger.connection import translated
from flows.ledger.keys import Record
from flows.ledger.view import View

Place = tuple[str, int]
"""(a parcel's name, a row's position in it, counted from 0)."""


def places(view: View, run: str, records: Sequence[Record]) -> dict[int, Place]:
    """The place of each of these rows, by its number; those that never went out have none. Raises StackError."""
    claimed = {record.row: (record.epoch, record.serial) for record in records if record.epoch and record.serial}
    names = list(dict.fromkeys(claimed.values()))
    if not names:
        return {}
    with translated():
        raw = view.client.hmget(keys.run_key(run) + ":parcels", [f"{epoch}:{serial}" for epoch, serial in names])
    found = {row: (f"{epoch}-{serial}", 0) for row, (epoch, serial) in claimed.items()}
    for claim, rows in zip(names, raw, strict=True):
        for at, text in enumerate(rows.split(b",") if isinstance(rows, bytes) else ()):
            if claimed.get(row := int(text)) == claim:  # others of that parcel have travelled elsewhere since
                found[row] = (found[row][0], at)
    return found


def in_words(rows: Iterable[int], *, most: int = 20) -> str:
    """Row numbers as spans: `1-40, 42`; at most so many of them."""
    spans: list[list[int]] = []
    for row in sorted(rows):
        if spans and row == spans[-1][1] + 1:
            spans[-1][1] = row
        else:
            spans.append([row, row])
    words = [f"{first}-{last}" if last > first else str(first) for first, last in spans[:most]]
    return ", ".join([*words, *(["…"] if len(spans) > most else [])])
