"""The servers of one trial: a Redis of its own, the API that judges, what lies between them and the sender."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployments.embedded.children import die_with_parent
from deployments.embedded.redis_server import RedisServer
from deployments.standin.api import Knobs, StandIn
from deployments.standin.server import serving
from flows.ledger.view import View
from tests.faults.draw import APIS, Trial
from tests.harness import tls
from tests.harness.dashboard_site import Gate
from tests.harness.faketime import LIBFAKETIME, under_faketime
from tests.harness.forked import Forked
from tests.harness.netns import Machine, machines
from tests.harness.proxy import Proxy
from tests.harness.world import ROOT, World

RUN = "r1"
TIMEOUT_SECONDS, GRACE_SECONDS = 0.8, 0.5
DISK_BYTES = 3 * 2**20


class MortalRedis(RedisServer):
    """A server that does not outlive the process that plays the trial, if somebody kills that."""

    def launch(self, **more: Any) -> None:
        """Start it from the main thread, whose end it will hear of."""
        super().launch(preexec_fn=die_with_parent(signal.SIGKILL), **more)


@dataclass
class Scene:
    """Everything that a trial can break."""

    trial: Trial
    folder: Path
    server: RedisServer
    world: World  # as the sender sees it
    desk: World  # the same past everything that is broken
    proxy: Proxy | None = None  # slow or cut ways: to the API, or to Redis
    gate: Gate | None = None
    machine: Machine | None = None
    clock: Path | None = None
    roots: Path | None = None  # whom the sender has to trust, where the API speaks TLS
    disks: set[str] = field(default_factory=set)  # folders that are small disks of their own
    left_out: list[str] = field(default_factory=list)  # what this machine could not be made to do
    starts: int = 0

    @property
    def file(self) -> Path:
        """The file that is sent."""
        return self.folder / "rows.csv"

    @property
    def data(self) -> Path:
        """The sender's data folder."""
        return self.folder / "data"

    @property
    def view(self) -> View:
        """The ledger, by the direct way."""
        return self.desk.view

    def start(self, **more: Any) -> Forked:
        """Start a sender that begins or resumes the run."""
        self.starts += 1
        if self.roots:
            more["roots"] = str(self.roots)
        return self.world.start(RUN, file=self.file, give_up_seconds=self.trial.give_up_seconds, **more)

    def behave(self) -> None:
        """Let the API behave as drawn, from the beginning."""
        self.desk.control(**{name: value for name, value in APIS[self.trial.api].items() if name != "at"})


@contextmanager
def scene(trial: Trial, folder: Path) -> Iterator[Scene]:
    """Build it; whatever happens, nothing of it is left."""
    with ExitStack() as stack:
        left_out: list[str] = []
        disks = {
            name
            for name in ("redis", "data")
            if trial.trouble == {"redis": "disk of redis", "data": "disk of journal"}[name]
            and _small_disk(folder / name, stack)
        }
        clock = _clock(trial, folder, left_out)
        server = MortalRedis(folder / "redis", binary=under_faketime(folder, clock) if clock else "")
        stack.callback(_end, server)
        server.start()
        machine = _machine(trial, stack, left_out)
        direct = _api(trial, folder, machine, stack)
        address, redis_url = direct, server.url
        proxy = gate = None
        to_redis = trial.network.startswith("redis")
        api_port, redis_port, roots = int(direct.rpartition(":")[2]), server.port, None
        if trial.away or trial.setup or trial.tls:
            trusted = tls.authority(folder)
            certificate, roots = (trusted.certificate(*tls.HERE), trusted.roots) if trial.tls else (None, None)
            way = Proxy(api_port, away=trial.away, setup=trial.setup, tls=certificate)
            api_port = stack.enter_context(way).port
            address = f"{'https' if trial.tls else 'http'}://127.0.0.1:{api_port}"
        if trial.redis_away:
            redis_port = stack.enter_context(Proxy(redis_port, away=trial.redis_away)).port
            redis_url = redis_url.replace(f":{server.port}/", f":{redis_port}/")
        port = redis_port if to_redis else api_port
        if trial.network in ("stall", "redis stall", "delay") or (trial.network == "link down" and machine is None):
            proxy = stack.enter_context(Proxy(port))
        elif trial.network in ("cut", "redis cut"):
            gate = Gate(port)
            stack.callback(gate.shut)
        if between := proxy or gate:
            if to_redis:
                redis_url = server.url.replace(f":{server.port}/", f":{between.port}/")
            else:
                address = address.replace(f":{port}", f":{between.port}")
        if proxy and trial.network == "delay":
            proxy.set(jitter=(0.0, 0.12))
        limit = {
            "name": "faults",
            "requests": trial.limit[0],
            "window_seconds": trial.limit[1],
            "in_flight": trial.in_flight,
            "grace_seconds": GRACE_SECONDS,
        }
        more = {
            "request": {"timeout_seconds": TIMEOUT_SECONDS},
            "retry": {"attempts": 3, "max_seconds": 20},
            "idempotent": trial.idempotent,
        }
        world = World(folder, redis_url, address, None, limit, more)  # type: ignore[arg-type]
        desk = World(folder, server.url, direct, None, limit)  # type: ignore[arg-type]
        stack.callback(_end_all, world)
        world.file(trial.rows, bad=trial.bad)
        yield Scene(trial, folder, server, world, desk, proxy, gate, machine, clock, roots, disks, left_out)


def restart(server: RedisServer) -> None:
    """Start a Redis that was killed; its port may be taken for a moment by somebody's connection."""
    for left in reversed(range(20)):
        try:
            server.start()
            return
        except Exception:
            if not left:
                raise
            time.sleep(0.25)


def wait_for(condition: Callable[[], Any], seconds: float) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _small_disk(folder: Path, stack: ExitStack) -> bool:
    """A disk of its own, which can be filled; only root may make one."""
    folder.mkdir(parents=True, mode=0o700)
    if os.geteuid() != 0:
        return False
    options = f"size={DISK_BYTES},mode=700"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True).returncode:
        return False
    stack.callback(subprocess.run, ["umount", "-l", str(folder)], capture_output=True)
    return True


def _clock(trial: Trial, folder: Path, left_out: list[str]) -> Path | None:
    if trial.trouble != "clock":
        return None
    if LIBFAKETIME is None:
        left_out.append("clock (libfaketime is not here)")
        return None
    ahead = folder / "ahead"
    ahead.write_text("+0")
    return ahead


def _machine(trial: Trial, stack: ExitStack, left_out: list[str]) -> Machine | None:
    if trial.network != "link down":
        return None
    if os.geteuid() != 0:
        left_out.append("link (only root may make network namespaces): the proxy is cut instead")
        return None
    (only,) = stack.enter_context(machines(1))
    return only


def _api(trial: Trial, folder: Path, machine: Machine | None, stack: ExitStack) -> str:
    """The API: in this process, or on a machine of its own. Its address."""
    requests, seconds = trial.limit
    if machine is None:
        knobs = Knobs(requests=requests, window_seconds=seconds, tag="userId", idempotent=trial.idempotent)
        return stack.enter_context(serving(StandIn(knobs)))
    options = ["--host", machine.address, "--port", "8080", "--tag", "userId"]
    options += ["--requests", str(requests), "--window-seconds", str(seconds)] + ["--idempotent"] * trial.idempotent
    command = machine.inside(sys.executable, "-m", "deployments.commands", "standin", *options)
    with (folder / "api.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    stack.callback(process.wait)
    stack.callback(process.kill)
    address = f"http://{machine.address}:8080"
    there = World(folder, "", address, None, {})  # type: ignore[arg-type]
    if not wait_for(lambda: _answers(there), 30):
        raise RuntimeError("the API did not start: " + (folder / "api.log").read_text()[-500:])
    return address


def _answers(there: World) -> bool:
    try:
        return bool(there.report())
    except OSError:
        return False


def _end(server: RedisServer) -> None:
    if server.running:
        server.kill()


def _end_all(world: World) -> None:
    for process in world.engines:
        if process.poll() is None:
            process.kill()
            process.wait()
