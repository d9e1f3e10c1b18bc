"""The one token of an account, in Redis: sealed, with a lock for who renews it and a generation that only rises.

rowrelay:token:{<digest of its name>}         hash: generation, sealed (both tokens), obtained, expires, why (start,
                                              expiry, refused, connected), first (a fingerprint), intent, trouble
rowrelay:token:{<digest of its name>}:lock    string that lapses: who is renewing it
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import redis

from flows.credentials.grant import Token
from flows.credentials.vault import Sealed, Vault
from flows.ledger.connection import translated
from flows.private import private_folder, write_whole

SCRIPT = files("flows.credentials").joinpath("token.lua").read_text(encoding="utf-8")
PREFIX = "rowrelay:token:"
HOLD_SECONDS = 10.0  # so much longer than a step takes the lock is held for it
_ORPHAN_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Held:
    """A token as it is stored. Moments are of Redis' clock, `now` too; `left` is None where nobody knows how long."""

    generation: int = 0
    now: float = 0.0
    access: str = ""
    refresh: str = ""
    expires: float | None = None
    obtained: float = 0.0
    why: str = ""
    first: str = ""
    intent: float | None = None  # since when the refresh token is being used up, or was by somebody who died
    trouble: str = ""
    sealed: bool = False  # it is there, and cannot be opened here
    pipeline: str = ""  # whose run, or person, stored it
    whose: str = ""  # a fingerprint of the account's server and client; "" where an earlier version stored it

    @property
    def left(self) -> float | None:
        """Seconds that it lasts."""
        return None if self.expires is None else self.expires - self.now

    @property
    def lifetime(self) -> float | None:
        """Seconds that it lasted when it came."""
        return None if self.expires is None else self.expires - self.obtained


@dataclass(frozen=True, slots=True)
class About:
    """What people may know of a stored token. Moments are Unix seconds of Redis' clock."""

    name: str
    pipeline: str
    obtained: float
    expires: float | None
    scope: str
    trouble: str
    now: float


def digest_of(name: str) -> str:
    """What stands for a token's name in keys and file names."""
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


class Store:
    """One token in one Redis. Raises redis.RedisError. `owner` is who holds the lock.

    `whose` is a fingerprint of where its refresh token goes: it is sealed with the token.
    """

    def __init__(
        self, client: redis.Redis, vault: Vault, name: str, *, owner: str, pipeline: str = "", whose: str = ""
    ) -> None:
        self._script = client.register_script(SCRIPT)
        self._vault, self.name, self.owner, self._pipeline, self.whose = vault, name, owner, pipeline, whose
        self._digest = digest_of(name)
        self._keys = [f"{PREFIX}{{{self._digest}}}", f"{PREFIX}{{{self._digest}}}:lock"]

    def _run(self, wish: str, *args: Any) -> Any:
        return self._script(keys=self._keys, args=[wish, self.owner, *args])

    def look(self) -> Held:
        """What is stored."""
        return self._held(self._run("look"))

    def take(self, seconds: float) -> tuple[bool, Held]:
        """(whether the lock is ours, for so long at most; what is stored)."""
        found = self._run("take", int(seconds * 1000))
        return bool(found[0]), self._held(found)

    def intend(self, generation: int, seconds: float) -> bool:
        """Note that the refresh token of this generation is used up now, and hold the lock for so long at most.

        False: somebody else has the lock, or has done it already.
        """
        return bool(self._run("intend", generation, int(seconds * 1000)))

    def hold(self, seconds: float) -> bool:
        """Keep the lock for so long at most; False where it is not ours any more."""
        return bool(self._run("hold", int(seconds * 1000)))

    def pause(self, seconds: float) -> None:
        """Sleep between two attempts, and hold the lock: meanwhile nobody else may ask."""
        with suppress(redis.RedisError):  # then the next attempt, which has to hold it, is told
            self.hold(seconds + HOLD_SECONDS)
        time.sleep(seconds)

    def put(self, generation: int, token: Token, *, why: str, first: str, before: str = "") -> bool:
        """Keep what came in the place of a generation; False where something else is there.

        `before` is the refresh token that was used, which lasts where the server gives no other.
        """
        sealed = self.sealed(token, before)
        seconds = "" if token.seconds is None else f"{token.seconds:.3f}"
        about = (why, first, self.name, self._pipeline, token.scope)
        return bool(self._run("put", generation, sealed, seconds, *about))

    def sealed(self, token: Token, before: str = "") -> bytes:
        """What is kept of it."""
        return self._vault.seal([token.access, token.refresh or before, self.whose])

    def is_foreign(self, held: Held) -> bool:
        """Whether a token goes to another server or client than ours, which only its own definition may use.

        One that an earlier version stored is that of the pipeline which stored it.
        """
        if not held.generation or held.sealed:
            return False
        return held.whose != self.whose if held.whose else held.pipeline != self._pipeline

    def fail(self, generation: int, why: str) -> None:
        """Note why there is no token, and let go of the lock."""
        self._run("fail", generation, why[:500])

    def free(self) -> None:
        """Let go of the lock."""
        self._run("free")

    def _held(self, found: Any) -> Held:
        now, flat = float(found[1]), found[2]
        data = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        if not data.get("generation"):
            return Held(now=now, intent=_moment(data.get("intent")), trouble=data.get("trouble", b"").decode())
        try:
            access, refresh, *rest = self._vault.unseal(data["sealed"])
            closed = False
        except Sealed:
            access, refresh, rest, closed = "", "", [], True
        return Held(
            generation=int(data["generation"]),
            now=now,
            access=access,
            refresh=refresh,
            expires=_moment(data.get("expires")),
            obtained=_moment(data.get("obtained")) or 0.0,
            why=data["why"].decode(),
            first=data["first"].decode(),
            intent=_moment(data.get("intent")),
            trouble=data.get("trouble", b"").decode(),
            sealed=closed,
            pipeline=data.get("pipeline", b"").decode(),
            whose=rest[0] if rest else "",
        )

    # What a token server has just given lies on this machine's disk until Redis has it.

    def shelve(self, generation: int, token: Token, *, first: str, before: str) -> Path:
        """Write down what came in the place of a generation; on the disk when this returns. Raises OSError."""
        path = self._shelf(generation, first)
        private_folder(path.parent)
        kept = [token.access, token.refresh or before, token.seconds, token.scope, time.time(), self.whose]
        write_whole(path, self._vault.seal(kept), mode=0o600)
        return path

    def shelved(self, generation: int, first: str) -> Token | None:
        """What another process got in the place of a generation, and could not tell Redis."""
        path = self._shelf(generation, first)
        try:
            access, refresh, seconds, scope, at, *rest = self._vault.unseal(path.read_bytes())
        except (OSError, Sealed, ValueError):
            return None
        if rest and rest[0] != self.whose:
            return None
        left = None if seconds is None else max(0.001, seconds - max(0.0, time.time() - at))
        return Token(access, refresh, left, scope)

    def unshelve(self, generation: int, first: str) -> None:
        """Redis has it."""
        self._shelf(generation, first).unlink(missing_ok=True)
        for path in self._vault.folder.glob("*.new"):
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - _ORPHAN_SECONDS:
                    path.unlink()

    def _shelf(self, generation: int, first: str) -> Path:
        return self._vault.folder / f"{self._digest}-{generation}-{first[:8]}.new"


def about_of(client: redis.Redis, name: str) -> About | None:
    """What people may know of a stored token; None where there is none. Raises StackError, LedgerError."""
    with translated():
        clock: Any = client.time()
        data: dict[Any, Any] = client.hgetall(f"{PREFIX}{{{digest_of(name)}}}")
    return _about(data, clock[0] + clock[1] / 1e6) if data else None


def _about(data: dict[Any, Any], now: float) -> About:
    def text(name: str) -> str:
        return str(data.get(name.encode(), b""), "utf-8", "replace")

    return About(
        name=text("name"),
        pipeline=text("pipeline"),
        obtained=_moment(data.get(b"obtained")) or 0.0,
        expires=_moment(data.get(b"expires")),
        scope=text("scope"),
        trouble=text("trouble"),
        now=now,
    )


def inherit(client: redis.Redis, name: str, before: str, pipeline: str) -> None:
    """Go on under this name with what the pipeline stored under the one that it had by default in earlier versions.

    Raises redis.RedisError.
    """
    if name == before:
        return
    old, new = (f"{PREFIX}{{{digest_of(each)}}}" for each in (before, name))
    stored_by: Any = client.hget(old, "pipeline")
    if stored_by is not None and stored_by.decode("utf-8", "replace") == pipeline:
        with suppress(redis.ResponseError):  # another process was faster
            client.renamenx(old, new)


def forget(client: redis.Redis, name: str) -> bool:
    """Forget a token; whether there was one. Raises StackError, LedgerError."""
    with translated():
        return bool(client.delete(f"{PREFIX}{{{digest_of(name)}}}"))


def owner() -> str:
    """A name for who holds a lock, one a process and call."""
    return f"{os.uname().nodename}-{os.getpid()}-{os.urandom(4).hex()}"


def _moment(raw: bytes | None) -> float | None:
    return float(raw) if raw else None
