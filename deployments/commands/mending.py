"""`rowrelay mend`: what is wrong with a checked run's rejected rows, by groups, and changes of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from dashboard.rows.book import Rowbook
from dashboard.rows.groups import Group, groups
from dashboard.words import visible
from deployments.commands.grouped import as_object, groups_table
from deployments.commands.session import Session, out, person
from deployments.commands.showing import SHORT, print_json
from flows.delivery.changes import MOST_BYTES, Document, as_map, parse
from flows.delivery.mending import in_words, mend, refuse
from flows.errors import FileError, SettingError
from flows.ledger.mends import in_effect
from flows.ledger.run import Run
from flows.records import RowState

SHOWN = 20  # groups in the table
IN_JSON = 1000
DONE, SOME = 0, 1


def document(file: str | None, undo: int | None) -> Document | None:
    """What is to be done, None where it is only to be shown. Raises SettingError, FileError, ChangesRefused."""
    if file is not None and undo is not None:
        raise SettingError("Say either a file of changes or --undo, not both.", hint="Undo first, then mend anew.")
    if undo is not None:
        return Document(undo=undo)
    return None if file is None else parse(_read(file))


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(MOST_BYTES + 1)
    try:
        with Path(file).open("rb") as given:
            return given.read(MOST_BYTES + 1)
    except OSError as exc:
        raise FileError(f"cannot be read: {exc.strerror}", file=file, hint="FILE holds the changes, as JSON.") from exc


def apply(session: Session, run: Run, wanted: Document, *, as_json: bool) -> int:
    """Apply a document; 0 where no row is rejected any more, 1 where some are. Raises what `mend` does."""
    made = mend(run, wanted, ledger=session.ledger, view=session.view, settings=session.settings, by=person())
    now = session.view.run(run.id)
    counts = {"rejected": now.counts[RowState.REJECTED], "waiting": now.counts[RowState.WAITING]}
    if as_json:
        kept = {name: value for name, value in msgspec.to_builtins(made).items() if name not in ("facts", "before")}
        print_json({"run": run.id, **kept, "counts": counts})
    else:
        out.print(f"{in_words(made)}.", markup=False)
        out.print(f"{counts['waiting']:,} rows can be sent now, {counts['rejected']:,} are rejected.")
        if made.undo is None:
            out.print(f"Take it back: rowrelay mend {run.id[:SHORT]} --undo {made.number}")
        out.print(f"Send:         rowrelay send --resume {run.id[:SHORT]}")
    return SOME if now.wrong else DONE


def show(session: Session, run: Run, *, as_json: bool) -> int:
    """What is wrong, by groups, an example of a document, and what was done so far. Raises what `refuse` does."""
    refuse(run)
    book = Rowbook(session.view, run, session.definition(run), session.settings)
    found = groups(book, "rejected", limit=IN_JSON if as_json else SHOWN)
    left = in_effect(session.view.mends(run.id))
    kept = as_map(book.definition, left)
    if as_json:
        print_json(
            {
                "run": run.id,
                "rejected": run.counts[RowState.REJECTED],
                "groups": [as_object(each) for each in found.items],
                "more_groups": found.matching - len(found.items),
                "documents": [each.number for each in left],
                "map": kept,
            }
        )
        return SOME if run.wrong else DONE
    if not found.items:
        out.print("No row is rejected.")
    else:
        out.print(groups_table(found.items))
        if more := found.matching - len(found.items):
            out.print(f"… and {more:,} more groups; --json has more of them")
        if example := _example(found.items):
            out.print(f"\nMend them with a file such as this:  rowrelay mend {run.id[:SHORT]} changes.json\n")
            out.print(example, markup=False)
    for each in left:
        out.print(f"\nDocument {each.number}: {in_words(each)}.", markup=False)
    if left:
        out.print(f"Take back the last one: rowrelay mend {run.id[:SHORT]} --undo {left[-1].number}")
    if kept:
        out.print("\nTo keep the changes for later files, add to the pipeline:\n")
        out.print(visible(kept), markup=False)
    return SOME if run.wrong else DONE


def _example(items: Iterable[Group]) -> str:
    """A document about the largest groups: what the first becomes is for a person to say."""
    changes: list[dict[str, Any]] = []
    for each in (each for each in items if each.by_value):
        change: dict[str, Any] = {"column": each.column, "value": each.value}
        changes.append(change | ({"becomes": "…"} if len(changes) == 0 else {"skip": True}))
        if len(changes) == 2:
            break
    lines = ",\n".join(f"    {json.dumps(each, ensure_ascii=False)}" for each in changes)
    return visible(f'{{"changes": [\n{lines}\n]}}') if changes else ""
