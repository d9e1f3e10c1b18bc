"""Uses up a refresh token, in a process of its own that outlives whoever sent it.

    python -m flows.credentials.errand < one line: what is asked   →  "ready";  then "go"  →  one line: what came of it

Most servers make a refresh token void the moment they give out the next one, and many shut the account out if the old
one comes again. So whoever dies between their answer and its storage has lost the account. This process is no child of
the sender (it is forked twice, in a session of its own), and takes no signal but SIGKILL to itself: a sender that is
killed in the middle of a renewal loses nothing. The answer is on this machine's disk before anything else is done with
it, and in Redis before anybody uses it. What remains: the machine, or this very process, dies between the server's
answer and its arrival on the disk, or the answer is lost on the network. Then the same refresh token is tried again,
which servers with a grace (Auth0, Okta) take, and of others a person has to connect again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from flows.credentials.grant import Asked, Token, TokenAway, TokenRefused, asking
from flows.credentials.store import HOLD_SECONDS, Store
from flows.credentials.vault import Vault
from flows.credentials.wire import DIRECTLY, Wire, driven
from flows.errors import RowrelayError

START_SECONDS = 15.0  # Python and its libraries may take so long on a machine that is busy
KEEP_SECONDS = 20.0  # so long a Redis that is away is told again and again; after that what came lies on the disk
ONLY_SECONDS = 600.0  # the same where the disk did not take it


class Errand(msgspec.Struct, frozen=True):
    """What is to be done. It holds secrets: it goes through a pipe, and is written nowhere."""

    redis_url: str
    key: bytes
    folder: str
    name: str
    pipeline: str
    owner: str
    generation: int
    why: str
    first: str
    before: str
    where: str
    asked: Asked
    attempts: int = 1
    wire: Wire = DIRECTLY
    hide: tuple[str, ...] = ()
    whose: str = ""


class Came(msgspec.Struct, frozen=True):
    """What came of it: nothing to say where the token is stored."""

    refused: str = ""
    away: str = ""


class Sent:
    """An errand on its way, for a thread that may wait. `go` comes once it may be an arrival."""

    def __init__(self, errand: Errand) -> None:
        import flows

        above = str(Path(flows.__file__).resolve().parents[1])
        paths = [above, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.credentials.errand"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
        self._say(msgspec.json.encode(errand))
        if self._out.readline().strip() != b"ready":
            self.leave()
            raise TokenAway("The process that renews tokens could not be started.")

    @property
    def _out(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except OSError:
            pass  # what it says, or does not say, tells

    def go(self) -> Came:
        """Let it ask; waits for what came of it, and leaves it."""
        self._say(b"go")
        line = self._out.readline()
        self.leave()
        return msgspec.json.decode(line, type=Came) if line else Came(away="the renewal was killed")

    def leave(self) -> None:
        """Nobody listens any more: without having been told to go, it asks nothing."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()


def run(errand: Errand) -> Came:
    """Ask, and keep what came."""
    from flows.ledger.connection import connect
    from flows.masking import Masker

    store = Store(
        connect(errand.redis_url, patience=lambda: 5.0),
        Vault(errand.key, Path(errand.folder)),
        errand.name,
        owner=errand.owner,
        pipeline=errand.pipeline,
        whose=errand.whose,
    )

    def before(asked: Asked) -> None:
        if not store.intend(errand.generation, asked.timeout_seconds + HOLD_SECONDS):
            raise TokenAway("another process renews the token")

    mask = Masker((errand.before, *errand.hide)).text
    try:
        flow = asking(errand.where, lambda: errand.asked, attempts=errand.attempts)
        token = driven(flow, wire=errand.wire, before=before, sleep=store.pause)
    except TokenRefused as exc:
        told = mask(exc.message)
        store.fail(errand.generation, told)
        return Came(refused=told)
    except RowrelayError as exc:
        store.free()
        return Came(away=mask(exc.message))
    return _keep(store, errand, token)


def _keep(store: Store, errand: Errand, token: Token, sleep: Callable[[float], None] = time.sleep) -> Came:
    """On the disk at once, then in Redis, however long that takes."""
    import redis

    shelved = True
    try:
        store.shelve(errand.generation, token, first=errand.first, before=errand.before)
    except OSError:
        shelved = False  # then Redis is all that is left
    until = time.monotonic() + (KEEP_SECONDS if shelved else ONLY_SECONDS)
    while True:
        try:
            store.put(errand.generation, token, why=errand.why, first=errand.first, before=errand.before)
            break
        except redis.RedisError as exc:
            if time.monotonic() > until:
                return Came(away=f"Redis did not take the token: {exc}")
            sleep(0.2)
    if shelved:
        store.unshelve(errand.generation, errand.first)
    return Came()


def main() -> None:
    """Nobody's child, deaf to signals; then what the line says."""
    if os.fork():
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    errand = msgspec.json.decode(sys.stdin.buffer.readline(), type=Errand)
    _tell(b"ready")
    if sys.stdin.buffer.readline().strip() != b"go":  # whoever sent it is gone, and nothing was asked
        return
    try:
        came = run(errand)
    except Exception as exc:
        came = Came(away=f"internal error: {type(exc).__name__}")
    _tell(msgspec.json.encode(came))


def _tell(line: bytes) -> None:
    try:
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
    except OSError:
        pass  # nobody listens any more


if __name__ == "__main__":
    main()
