"""Which test caught each fault the last time: where to look first, and nothing that is believed."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Lock

from tests.mutants.faults import ALL, Fault

NOTES = Path(__file__).with_name("caught_by.json")
_turn = Lock()


def noted() -> dict[str, str]:
    """By the fault's name, the test's id from tests/ on; of faults that there are, and of tests that are theirs."""
    kept: dict[str, str] = json.loads(NOTES.read_text(encoding="utf-8"))
    own = {fault.name: fault.tests for fault in ALL}
    return {name: by for name, by in kept.items() if by.partition("::")[0] in own.get(name, ())}


def note(fault: Fault, by: str) -> None:
    """Keep it for the next time."""
    with _turn:
        notes = noted() | {fault.name: by}
        NOTES.write_text(json.dumps(dict(sorted(notes.items())), indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
