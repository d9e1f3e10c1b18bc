"""What comes in, wherever from: the files that lie there, their names, and the copy that is made of one.

An origin lists what lies there, copies a file to this machine while taking its digest, and puts it away afterwards.
What is sent is the copy, so nothing that happens to the original in between can change what was claimed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from flows.errors import BadFile, FileError
from flows.ledger.inbox import Version
from flows.masking import Masker
from flows.storage.storage import reached

DONE, FAILED = "done", "failed"
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".swp", "~")
LONGEST_NAME = 255 - len("-9999") - len(".troubled.csv") - len(".12345678")  # in bytes
BLOCK = 2**20  # bytes copied in one go
NO_SECRETS = Masker()


class Changed(Exception):
    """The file was changed while it was copied."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file that lies there. `mark` changes whenever its content may have; times are in Unix seconds."""

    name: str
    path: str
    size: int
    modified: float
    changed: float  # the latest sign of life; `modified` can be set back
    mark: str
    whole: bool = False  # known to be complete, however young it is

    @property
    def age_seconds(self) -> float:
        """How long nothing has changed."""
        return time.time() - self.changed


class Origin(Protocol):
    """Where files come from. `url` names it in messages and in the ledger."""

    url: str
    known: Version | None  # what need not be copied again, as it is known to be put away
    version: Version | None  # what was copied last, where it has an address that can be asked for changes
    odd: dict[str, str]  # what else lay there at the last look, and why it is left alone

    def incoming(self) -> list[Incoming]:
        """What lies there and is no unfinished upload by its name, oldest first. Raises StorageError."""

    def copy(self, incoming: Incoming, to: Path, *, max_bytes: int) -> str:
        """Copy it and return the SHA-256 (hex) of its content.

        Raises:
            Changed: it was written to meanwhile, or is gone.
            BadFile: it is too large, or may not be read.
            StorageError: where it lies cannot be reached, or there is no room for the copy.
        """

    def put_away(
        self, incoming: Incoming, where: str, *, report: dict[str, Any], troubled: Iterable[bytes] | None
    ) -> str:
        """Move it to done or failed, with a report and perhaps its troubled rows beside it. Returns where it is.

        Empty if it was replaced meanwhile by a file that is for a later look: that stays, and only the report is made.
        Raises StorageError where it cannot be moved; then nothing of it lies there.
        """


def is_finished(name: str) -> bool:
    """Whether a file's name says that it is whole: no hidden file, no unfinished upload."""
    return bool(name) and not name.startswith((".", "~")) and not name.casefold().endswith(UNFINISHED)


def settled(incoming: Sequence[Incoming], seconds: float) -> list[Incoming]:
    """Those that nobody is writing any more, as far as their age tells."""
    return [each for each in incoming if each.whole or each.age_seconds >= seconds]


def readable(name: str) -> str:
    """A name that everybody can read and write, also of a file whose own is not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def short(name: str) -> str:
    """A name that leaves room for what is put beside its file, as no name may have more than 255 bytes."""
    if len(name.encode()) <= LONGEST_NAME:
        return name
    endings = "".join(Path(name).suffixes[-2:])
    endings = endings if len(endings.encode()) <= 20 else ""  # else it is no ending
    stem = name.removesuffix(endings).encode()[: LONGEST_NAME - len(endings.encode())]
    return stem.decode("utf-8", "ignore") + endings


def pour(blocks: Iterable[bytes], to: Path, digest: Any, max_bytes: int, name: str) -> int:
    """Write what comes to a file of this machine; gives its size. Raises BadFile if it is too large, StorageError."""
    size, here = 0, partial(reached, str(to), "cannot be written")
    with here():
        target = to.open("wb")
    try:
        for block in blocks:
            size += len(block)
            if size > max_bytes:
                raise too_large(name, max_bytes)
            digest.update(block)
            with here():
                target.write(block)
    finally:
        with here():
            target.close()
    return size


@contextmanager
def masked(mask: Masker) -> Iterator[None]:
    """No secret of an address in a message about it."""
    try:
        yield
    except FileError as exc:
        if not mask:
            raise
        raise type(exc)(mask.text(exc.message), hint=mask.text(exc.hint)) from None


def too_large(name: str, max_bytes: int) -> BadFile:
    """The refusal of a file above the bound."""
    return BadFile(
        f"is larger than {max_bytes:,} bytes", file=name, hint="Split it, or raise ROWRELAY_MAX_UPLOAD_BYTES."
    )


def as_json(report: dict[str, Any]) -> bytes:
    """A report as it lies beside its file."""
    return json.dumps(report, indent=1, ensure_ascii=False).encode() + b"\n"
