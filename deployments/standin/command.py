"""A stand-in for the API that rows are sent to: answers like JSONPlaceholder, holds a limit, and can misbehave.

Example:
    rowrelay standin --port 8080 --requests 7 --window-seconds 1
    rowrelay standin --fault error=0.2 --fault reset=0.05 -- rowrelay send samples/posts.csv
    rowrelay standin --api graphql --port 8900 --wait-seconds 2

Every request outside /control, /report and /arrivals is an arrival: stamped when its first byte is read, before any
parsing. More than `requests` of them in any window are answered 429, and after `ban_after` such violations everything
gets 403 with an HTML page, until somebody resets it: `PUT /control {"reset": true}`.

With a COMMAND the stand-in lives as long as that runs, with POSTS_URL set to its address; then it prints what it
counted and exits with COMMAND's code, or 3 if the limit was broken.

With `--api` it is one kind of API in the shape in which real ones answer; COMMAND then finds its address, without a
path, in NAME_URL, such as GRAPHQL_URL. GET /truth says what became of each row, which is known by its e-mail.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from deployments.standin.api import Knobs, StandIn
from deployments.standin.apis import APIS, ApiKnobs
from deployments.standin.faults import FAULTS
from deployments.standin.server import serving


def summary(facts: dict[str, Any]) -> str:
    """One line for people."""
    window = "second" if facts["window_seconds"] == 1 else f"{facts['window_seconds']:g} s"
    allowed = ", no limit" if facts["allowed"] is None else f" of {facts['allowed']} allowed"
    return (
        f"stand-in: {facts['arrivals']} arrivals, worst {window} {facts['worst']}{allowed}, {facts['refused']} refused"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"stand-in: {text}\n")


def _run(command: list[str], **variables: str) -> int:
    """Run COMMAND with these variables set; its exit code. An interrupt reaches it from the terminal; we wait."""
    try:
        process = subprocess.Popen(command, env={**os.environ, **variables})
    except OSError as exc:
        _complain(f"cannot run {command[0]}: {exc.strerror}")
        return 127
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _frame: process.send_signal(number))
    code = process.wait()
    return code if code >= 0 else 128 - code


def parser() -> argparse.ArgumentParser:
    """What may be said before COMMAND."""
    parser = argparse.ArgumentParser(
        prog="rowrelay standin", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="rowrelay standin [options] [-- COMMAND ...]",
    )  # fmt: skip
    parser.add_argument("--api", choices=APIS, help="the kind of API, without a limit unless one is given")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: the OS picks one")
    parser.add_argument("--log", type=Path, help="file to append every arrival to, one line of JSON each")
    parser.add_argument("--unlimited", action="store_true", help="no limit, nothing refused")
    parser.add_argument("--no-details", action="store_true", help="keep the stamps only: less memory for millions")
    parser.add_argument("--keep-alive-seconds", type=int, default=75, help="idle connections are closed after that")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="KIND=SHARE", help="one of: " + ", ".join(FAULTS)
    )
    for name, field in ApiKnobs.model_fields.items():
        option = "--" + name.replace("_", "-")
        if name == "idempotent":
            parser.add_argument(option, action="store_true", default=None, help=field.description)
        elif name != "faults":
            default = Knobs.model_fields.get(name, field).default
            parser.add_argument(option, help=f"{field.description} (default: {default})")
    return parser


def _arguments(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    words = [*argv, "--"]
    own, command = words[: words.index("--")], list(argv[words.index("--") + 1 :])
    return parser().parse_args(own), command


def _knobs(options: argparse.Namespace) -> Knobs:
    given = {name: getattr(options, name, None) for name in ApiKnobs.model_fields}
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    values = {name: None if value in ("null", "none") else value for name, value in values.items()}
    if options.unlimited:
        values["requests"] = None
    if options.fault:
        values["faults"] = dict(text.split("=", 1) if "=" in text else (text, "1") for text in options.fault)
    return (ApiKnobs if options.api else Knobs).model_validate(values)


def _standin(options: argparse.Namespace) -> StandIn:
    kind: type[StandIn] = APIS[options.api] if options.api else StandIn
    return kind(_knobs(options), log=options.log, details=not options.no_details)


def _address(api: str | None, address: str) -> tuple[str, str]:
    """The variable in which COMMAND finds the stand-in, and what it says."""
    return (f"{api.upper()}_URL", address) if api else ("POSTS_URL", address + "/posts")


def main(argv: Sequence[str]) -> int:
    """The command line; the exit code."""
    options, command = _arguments(argv)
    try:
        api = _standin(options)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"]))
        _complain(f"{where}: {first['msg']} (found {first['input']!r})")
        return 2
    try:
        with serving(
            api, host=options.host, port=options.port, keep_alive_seconds=options.keep_alive_seconds
        ) as address:
            if command:
                variable, url = _address(options.api, address)
                return _judge(api, _run(command, **{variable: url}))
            _say(f"stand-in: {address}{APIS[options.api].path if options.api else '/posts'}")
            _wait_for_signal()
    except OSError as exc:
        _complain(f"cannot listen on {options.host}:{options.port}: {exc.strerror}")
        return 2
    _say(summary(api.facts()))
    return 0


def _judge(api: StandIn, code: int) -> int:
    facts = api.facts()
    _say(summary(facts))
    return 3 if facts["over"] else code


def _wait_for_signal() -> None:
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    over.wait()
