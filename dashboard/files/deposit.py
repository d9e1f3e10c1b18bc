"""A file that was uploaded goes into its pipeline's inbox, where a schedule finds it, or why it should not."""

from __future__ import annotations

from pathlib import Path

from dashboard.files.upload import harmless
from flows.errors import FileError, StorageError
from flows.ledger.run import Run
from flows.pipeline.definition import Definition
from flows.private import private_folder, whole_file
from flows.settings import Settings
from flows.storage.located import opened

_MAY_SEND = "may send the rows"


def deposit(file: str, name: str, definition: Definition, settings: Settings) -> Path:
    """Copy a file into the inbox under this name, whole or not at all; returns its path.

    Raises FileError, StorageError.
    """
    folder = settings.inbox / definition.name
    target = folder / harmless(name)
    try:
        private_folder(folder)
        if target.exists():
            raise FileError("lies in the inbox already", file=target.name, hint="Wait until it has been taken.")
        with opened(file, settings, definition) as source, source.open("rb") as given, whole_file(target) as taken:
            while block := given.read(1 << 20):
                taken.write(block)
    except OSError as exc:
        raise StorageError(f"could not be put into the inbox: {exc.strerror or exc}", file=str(target)) from exc
    return target


def why_not(run: Run, *, same_content: bool, delivered_before: bool, skips: bool, blocked: bool) -> str:
    """Why a checked file is not to go into the inbox, in words; empty where it may.

    `same_content`: a file like it was sent before; `delivered_before`: some of its rows were; `skips`: each schedule
    that takes it from there leaves those out; `blocked`: nothing can be sent. What was decided about this check does
    not go along: who takes the file from there reads all of it anew.
    """
    facts = run.facts
    if facts.undoes:
        return "it undoes another run, and from the inbox its rows would be sent"
    if facts.mends:
        return "a schedule reads the file anew, as it was before its rows were mended here"
    if facts.said.stated or facts.asked_map:
        return "a schedule reads the file anew, without what was chosen here about its reading"
    if same_content:
        return "a schedule passes over what was sent before"
    if not skips and (run.skipped or facts.skip_delivered):
        return f"a schedule checks the file anew, and {_MAY_SEND} that are left out here"
    if not skips and delivered_before:
        return f"a schedule {_MAY_SEND} again that were delivered before"
    return "nothing can be sent for the reason above" if blocked else ""


def may_send(why: str) -> bool:
    """Whether a schedule that leaves out delivered rows would do away with this reason."""
    return _MAY_SEND in why
