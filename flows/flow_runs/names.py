"""What our flows and their runs are called in Prefect. No Prefect here: pages that start no flow know them, too."""

from __future__ import annotations

from pathlib import PurePath

DELIVER = "deliver"  # one file through one pipeline
INBOX = "inbox"  # each new file of a folder or address
LOOKS = "inbox-"  # and the pipeline: the key of the artifact that says what a look took
RECOVER = "recover"  # takes up again what crashed
THAT_DELIVER = (DELIVER, INBOX)
STATED = "definition-"  # how the slugs of schedules begin that come from a definition; all others are people's


def title(pipeline: str, file: str, *, resume: str = "", rows: str = "unfinished", dry_run: bool = False) -> str:
    """What a flow run of `deliver` is called: by pipeline and file, and by the run that it resumes."""
    parts = [pipeline, PurePath(file).name]
    if resume:
        parts.append(f"resume of {resume[:8]}" + ("" if rows == "unfinished" else f", {rows} rows"))
    if dry_run:
        parts.append("check")
    return " · ".join(filter(None, parts))


def source_name(run: str, *, undo: bool) -> str:
    """What stands for a file where the rows are those of a run."""
    return f"{'undo' if undo else 'results'} of {run[:8]}"
