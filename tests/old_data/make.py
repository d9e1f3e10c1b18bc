"""Makes the data folders of the version that runs, to be kept: later versions prove with them that they go on.

Once a release, with the name of its version, from the root of the project:

    python tests/old_data/make.py 0.2.0

An earlier version makes them with the file that came with it. Nothing but the programs is used: `rowrelay send`,
`rowrelay up`, Prefect's API and the stand-in. All rows go to one address that is used for nothing else, since it is a
part of what a run stores: 127.*, which only this machine has, and a port that no system hands out by itself. Two
folders come out of it, each packed with what is needed to judge a resumption:

`command`  `rowrelay send`: a run killed half-way, and one that finished with failed, unknown and rejected rows
`stack`    `rowrelay up`: a run that was checked only, one that Prefect began and one of an inbox, both killed half-way
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import httpx

from deployments.embedded import addresses
from deployments.embedded.locks import held
from deployments.standin.api import Knobs, StandIn
from deployments.standin.server import serving
from flows.settings import Settings

HERE = Path(__file__).resolve().parent
HOST, PORT = "127.34.84.60", 18046
ROWS, AFTER = 100, 12  # of each run that is killed, and how many of them are done by then
PIPELINE = f"""\
name: old
columns:
  userId: {{type: int, min: 1}}
  title: {{type: str, blank: false}}
  price: {{type: decimal, optional: true}}
  born: {{type: date, optional: true}}
request:
  url: http://{HOST}:{PORT}/posts
  timeout_seconds: 2
response: {{keep: {{postId: id}}, success: [200, 201]}}
limit: {{name: old, requests: 20, window_seconds: 1, in_flight: 4, grace_seconds: 0.2}}
"""
SLOW = {"delay_min_seconds": 1.0, "delay_max_seconds": 1.4}  # so that there is time to kill


class Maker:
    """One data folder on its way. Programs of the version that runs work in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.url = f"http://{HOST}:{PORT}"
        pipelines = folder / "pipelines"
        pipelines.mkdir(parents=True)
        (pipelines / "old.yaml").write_text(PIPELINE)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ROWRELAY_", "PREFECT_"))},
            "ROWRELAY_DATA": str(self.data),
            "ROWRELAY_PIPELINES": str(pipelines),
            "ROWRELAY_SEPARATE_STACK": "1",
            "ROWRELAY_SETTLE_SECONDS": "0.2",
        }
        self.settings = Settings(data=self.data)
        self.runs: dict[str, str] = {}
        self._log = (folder / "log").open("ab")

    def program(self, *words: str) -> subprocess.Popen[bytes]:
        """A program in a process group of its own."""
        command = [sys.executable, "-m", *words]
        return subprocess.Popen(
            command, env=self.environment, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def rowrelay(self, *words: str) -> str:
        """What a command says."""
        command = [sys.executable, "-m", "deployments.commands", *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300, check=False)
        if not done.stdout:
            raise SystemExit(f"{' '.join(words)}: {done.stderr}")
        return done.stdout

    def file(self, path: Path, first: int, *, bad: int = 0) -> Path:
        """So many good rows, whose userId counts from `first`, and some bad ones behind them."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["userId", "title", "price", "born"])
        table.writerows([i, f"title {i}", f"{i}.50", "2024-02-29"] for i in range(first, first + ROWS))
        table.writerows([f"x{i}", "", "", ""] for i in range(bad))
        path.write_text(text.getvalue())
        return path

    def control(self, **knobs: Any) -> None:
        """Change how the API behaves."""
        body = json.dumps({"reset": True, **knobs}).encode()
        request = Request(self.url + "/control", body, {"Content-Type": "application/json"}, method="PUT")
        urlopen(request, timeout=5).read()

    def runs_known(self) -> list[dict[str, Any]]:
        """The runs, newest first."""
        return list(json.loads(self.rowrelay("runs", "--json"))["runs"])

    def wait_half_way(self, kind: str) -> None:
        """Wait until some rows of this kind's file are done."""
        self.runs[kind] = until(lambda: self.half_way(kind), "some rows")

    def half_way(self, kind: str) -> str:
        """The run of this kind's file, once it is well under way."""
        found = [run for run in self.runs_known() if f"{kind}.csv" in run["file"] and run["counts"]["done"] >= AFTER]
        return str(found[0]["run"]) if found else ""

    def judge(self) -> dict[str, Any]:
        """What the program itself says of each run's rows."""
        found: dict[str, Any] = {}
        for kind, run in self.runs.items():
            shown = json.loads(self.rowrelay("show", run, "--json"))
            states: dict[str, str] = {}
            if kind != "checked":
                lines = self.rowrelay("export", run, "--format", "jsonl").splitlines()
                states = {str(row["row"]): row["result"] for row in map(json.loads, lines)}
            found[kind] = {"run": run, "counts": shown["counts"], "rows": states, "first": FIRST[kind]}
        return found


FIRST = {"killed": 1001, "mixed": 2001, "checked": 3001, "prefect": 4001, "inbox": 5001}


def main() -> int:
    """Make both folders, or those that are named."""
    version, *names = sys.argv[1:]
    makers = {"command": command, "stack": whole_stack}
    for name in names or makers:
        with tempfile.TemporaryDirectory(prefix="rowrelay-old-") as folder, api():
            made = Maker(Path(folder))
            try:
                makers[name](made)
                judged = made.judge()
                until(lambda made=made: ended(made.data), "the servers' end")  # type: ignore[misc]
            except BaseException:
                print((Path(folder) / "log").read_text(errors="replace")[-3000:], file=sys.stderr)
                raise
            target = HERE / version
            target.mkdir(exist_ok=True)
            pack(made, target / f"{name}.tar.xz", judged)
    return 0


def command(made: Maker) -> None:
    """Runs of the command line."""
    made.control(faults={"unprocessable": 0.15, "drop": 0.1})
    made.rowrelay(
        "send", str(made.file(made.folder / "mixed.csv", FIRST["mixed"], bad=3)), "--pipeline", "old", "--json", "--yes"
    )
    made.runs["mixed"] = made.runs_known()[0]["run"]
    made.control(**SLOW)
    file = made.file(made.folder / "killed.csv", FIRST["killed"])
    sending = made.program("deployments.commands", "send", str(file), "--pipeline", "old", "--yes")
    try:
        made.wait_half_way("killed")
    finally:
        _kill(sending)


def whole_stack(made: Maker) -> None:
    """Runs of Prefect's."""
    made.control(**SLOW)
    up = made.program("deployments.commands", "up")
    try:
        for flow in ("deliver", "inbox"):
            until(lambda flow=flow: deployment(made, flow), "the deployments")  # type: ignore[misc]
        for kind in ("checked", "prefect"):
            made.file(made.settings.uploads / f"{kind}.csv", FIRST[kind], bad=2)
        made.file(made.settings.inbox / "old" / "inbox.csv", FIRST["inbox"])
        trigger(made, "deliver", pipeline="old", file="checked.csv", dry_run=True)
        until(lambda: checked(made), "the check")
        trigger(made, "deliver", pipeline="old", file="prefect.csv")
        trigger(made, "inbox", pipeline="old")
        made.wait_half_way("prefect")
        made.wait_half_way("inbox")
    finally:
        _kill(up)


def checked(made: Maker) -> bool:
    """Whether the run that is only to be checked has been."""
    found = [run for run in made.runs_known() if "checked.csv" in run["file"] and run["counts"]["waiting"]]
    if found:
        made.runs["checked"] = found[0]["run"]
    return bool(found)


def deployment(made: Maker, flow: str) -> str:
    """A deployment's id, once there is one."""
    try:
        answer = httpx.get(f"{addresses.prefect_api_url(made.settings)}/deployments/name/{flow}/old", timeout=10)
    except Exception:  # the servers are still starting
        return ""
    return str(answer.json()["id"]) if answer.status_code == 200 else ""


def trigger(made: Maker, flow: str, **parameters: Any) -> None:
    """Start a run of a deployment, as Prefect's own page does."""
    url = addresses.prefect_api_url(made.settings)
    token = httpx.get(f"{url}/csrf-token", params={"client": "make"}, timeout=10).json()["token"]
    headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "make"}
    path = f"/deployments/{deployment(made, flow)}/create_flow_run"

    def asked() -> bool:
        answer = httpx.post(url + path, json={"parameters": parameters}, headers=headers, timeout=60)
        return answer.status_code == 201  # SQLite has one writer, so Prefect's own client asks again, too

    until(asked, "Prefect to take a flow run")


@contextmanager
def api() -> Iterator[None]:
    """The API that all rows go to."""
    with serving(StandIn(Knobs(requests=None)), host=HOST, port=PORT):
        yield


def ended(data: Path) -> bool:
    """Whether nothing works in the data folder any more."""
    return not held(data / "stack" / "supervisor.lock")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and all below it. The servers are nobody's children: they end by themselves."""
    from deployments.runners.drain import descendants

    below = descendants(process.pid)
    process.kill()
    for pid in below:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait(10)


def pack(made: Maker, archive: Path, judged: dict[str, Any]) -> None:
    """The folder without what is of no use to anybody: logs, locks, and the servers' addresses and passwords."""

    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        useless = entry.name.endswith((".log", ".lock", "/server.conf", "data/logs", "data/stack"))
        useless = useless or not (entry.isreg() or entry.isdir())
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return None if useless else entry

    (made.folder / "judged.json").write_text(json.dumps(judged, indent=1))
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for name in ("data", "pipelines", "judged.json"):
            packed.add(made.folder / name, name, filter=kept)
    print(f"{archive}: {archive.stat().st_size:,} bytes")


def until(ask: Callable[[], Any], what: str, *, seconds: float = 600) -> Any:
    """What it gives, once it gives anything."""
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.05)
    return found


if __name__ == "__main__":
    sys.exit(main())
