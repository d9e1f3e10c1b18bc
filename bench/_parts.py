"""What several measurements need: a file of posts, a pipeline, the receiver, and a process that is watched."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

ROWRELAY = str(Path(sys.executable).with_name("rowrelay"))  # the one of this environment, whatever the PATH says
_LOOK_SECONDS = 0.02  # between two looks at a watched process


def posts(path: Path, rows: int, *, first: int = 1) -> Path:
    """A CSV file of so many good rows, some 75 bytes each; `userId` counts them."""
    with path.open("w") as out:
        out.write("userId,title,body\n")
        out.writelines(
            f"{i},a title of row {i},the body of row {i} says nothing new\n" for i in range(first, first + rows)
        )
    return path


def definition(
    folder: Path,
    url: str,
    *,
    limit: int,
    in_flight: int,
    name: str = "bench",
    timeout: float = 2.0,
    late: float | None = None,
) -> Path:
    """A pipeline for such a file, named `name` like its limit; `limit` 0: only `in_flight` bounds its pace."""
    path = folder / f"{name}.yaml"
    pace: dict[str, Any] = {"name": name, "in_flight": in_flight}
    if limit:
        pace |= {"requests": limit, "window_seconds": 1}
    if late is not None:
        pace["late_seconds"] = late
    made = {
        "name": name,
        "columns": {"userId": {"type": "int"}, "title": {"type": "str"}, "body": {"type": "str"}},
        "request": {"url": url, "timeout_seconds": timeout},
        "response": {"keep": {"postId": "id"}, "success": [201]},
        "limit": pace,
    }
    path.write_text(json.dumps(made))
    return path


class Receiver:
    """The stand-in API in a process of its own, as a sender and a judge see it."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid = url, pid

    def reset(self) -> None:
        """Forget all arrivals."""
        request = urllib.request.Request(self._at("control"), b'{"reset": true}', method="PUT")
        urllib.request.urlopen(request, timeout=60).close()

    def report(self) -> dict[str, Any]:
        """What it counted."""
        with urllib.request.urlopen(self._at("report"), timeout=60) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def arrivals(self) -> list[dict[str, Any]]:
        """Every arrival, in order; only of a receiver that keeps details."""
        with urllib.request.urlopen(self._at("arrivals"), timeout=60) as answer:
            return sorted((json.loads(line) for line in answer.read().splitlines()), key=lambda each: each["at"])

    def _at(self, page: str) -> str:
        return self.url.rpartition("/")[0] + "/" + page


@contextmanager
def receiver(*options: str) -> Iterator[Receiver]:
    """`rowrelay standin` with these options, in a process of its own."""
    command = [sys.executable, "-m", "deployments.commands", "standin", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Receiver(process.stdout.readline().split()[-1], process.pid)
    finally:
        process.terminate()
        process.wait(10)


@dataclass(frozen=True)
class Watched:
    """A process that has ended: what it printed, and its own and its children's cost."""

    code: int
    output: str
    cpu_seconds: float
    peak_megabytes: float  # of its resident memory, without its children's
    seconds: float


def watched(command: Sequence[str], *, environment: Mapping[str, str] | None = None, seconds: float = 600.0) -> Watched:
    """Run a command to its end. CPU time is what the kernel says at the end; the peak is looked up as it runs."""
    with tempfile.TemporaryFile() as output:
        begin = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.DEVNULL)
        peak = 0.0
        try:
            while True:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                peak = peak_megabytes(process.pid) or peak
                if time.monotonic() - begin > seconds:
                    raise TimeoutError(f"{command[0]} is not over after {seconds:g} s")
                time.sleep(_LOOK_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            raise
        took = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode()
    return Watched(process.returncode, said, usage.ru_utime + usage.ru_stime, peak, took)


def peak_megabytes(pid: int) -> float:
    """The most resident memory of a process so far; 0 if it is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1000 if found else 0.0


def listener(url: str) -> psutil.Process:
    """The process that listens at this address."""
    port = urlsplit(url).port
    for each in psutil.net_connections("tcp"):
        if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid:
            return psutil.Process(each.pid)
    raise RuntimeError(f"nobody listens on port {port}")
