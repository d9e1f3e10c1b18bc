"""`rowrelay up`: everything on this machine, in the foreground, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from deployments.commands.describing import without_secrets
from deployments.commands.session import Session, err, out, waiting
from deployments.commands.terminal import ending, hung_up
from flows.client.proxy import unused_proxy
from flows.errors import SettingError, StackError
from flows.ledger.connection import cautions
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import present
from flows.private import private_folder
from flows.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
DASHBOARD = ROOT / "dashboard" / "app.py"
DASHBOARD_PORT = 8501
START_SECONDS = 90.0
LOOK_SECONDS = 0.5
STATUS_SECONDS = 5.0
SPARE_SECONDS = 5.0  # for what serves deliveries to end, once they have handed over or had their time for it
STOP_SECONDS = 10.0
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # 127.0.0.1 is never behind a proxy


@dataclass
class Child:
    """A service that lives and dies with this command. `consequence` is what is missing without it."""

    name: str
    consequence: str
    process: subprocess.Popen[bytes]
    log: Path
    ready: Callable[[], bool]
    gone: bool = False

    def last_words(self) -> str:
        """The end of its log."""
        from deployments.embedded.children import last_words

        return last_words(self.log)


def up(*, port: int | None) -> int:
    """Start everything, say where it is, and stay until Ctrl-C. Returns 0, or 1 if a service died meanwhile."""
    from deployments.embedded import stack
    from deployments.embedded.addresses import note_dashboard, status

    settings = Settings.read()
    definitions = present(settings)
    for fault in definitions.refused.values():
        err.print(f"Left out: {fault}", style="red", markup=False)
    if definitions.withheld_notice:
        err.print(definitions.withheld_notice, markup=False)
    for text in without_secrets(definitions, settings):
        err.print(text, style="yellow", markup=False)
    dashboard_port = _port(port)
    children: list[Child] = []
    with _interruptible(), ExitStack() as exits:
        try:
            with waiting("Starting Redis and Prefect …"):
                addresses = exits.enter_context(stack.use(settings))
            note_dashboard(settings, f"http://127.0.0.1:{dashboard_port}")
            environment = stack.child_environment(addresses, settings)
            exits.callback(_stop, children)
            children += _start(settings, environment, dashboard_port)
            for service in status(settings):
                _say(service.name, service.page or service.address, "" if service.embedded else "yours")
            for text in _cautions(settings, addresses.redis_url, definitions):
                err.print(text, style="yellow", markup=False)
            with waiting("Starting the deployments and the dashboard …"):
                _wait(children)
            _announce(settings, children, _served(addresses.prefect_api_url, definitions), dashboard_port)
            _stay(settings, children)
        except KeyboardInterrupt:
            err.print("\nStopping; deliveries under way get their answers first …")
            if children:
                _tell_unfinished(Session.of(settings, addresses.redis_url))
    return 1 if any(child.gone for child in children) else 0


def _cautions(settings: Settings, redis_url: str, definitions: Mapping[str, Definition]) -> list[str]:
    """What to know before anything is sent: of the Redis, and of proxies that are not used."""
    proxies = dict.fromkeys(map(_unused_proxy, definitions.values()))
    return [*cautions(Session.of(settings, redis_url).client), *filter(None, proxies)]


def _unused_proxy(definition: Definition) -> str:
    try:
        return unused_proxy(definition)
    except SettingError as exc:  # its runs will say so, and the other pipelines go on
        return str(exc)


def _port(asked: int | None) -> int:
    """The dashboard's port: the one asked for, else the usual one or the first free one after it."""
    for port in (asked,) if asked is not None else range(DASHBOARD_PORT, DASHBOARD_PORT + 100):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError, OverflowError):
                sock.bind(("127.0.0.1", port))
                if port != (asked or DASHBOARD_PORT):
                    err.print(f"Port {DASHBOARD_PORT} is in use, so the dashboard takes {port}.")
                return port
    what = f"Port {asked} is in use." if asked is not None else f"No port from {DASHBOARD_PORT} on is free."
    raise StackError(what, hint="Give another one with --port, or leave --port out.")


def _start(
    settings: Settings,
    environment: Mapping[str, str],
    port: int,
) -> list[Child]:
    children = []
    served = settings.data.absolute() / "logs" / "deployments.ready"
    served.unlink(missing_ok=True)
    children.append(
        _spawn("deployments", "runs that Prefect, the dashboard or the HTTP API start will wait",
               ["-m", "deployments.commands", "serve", "--ready", str(served)], settings, environment, served.exists)
    )  # fmt: skip
    if DASHBOARD.exists():
        command = ["-m", "streamlit", "run", str(DASHBOARD), "--server.port", str(port)]
        command += ["--server.address", "127.0.0.1", "--server.headless", "true", "--browser.gatherUsageStats", "false"]
        children.append(
            _spawn("dashboard", "its pages and the HTTP API are gone", command, settings, environment,
                   lambda: _answers(f"http://127.0.0.1:{port}/_stcore/health"))
        )  # fmt: skip
    return children


def _spawn(
    name: str,
    consequence: str,
    command: list[str],
    settings: Settings,
    environment: Mapping[str, str],
    ready: Callable[[], bool],
) -> Child:
    from deployments.embedded.children import die_with_parent, set_aside

    log = settings.data / "logs" / f"{name}.log"
    private_folder(log.parent)
    set_aside(log)
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,  # where a checkout's .streamlit/secrets.toml lies
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,  # Ctrl-C is for us: we end them in order
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
    return Child(name, consequence, process, log, ready)


def _answers(url: str) -> bool:
    try:
        with _direct.open(url, timeout=2):
            return True
    except urllib.error.HTTPError as exc:
        return exc.code in (401, 403)  # it is there; we have no password
    except (OSError, ValueError):
        return False


def _wait(children: list[Child], *, seconds: float = START_SECONDS) -> None:
    """Until every one is ready. Raises StackError for one that ends or is not ready in time."""
    deadline = time.monotonic() + seconds
    for child in children:
        while not child.ready() and time.monotonic() < deadline:
            if child.process.poll() is not None:
                code = child.process.returncode
                raise StackError(
                    f"The {child.name} ended while starting, with code {code}:\n{child.last_words()}",
                    hint=f"Its log is {child.log}.",
                )
            time.sleep(0.1)
        if not child.ready():
            raise StackError(
                f"The {child.name} did not become ready within {seconds:.0f} s: {child.consequence}.\n"
                f"{child.last_words()}".rstrip(),
                hint=f"Its log is {child.log}. Everything is stopped again; try once more.",
            )


def _served(prefect_url: str, definitions: Mapping[str, Definition]) -> dict[str, Definition]:
    """Those that Prefect has taken; the others are named."""
    taken = {}
    for name, definition in definitions.items():
        if _answers(f"{prefect_url}/deployments/name/deliver/{name}"):
            taken[name] = definition
        else:
            err.print(f"Left out: Prefect did not take pipeline {name}; the deployments' log says why.", style="red")
    return taken


def _announce(settings: Settings, children: list[Child], definitions: Mapping[str, Definition], port: int) -> None:
    named = {child.name: child for child in children}
    if "deployments" in named:
        _say("Deployments", ", ".join(f"deliver/{name}" for name in definitions))
    if "dashboard" in named:
        _say("Dashboard", f"http://127.0.0.1:{port}")
        _say("HTTP API", f"http://127.0.0.1:{port}/api/docs")
    for name, definition in definitions.items():
        _say(f"Pipeline {name}", f"sends to {definition.main.url.split('?')[0]}")
    _say("Data", str(settings.data))
    out.print("Ctrl-C stops everything.")


def _say(name: str, text: str, remark: str = "") -> None:
    out.print(f"{name:<16} {text}" + (f" ({remark})" if remark else ""), markup=False)


def _stay(settings: Settings, children: list[Child]) -> None:
    """Watch the services and say what happens to them. Nothing is started again without a word."""
    from deployments.embedded.addresses import status

    reachable: dict[str, bool] = {}
    due = 0.0
    while True:
        time.sleep(LOOK_SECONDS)
        for child in children:
            if not child.gone and child.process.poll() is not None:
                child.gone = True
                err.print(
                    f"The {child.name} died with code {child.process.returncode}: {child.consequence}. Start"
                    f" `rowrelay up` again; its log is {child.log}, and ends with:\n{child.last_words()}",
                    style="red", markup=False,
                )  # fmt: skip
        if time.monotonic() < due:
            continue
        due = time.monotonic() + STATUS_SECONDS
        for service in status(settings):
            before = reachable.get(service.name, True)
            reachable[service.name] = service.reachable
            if before and not service.reachable:
                err.print(f"{service.name} does not answer: {service.detail}", style="red", markup=False)
            elif not before and service.reachable:
                err.print(f"{service.name} answers again.", markup=False)


def _tell_unfinished(session: Session) -> None:
    for run in session.view.runs(0, 100):
        if run.busy:
            how = f"goes on at the next start, or with rowrelay send --resume {run.id}"
            err.print(f"  run {run.id} of {run.file} {how}", markup=False)


def _stop(children: list[Child]) -> None:
    """End the deployments first, whose runs get time for their answers and to hand over what is left."""
    from deployments.runners.drain import HAND_OVER_SECONDS, descendants

    for name in ("deployments", "dashboard"):
        ending = [child for child in children if child.name == name]
        left = [pid for child in ending for pid in descendants(child.process.pid)]
        for child in ending:
            _signal(child.process.pid, signal.SIGTERM)
        seconds = HAND_OVER_SECONDS + SPARE_SECONDS if name == "deployments" else STOP_SECONDS
        _until(lambda: all(child.process.poll() is not None for child in ending), seconds)  # noqa: B023
        for pid in (*left, *(child.process.pid for child in ending if child.process.poll() is None)):
            _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _until(over: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not over() and time.monotonic() < deadline:
        time.sleep(0.1)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a hang-up are like Ctrl-C, which is heard also where a shell started us in the background."""
    heard: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            hung_up()
        if number == signal.SIGHUP and heard:  # a kernel and a shell may both say so
            return
        heard.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in ending()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
