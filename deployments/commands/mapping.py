"""`--map FILE=COLUMN`: which column of the pipeline a column of the file is."""

from __future__ import annotations

from collections.abc import Sequence

from flows.errors import RowrelayError


def mapping_of(said: Sequence[str] | None) -> dict[str, str]:
    """By column of the file the column of the pipeline, "" where it is none of them.

    Raises RowrelayError on what says nothing, or two things.
    """
    mapping: dict[str, str] = {}
    for text in said or ():
        name, sign, column = text.rpartition("=")
        if not (sign and name.strip()):
            raise RowrelayError(
                f"--map {text!r} does not say which column is which.",
                hint="Write the name in the file, =, and the name in the pipeline: --map 'E-mail=email'",
            )
        if name in mapping:
            raise RowrelayError(f"--map says of {name!r} twice what it is.", hint="Name each column of the file once.")
        mapping[name] = column.strip()
    return mapping
