"""How long the commands take until they have done something.

    python -m bench.startup                          all of it
    python -m bench.startup send --beside ../before  `rowrelay` of another checkout takes turns, with a stack of its own

`help`: `rowrelay --help`. `check`: `rowrelay check samples/posts.csv`. `send`: 7 rows on a running stack and a warm
limit of 7 a second, from the start of the command until the receiver has the first request and until the command is
over (answers after 50 ms). `first`: the same where nothing runs yet, in a new data folder, whose limit nobody has used.
`up`: `rowrelay up` in a new data folder until it says that everything runs. Median, fastest and slowest by the clock,
and the processor's time of the whole command; one more trial goes ahead, which warms the disk's cache.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from bench._parts import ROWRELAY, Receiver, definition, posts, receiver, watched
from deployments.embedded.redis_server import free_port

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "samples/posts.csv"
ROWS = 7
AIM_SECONDS = 0.3  # of --help
READY = "Ctrl-C stops everything."
WHAT = ("help", "check", "send", "first", "up")
LEAVE_SECONDS = 5.0  # a stack lingers for a moment; the next trial is measured beside nothing

# Where the stack's module lay in checkouts of another time, too.
HOLD = """
try:
    from deployments.embedded import stack
except ImportError:
    from deployments import stack
from flows.settings import Settings
with stack.use(Settings.read(), linger_seconds=0.5):
    print("ready", flush=True)
    input()
"""

Took = dict[str, float]  # seconds, by what they are of
Act = Callable[[int], Took]


def command(rowrelay: str, *given: str, environment: Mapping[str, str]) -> Took:
    """A command that has to succeed."""
    ended = watched([rowrelay, *given], environment={**os.environ, **environment}, seconds=120)
    if ended.code:
        raise RuntimeError(f"rowrelay {given[0]} ended with {ended.code}: {ended.output}")
    return {"until its end": ended.seconds, "processor": ended.cpu_seconds}


def send(rowrelay: str, file: Path, api: Receiver, environment: Mapping[str, str]) -> Took:
    """A delivery: also until the first arrival."""
    api.reset()
    began = time.monotonic()
    took = command(rowrelay, "send", str(file), "--pipeline", "startup", "--json", environment=environment)
    return {"until the first arrival": api.arrivals()[0]["at"] / 1e9 - began} | took


def first(rowrelay: str, file: Path, api: Receiver, environment: Mapping[str, str], folder: Path, number: int) -> Took:
    """A delivery where nothing runs yet."""
    took = send(rowrelay, file, api, {**environment, "ROWRELAY_DATA": str(folder / f"new{number}")})
    time.sleep(LEAVE_SECONDS)
    return took


def up(rowrelay: str, folder: Path, number: int) -> Took:
    """`rowrelay up` in a data folder of its own."""
    variables = {**os.environ, "ROWRELAY_DATA": str(folder / f"up{number}"), "ROWRELAY_SEPARATE_STACK": "1"}
    variables |= {"POSTS_URL": "http://127.0.0.1:9/posts"}
    began = time.monotonic()
    process = subprocess.Popen(
        [rowrelay, "up", "--port", str(free_port())],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        if not any(line.startswith(READY) for line in process.stdout):
            raise RuntimeError("rowrelay up ended before everything ran")
        took = time.monotonic() - began
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
    time.sleep(LEAVE_SECONDS)
    return {"until everything runs": took}


@contextmanager
def running(python: str, environment: Mapping[str, str]) -> Iterator[None]:
    """The stack of a data folder, for as long as the block lasts."""
    given = {**os.environ, **environment}
    with subprocess.Popen(
        [python, "-c", HOLD],
        cwd=Path(python).parents[2],
        env=given,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        if "ready" not in holder.stdout.readline():
            raise RuntimeError("the stack did not start")
        yield
        holder.stdin.write("\n")
        holder.stdin.close()


def show(what: str, acts: Mapping[str, Act], trials: int) -> dict[str, float]:
    """Let the checkouts take turns, and print a line for each; returns the medians of this one."""
    took: dict[str, list[Took]] = {name: [] for name in acts}
    for number in range(trials + 1):
        for name in sorted(acts, reverse=bool(number % 2)):
            found = acts[name](number)
            if number:
                took[name].append(found)
    for kind in took["this"][0]:
        for name, trial in took.items():
            seconds = [each[kind] for each in trial]
            beside = f"  {name:<6}" if len(acts) > 1 else ""
            print(
                f"{what + ', ' + kind:<56}{beside} median {statistics.median(seconds):5.2f} s  "
                f"fastest {min(seconds):5.2f}  slowest {max(seconds):5.2f} of {trials}",
                flush=True,
            )
    return {kind: statistics.median(each[kind] for each in took["this"]) for kind in took["this"][0]}


def _acts(what: str, rowrelay: str, folder: Path, api: Receiver, stack: ExitStack) -> Act:
    if what == "help":
        return lambda _: command(rowrelay, "--help", environment={})
    if what == "check":
        return lambda _: command(rowrelay, "check", str(SAMPLE), environment={})
    if what == "up":
        return partial(up, rowrelay, folder)
    pipeline = definition(folder, api.url, limit=ROWS, in_flight=ROWS, name="startup")
    environment = {"ROWRELAY_PIPELINES": str(pipeline), "ROWRELAY_SEPARATE_STACK": "1"}
    file = posts(folder / "rows.csv", ROWS)
    if what == "first":
        return partial(first, rowrelay, file, api, environment, folder)
    environment["ROWRELAY_DATA"] = str(folder / "data")
    stack.enter_context(running(str(Path(rowrelay).with_name("python")), environment))
    return lambda _: send(rowrelay, file, api, environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help=f"of {', '.join(WHAT)}; all if nothing is named")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--beside", type=Path, help="another checkout of Rowrelay, with an environment of its own")
    given = parser.parse_args()
    if unknown := set(given.what) - set(WHAT):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    commands = {"this": ROWRELAY}
    if given.beside:
        commands["beside"] = str(given.beside.resolve() / ".venv/bin/rowrelay")
    delays = ("--delay-min-seconds", "0.05", "--delay-max-seconds", "0.05")
    for what in given.what or WHAT:
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name,
            receiver("--requests", str(ROWS), *delays) as api,
            ExitStack() as stack,
        ):
            acts: dict[str, Act] = {}
            for each, rowrelay in commands.items():
                (folder := Path(name) / each).mkdir()
                acts[each] = _acts(what, rowrelay, folder, api, stack)
            found = show(f"rowrelay {what}", acts, given.trials)
        if what == "help":
            kept = found["until its end"] <= AIM_SECONDS
            print(f"aim: --help <= {AIM_SECONDS} s: {'kept' if kept else 'MISSED'}")


if __name__ == "__main__":
    main()
