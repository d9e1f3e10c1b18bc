"""What is broken, and mended again: each harm is a block at whose end everything is whole, but for who was killed."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

import redis

from flows.ledger.connection import connect
from flows.ledger.ledger import LEASE_SECONDS
from tests.faults.draw import APIS
from tests.faults.scene import Scene, restart
from tests.harness.faketime import set_clock
from tests.harness.forked import Forked

MARGIN_BYTES = 4 * 2**20  # of address space that a sender is left


def harm(scene: Scene, engine: Forked) -> None:
    """Break all that the trial says, for as long as it says, and mend it."""
    trial = scene.trial
    with ExitStack() as broken:
        broken.enter_context(_api(scene))
        broken.enter_context(_network(scene))
        broken.enter_context(_trouble(scene, engine))
        broken.enter_context(_kill(scene, engine))
        time.sleep(trial.hold_seconds)
    _redis_back(scene)


def _redis_back(scene: Scene) -> None:
    """Redis answers again; one that could not write ends only when it tries to, and is started then."""
    with connect(scene.server.url) as client:
        for _ in range(5):
            try:
                client.set("rowrelay:test:back", 1)
                return
            except redis.ResponseError:
                return  # it is there, and says no
            except redis.RedisError:
                if not scene.server.running:
                    restart(scene.server)
                time.sleep(0.1)


def _kill(scene: Scene, engine: Forked) -> AbstractContextManager[None]:
    kind = scene.trial.kill
    if kind in ("sender kill", "both"):
        engine.kill()
    if kind == "sender term":
        engine.terminate()
    if kind == "sender stop":
        return _stopped_sender(scene, engine)
    if kind == "redis stop":
        return _stopped_redis(scene)
    return _redis_away(scene, kind) if kind in ("redis kill", "redis term", "both") else nullcontext()


@contextmanager
def _stopped_sender(scene: Scene, engine: Forked) -> Iterator[None]:
    """Frozen; if for longer than its lease, another takes the run meanwhile and both are there in the end."""
    engine.send_signal(signal.SIGSTOP)
    try:
        if scene.trial.hold_seconds > LEASE_SECONDS:
            scene.start()
        yield
    finally:
        engine.send_signal(signal.SIGCONT)


@contextmanager
def _stopped_redis(scene: Scene) -> Iterator[None]:
    scene.server.kill(signal.SIGSTOP)
    try:
        yield
    finally:
        scene.server.kill(signal.SIGCONT)


@contextmanager
def _redis_away(scene: Scene, kind: str) -> Iterator[None]:
    if kind == "redis term":
        scene.server.stop()
    elif scene.server.running:
        scene.server.kill()
    yield
    if not scene.server.running:
        restart(scene.server)


@contextmanager
def _api(scene: Scene) -> Iterator[None]:
    if not (at := APIS[scene.trial.api].get("at")):
        yield
        return
    scene.desk.control(**at)
    time.sleep(scene.trial.after_seconds / 5)  # now and then the first answers are there before the rest breaks
    yield
    scene.desk.control(ban=False)


@contextmanager
def _network(scene: Scene) -> Iterator[None]:
    if scene.trial.network in ("stall", "redis stall", "link down") and (line := scene.machine or scene.proxy):
        line.down() if scene.machine else scene.proxy.set(cut=True)  # type: ignore[union-attr]
        yield
        line.up() if scene.machine else scene.proxy.set(cut=False)  # type: ignore[union-attr]
    elif scene.gate:
        scene.gate.shut()
        yield
        scene.gate.open()
    else:
        yield


def _trouble(scene: Scene, engine: Forked) -> AbstractContextManager[None]:
    kind = scene.trial.trouble
    if kind == "disk of redis":
        return _full_disk(scene, "redis")
    if kind == "disk of journal":
        return _nowhere_to_write(scene, engine)
    if kind == "memory of redis":
        return _little_memory(scene)
    if kind == "memory of sender":
        return _small_sender(engine)
    return _clock_set(scene) if kind == "clock" and scene.clock else nullcontext()


@contextmanager
def _full_disk(scene: Scene, name: str) -> Iterator[None]:
    """Redis, which must write before it answers, ends when it cannot; it comes back when there is room."""
    process = scene.server.process
    if name in scene.disks:
        filler = scene.folder / name / "filler"
        _fill(filler)
        yield
        filler.unlink(missing_ok=True)
    else:  # no disk of its own: no file of it may grow
        assert process
        with suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        yield
        if process.poll() is None:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def _nowhere_to_write(scene: Scene, engine: Forked) -> Iterator[None]:
    """The journal's disk is full just when Redis refuses what should be recorded."""
    with _little_memory(scene):
        if "data" in scene.disks:
            filler = scene.data / "filler"
            _fill(filler)
            yield
            filler.unlink(missing_ok=True)
        else:
            with _limited(engine, resource.RLIMIT_FSIZE, 1):
                yield


@contextmanager
def _little_memory(scene: Scene) -> Iterator[None]:
    _configure(scene, "maxmemory", "1")
    yield
    _configure(scene, "maxmemory", "0")


@contextmanager
def _small_sender(engine: Forked) -> Iterator[None]:
    with _limited(engine, resource.RLIMIT_AS, _address_space(engine.pid) + MARGIN_BYTES):
        yield


@contextmanager
def _clock_set(scene: Scene) -> Iterator[None]:
    """Set the clock of Redis by some seconds, and back."""
    assert scene.clock
    set_clock(scene.clock, f"{scene.trial.step_seconds:+d}")
    yield
    set_clock(scene.clock, "+0")


@contextmanager
def _limited(engine: Forked, what: int, soft: int) -> Iterator[None]:
    try:
        before = resource.prlimit(engine.pid, what)
        resource.prlimit(engine.pid, what, (soft, before[1]))
    except ProcessLookupError:
        yield
        return
    yield
    with suppress(ProcessLookupError):
        resource.prlimit(engine.pid, what, before)


def _configure(scene: Scene, name: str, value: str) -> None:
    """Tell Redis, if it is there to be told; one that was restarted has forgotten it anyway."""
    with suppress(redis.RedisError), connect(scene.server.url) as client:
        client.config_set(name, value)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def _address_space(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
