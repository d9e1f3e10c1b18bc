"""Machines of their own for the tests: network namespaces on one bridge, whose links can be taken down.

Needs root, as CI has. Everything is removed whatever happens; a crash before that leaves names that begin with `rr`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass(frozen=True)
class Machine:
    """A namespace with one link to the bridge. `address` is its own, `here` that of this side."""

    name: str
    address: str
    here: str

    def down(self) -> None:
        """Take the link down: packets are lost both ways, nobody is told."""
        ip("link", "set", self.name, "down")

    def up(self) -> None:
        """Heal the link."""
        ip("link", "set", self.name, "up")

    def inside(self, *command: str) -> list[str]:
        """The command line that runs a command there, as that very process."""
        return ["ip", "netns", "exec", self.name, *command]


@contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """So many machines. They reach this one at `here`, and only through their links."""
    if os.geteuid() != 0:
        pytest.skip("only root may make network namespaces")
    number = os.getpid() % 100_000
    bridge, net = f"rrb{number}", f"10.213.{number % 250 + 1}"
    with ExitStack() as undo:
        ip("link", "add", bridge, "type", "bridge")
        undo.callback(_quietly, "link", "del", bridge)
        ip("addr", "add", f"{net}.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        yield [_machine(undo, f"rr{number}n{at}", f"{net}.{at + 2}", f"{net}.1", bridge) for at in range(count)]


def _machine(undo: ExitStack, name: str, address: str, here: str, bridge: str) -> Machine:
    ip("netns", "add", name)
    undo.callback(_quietly, "netns", "del", name)
    ip("link", "add", name, "type", "veth", "peer", "name", "far0", "netns", name)
    undo.callback(_quietly, "link", "del", name)
    ip("link", "set", name, "master", bridge, "up")
    ip("-n", name, "addr", "add", f"{address}/24", "dev", "far0")
    ip("-n", name, "link", "set", "far0", "up")
    ip("-n", name, "link", "set", "lo", "up")
    return Machine(name, address, here)


def _quietly(*words: str) -> None:
    subprocess.run(["ip", *words], check=False, capture_output=True)
