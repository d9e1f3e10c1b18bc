"""How a flow run came to its end, beyond what the name of its state says: tags of the flow run.

Prefect's own pages leave out every run whose state has a name that is not one of Prefect's. Nothing of Prefect is
imported here: pages that never start a flow read the outcomes, too.
"""

from __future__ import annotations

from collections.abc import Collection

WITH_ERRORS = "with errors"
FILES_WITH_ERRORS = "files with errors"  # of an inbox's look: the runs of the files have `with errors`
CHECKED = "checked"
STOPPED = "stopped"
SKIPPED = "skipped"
WAITING = "waiting"
SAYS_WITH_ERRORS = "With errors: "  # begins the message, by which an automation tells people
OUTCOMES = (WITH_ERRORS, FILES_WITH_ERRORS, CHECKED, STOPPED, SKIPPED, WAITING)

# Earlier versions said it by the state's name, and Prefect keeps their runs.
FORMER = {
    "CompletedWithErrors": WITH_ERRORS,
    "DeliveredWithErrors": FILES_WITH_ERRORS,
    "Checked": CHECKED,
    "Skipped": SKIPPED,
    "Waiting": WAITING,
}


def outcome(name: str, tags: Collection[str]) -> str:
    """Which of OUTCOMES a flow run came to, by its state's name and its tags; "" where there is no more to say."""
    return FORMER.get(name) or next((tag for tag in OUTCOMES if tag in tags), "")


def in_words(kind: str, name: str, tags: Collection[str]) -> str:
    """The state of a flow run as people are told it. `kind` is Prefect's type of state, in capitals."""
    found = outcome(name, tags)
    if kind != ("FAILED" if found == STOPPED else "COMPLETED"):  # left by an earlier end of the same flow run
        return name
    if found in (WITH_ERRORS, FILES_WITH_ERRORS):
        return "Completed with errors"
    return found.capitalize() or name
