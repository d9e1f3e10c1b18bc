"""Trials through the whole product: command line, Prefect's server, a served deployment, the dashboard, Redis.

One stack carries them all, one after another, so that the limit is judged over the lot. Most runs are begun through the
dashboard's HTTP API, as Prefect flow runs of `rowrelay serve`; those that kill the command are `rowrelay send`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis

from deployments.embedded.state import PREFECT, StackState
from deployments.runners.drain import descendants, is_flow_run
from deployments.standin.arrivals import Arrival
from flows.errors import RowrelayError
from flows.ledger.connection import connect
from flows.ledger.view import View
from flows.records import RowState, RunState
from tests.faults.draw import APIS, Trial
from tests.faults.judge import Evidence, Seen, judge
from tests.faults.play import Result
from tests.faults.scene import restart, wait_for
from tests.faults.watch import watching
from tests.harness.browser import dashboard
from tests.harness.dashboard_site import Site, rows_file, site
from tests.harness.receiver import over
from tests.harness.serving import delivers
from tests.harness.world import ROOT

PROGRAM = [sys.executable, "-c", "import sys; from deployments.commands.cli import main; sys.exit(main())"]
CALM: dict[str, Any] = {"faults": {}, "delay_min_seconds": 0.02, "delay_max_seconds": 0.05, "jitter_seconds": 0.0}
MOST_SECONDS = 150.0  # a run whose machine died is resumed after two minutes at the latest


def play_whole(trials: Sequence[Trial], log: Path) -> Iterator[Result]:
    """Every result as soon as it is there."""
    with tempfile.TemporaryDirectory(prefix="faults-whole-") as folder, ExitStack() as stack:
        stack.enter_context(_speaking_to(log))
        here = stack.enter_context(site(Path(folder)))
        stage = Stage(here, Path(folder), stack)
        for trial in trials:
            began = time.monotonic()
            try:
                result = stage.play(trial)
            except BaseException as exc:  # pytest's own failures of the shared helpers are no Exception
                if isinstance(exc, KeyboardInterrupt | SystemExit):
                    raise
                result = Result(trial, ["played: " + traceback.format_exc(limit=-4)])
            result.seconds = time.monotonic() - began
            yield result


class Stage:
    """The site, whose parts are killed and begun again."""

    def __init__(self, here: Site, folder: Path, stack: ExitStack) -> None:
        self.here, self._folder, self._stack = here, folder, stack
        self.view = View(connect(here.redis.url))
        self._first = 1  # number of the next trial's first title
        self._starts = 0

    def play(self, trial: Trial) -> Result:
        """One trial, judged."""
        self.here.api.turn(**CALM)
        self.here.api.turn(**{name: value for name, value in APIS[trial.api].items() if name != "at"})
        first, self._first = self._first, self._first + trial.rows
        before = len(self.here.api.arrivals.details)
        self._starts, notes = 1, list[str]()
        command = self._begin(trial, first)
        with watching(View(connect(self.here.redis.url)), command.run) as looks:
            if not wait_for(lambda: looks.finished >= trial.after_rows, 60):
                notes.append("begin: no row ended within a minute")
            time.sleep(trial.after_seconds)
            hit = looks.finished < trial.rows
            self._break(trial, command)
            self._until_finished(trial, command, notes)
        arrivals = self.here.api.arrivals.details[before:]
        evidence = self._evidence(trial, command.run, [_seen(arrival, first) for arrival in arrivals])
        evidence.sums, evidence.done_at, evidence.undone = looks.sums, looks.done_at, looks.undone
        evidence.notes = notes + self._shown(command.run, evidence) + self._over(trial)
        wrong = judge(evidence)
        return Result(
            trial,
            wrong,
            arrivals=len(arrivals),
            worst=evidence.worst,
            resumed=self._starts - 1,
            unknown=evidence.counts[RowState.UNKNOWN],
            looks=looks.looks,
            hit=hit,
            said=[text for _, text in reversed(self.view.events(command.run))] if wrong else [],
        )

    # -- beginning -------------------------------------------------------------------------------------------------

    def _begin(self, trial: Trial, first: int) -> Begun:
        content = rows_file(first, trial.rows)
        if not trial.kill.startswith("command"):
            return Begun(self.here.start(self.here.upload(f"whole-{trial.number}.csv", content)))
        file = self._folder / f"whole-{trial.number}.csv"
        file.write_text(content)
        known = {run.id for run in self.view.runs(0, 500)}
        process = self._send(str(file), "--pipeline", "posts")
        wait_for(lambda: len(self.view.runs(0, 500)) > len(known), 60)
        (new,) = {run.id for run in self.view.runs(0, 500)} - known
        return Begun(new, process)

    def _send(self, *words: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self.here.variables}
        process = subprocess.Popen([*PROGRAM, "send", *words, "--json"], cwd=ROOT, env=environment, stdout=2)
        self._stack.callback(_gone, process)
        return process

    def _serve(self) -> None:
        environment = {**os.environ, **self.here.variables}
        self.here.runner = subprocess.Popen(
            [sys.executable, "-m", "deployments.commands", "serve"], cwd=ROOT, env=environment
        )
        self._stack.callback(_gone, self.here.runner)

    # -- breaking --------------------------------------------------------------------------------------------------

    def _break(self, trial: Trial, begun: Begun) -> None:
        kill, hold = trial.kill, trial.hold_seconds
        if kill == "command" and begun.process:
            begun.process.kill()
        elif kill == "command term" and begun.process:
            begun.process.terminate()
        elif kill == "run process":
            os.kill(self._process_of(begun.run), signal.SIGKILL)
        elif kill == "machine":
            _gone(self.here.runner)
            time.sleep(hold)
            self._serve()
        elif kill == "serve term":
            self.here.runner.terminate()
            self.here.runner.wait(100)
            self._serve()
        elif kill == "prefect":
            self._prefect().kill()
        elif kill == "dashboard":
            _gone(self.here.board.process)
            time.sleep(hold)
            log = self._folder / "dashboard-again.log"
            self.here.board = self._stack.enter_context(dashboard(self._seen_by_dashboard(), log))
        else:
            self.here.redis.stop() if kill == "redis term" else self.here.redis.kill()
            time.sleep(hold)
            restart(self.here.redis)

    def _process_of(self, run: str) -> int:
        below = [pid for pid in descendants(self.here.runner.pid) if is_flow_run(pid)]
        return next(pid for pid in below if delivers(pid, run))

    def _prefect(self) -> psutil.Process:
        port = StackState.read(self.here.settings.data / "stack").service(PREFECT).port
        listening = psutil.net_connections("tcp")
        (pid,) = {each.pid for each in listening if each.status == "LISTEN" and each.laddr.port == port}
        return psutil.Process(pid)

    def _seen_by_dashboard(self) -> dict[str, str]:
        return {**self.here.variables, "PREFECT_API_URL": f"http://127.0.0.1:{self.here.prefect.port}/api"}

    # -- the end ---------------------------------------------------------------------------------------------------

    def _until_finished(self, trial: Trial, begun: Begun, notes: list[str]) -> None:
        """Wait; where a person has to resume, do that as a person would."""
        deadline = time.monotonic() + MOST_SECONDS
        while not self._finished(begun.run):
            if time.monotonic() > deadline:
                notes.append(f"end: not finished within {MOST_SECONDS:g} s")
                return
            if begun.process is not None:
                begun.process.wait(MOST_SECONDS)
                if not self._finished(begun.run):
                    self._starts += 1
                    begun.process = self._send("--resume", begun.run)
            elif trial.kill == "machine" or self._stopped(begun.run):
                with suppress(httpx.HTTPError):  # refused for as long as somebody seems to deliver it
                    self._starts += self.here.board.api("POST", f"/runs/{begun.run}/resume").status_code == 202
                time.sleep(2)
            time.sleep(0.1)

    def _finished(self, run: str) -> bool:
        return self._state(run) is RunState.FINISHED

    def _stopped(self, run: str) -> bool:
        return self._state(run) is RunState.STOPPED

    def _state(self, run: str) -> RunState | None:
        with suppress(RowrelayError, redis.RedisError):
            return self.view.run(run).state
        return None

    def _evidence(self, trial: Trial, run: str, arrivals: list[Seen]) -> Evidence:
        found = self.view.run(run)
        states = {str(s): set(self.view.select(run, [s], found.total).tolist()) for s in RowState}
        return Evidence(
            requests=trial.limit[0],
            window_seconds=trial.limit[1],
            total=trial.rows,
            rejected=0,
            idempotent=False,
            arrivals=arrivals,
            states=states,
            counts={str(state): count for state, count in found.counts.items()},
            run_state=str(found.state),
        )

    def _shown(self, run: str, evidence: Evidence) -> list[str]:
        """Where the dashboard's HTTP API says something else than the ledger."""
        shown = self.here.run(run)
        wrong = [f"sum: the dashboard shows {shown['counts']}"] if shown["counts"] != evidence.counts else []
        results = self.here.board.api("GET", f"/runs/{run}/results.json").json()["result"]
        states = {row["row"]: row["result"] for row in results}
        if states != {row: state for state, rows in evidence.states.items() for row in rows}:
            wrong.append(f"state: the results that the dashboard gives out say otherwise: {json.dumps(states)}")
        return wrong

    def _over(self, trial: Trial) -> list[str]:
        """The limit over all trials so far: what comes late from one falls into the next."""
        number = over([arrival.at / 1e9 for arrival in self.here.api.arrivals.details], *trial.limit)
        return [f"limit: {number} arrivals over it, counted over all trials so far"] if number else []


class Begun:
    """A run under way, and the command that sends it, if it is one."""

    def __init__(self, run: str, process: subprocess.Popen[bytes] | None = None) -> None:
        self.run, self.process = run, process


def _seen(arrival: Arrival, first: int) -> Seen:
    said: dict[str, Any] = asdict(arrival)
    row = int(arrival.tag.removeprefix("t")) - first + 1 if arrival.tag else 0
    return Seen(said["at"], row, said["key"], said["digest"], said["answer"], said["acted"])


def _gone(process: subprocess.Popen[bytes]) -> None:
    """As if its machine had gone: the process and all below it."""
    if process.poll() is not None:
        return
    below = descendants(process.pid)
    process.kill()
    for pid in below:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(10)


@contextmanager
def _speaking_to(log: Path) -> Iterator[None]:
    """What this process starts writes its troubles there: many of them are meant."""
    kept, file = os.dup(2), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(file)
