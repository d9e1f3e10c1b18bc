"""How a flow run came to its end, as people are told it."""

from __future__ import annotations

import pytest

from flows.flow_runs.outcome import in_words

TOLD = [
    ("COMPLETED", "Completed", [], "Completed"),
    ("COMPLETED", "Completed", ["by:web", "with errors"], "Completed with errors"),
    ("COMPLETED", "Completed", ["files with errors"], "Completed with errors"),
    ("COMPLETED", "Completed", ["checked"], "Checked"),
    ("COMPLETED", "Completed", ["auto-scheduled", "skipped"], "Skipped"),
    ("FAILED", "Failed", ["stopped"], "Stopped"),
    ("FAILED", "Failed", [], "Failed"),
    ("COMPLETED", "CompletedWithErrors", [], "Completed with errors"),
    ("COMPLETED", "DeliveredWithErrors", [], "Completed with errors"),
    ("COMPLETED", "Skipped", [], "Skipped"),
]


@pytest.mark.parametrize(("kind", "name", "tags", "told"), TOLD)
def test_tags_say_how_it_ended_and_so_do_the_names_of_earlier_versions(
    kind: str, name: str, tags: list[str], told: str
) -> None:
    assert in_words(kind, name, tags) == told


@pytest.mark.parametrize(
    ("kind", "name"), [("RUNNING", "Running"), ("CRASHED", "Crashed"), ("SCHEDULED", "Late"), ("FAILED", "Failed")]
)
def test_the_outcome_of_an_earlier_end_is_not_told_of_a_later_one(kind: str, name: str) -> None:
    assert in_words(kind, name, ["with errors"]) == name
