"""Links that only this dashboard's pages can make, and that soon stop working."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from functools import lru_cache
from pathlib import Path

from dashboard.connections import settings
from flows.private import private_folder

UPLOAD_SECONDS = 12 * 3600.0  # a page may lie open for a day's work before the file is dropped


def sign(what: str, *, seconds: float = UPLOAD_SECONDS) -> str:
    """A ticket for `what`: until when it holds, and the proof that we wrote it."""
    until = str(int(time.time() + seconds))
    return f"{until}.{_proof(what, until)}"


def valid(what: str, ticket: str) -> bool:
    """Whether the ticket is one of ours for `what` and still holds."""
    until, _, proof = ticket.partition(".")
    if not (until.isascii() and until.isdecimal() and len(until) < 16):
        return False
    return hmac.compare_digest(proof.encode(), _proof(what, until).encode()) and int(until) > time.time()


def _proof(what: str, until: str) -> str:
    return hmac.new(_key(settings().data / "dashboard.key"), f"{what}\0{until}".encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=4)
def _key(path: Path) -> bytes:
    """The key in the data folder, made once; a restart of the dashboard leaves open pages as they are."""
    private_folder(path.parent)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(32))
    try:
        os.link(temporary, path)  # unlike a rename, this leaves the key of whoever was first
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return path.read_bytes()
