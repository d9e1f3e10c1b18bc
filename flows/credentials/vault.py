"""The key that tokens are encrypted with: from the secrets, else from the data folder, made there on first use."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets as random
from pathlib import Path
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken

from flows.errors import RowrelayError, SettingError, StorageError
from flows.pipeline.secret import secret
from flows.private import private_folder, sync_folder
from flows.settings import Settings

KEY = "rowrelay-token-key"
_LEAST_CHARACTERS = 16


class Sealed(RowrelayError):
    """What is stored cannot be opened with the key of this machine."""


class Vault:
    """Seals what only this installation may read. `folder` is where sealed files may lie."""

    def __init__(self, key: bytes, folder: Path) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(key).digest()))
        self._key, self.folder = key, folder.absolute()

    @classmethod
    def of(cls, settings: Settings) -> Vault:
        """With the key of this installation. Raises SettingError, StorageError."""
        folder = settings.data / "tokens"
        try:
            key = secret(KEY, settings.secrets).strip()
        except SettingError:
            return cls(_own(folder), folder)
        if len(key) < _LEAST_CHARACTERS:
            raise SettingError(f"The secret {KEY} is too short.", hint="Write 32 random characters or more.")
        return cls(key.encode(), folder)

    def seal(self, value: Any) -> bytes:
        """The value (plain data) as nobody else can read it."""
        return self._fernet.encrypt(msgspec.msgpack.encode(value))

    def unseal(self, sealed: bytes) -> Any:
        """What `seal` was given. Raises Sealed."""
        try:
            return msgspec.msgpack.decode(self._fernet.decrypt(sealed))
        except (InvalidToken, msgspec.DecodeError) as exc:
            raise Sealed("What is stored cannot be opened with the key of this machine.") from exc

    def print_of(self, text: str) -> str:
        """A fingerprint that says whether two texts are the same, and nothing else."""
        return hashlib.blake2b(text.encode(), key=hashlib.sha256(self._key).digest(), digest_size=16).hexdigest()

    @property
    def key(self) -> bytes:
        """For a process that is to seal with the same key; to be written nowhere."""
        return self._key


def _own(folder: Path) -> bytes:
    """The key in the data folder; of several processes that come first, all get the same."""
    path = folder / "key"
    try:
        if not path.exists():
            private_folder(folder)
            part = folder / f".{random.token_hex(8)}.part"
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(random.token_hex(32).encode())
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(part, path)  # fails where another was faster
            except FileExistsError:
                pass
            finally:
                part.unlink(missing_ok=True)
            sync_folder(folder)
        key = path.read_bytes()
    except OSError as exc:
        raise StorageError(f"the key for tokens cannot be kept ({exc.strerror})", file=str(path)) from exc
    if len(key) < _LEAST_CHARACTERS:
        raise StorageError("is no key: take it away, and connect again", file=str(path))
    return key
