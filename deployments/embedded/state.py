"""What users of the embedded stack and its supervisor tell each other, through two files in its folder."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flows.private import write_whole

REDIS, PREFECT = "redis", "prefect"
TITLES = {REDIS: "Redis", PREFECT: "Prefect server"}
VARIABLES = {REDIS: "ROWRELAY_REDIS_URL", PREFECT: "PREFECT_API_URL"}


@dataclass
class ServiceState:
    """How one service does: `starting`, `ready`, `failed` (with what it said) or `stopped`."""

    port: int = 0
    state: str = "stopped"
    detail: str = ""


@dataclass
class StackState:
    """What stack.json holds. Ports and password outlive a stop, so that links and clients stay valid."""

    password: str = ""
    services: dict[str, ServiceState] = field(default_factory=dict)
    asked: str = ""  # mark of the last asking that was seen: a failure from before it says nothing

    @classmethod
    def read(cls, folder: Path) -> StackState:
        """The last state that was written; an empty one if there is none, or none that makes sense."""
        try:
            found: dict[str, Any] = json.loads((folder / "stack.json").read_text())
            services = {name: ServiceState(**values) for name, values in found["services"].items()}
            return cls(found["password"], services, found["asked"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def write(self, folder: Path) -> None:
        """Replace the file in one step, readable by its owner alone."""
        write_whole(folder / "stack.json", json.dumps(asdict(self), indent=1).encode(), mode=0o600)

    def service(self, name: str) -> ServiceState:
        """The state of a service, whether it was ever started or not."""
        return self.services.get(name, ServiceState())

    @property
    def redis_url(self) -> str:
        """Address of the embedded Redis, empty if it never ran."""
        port = self.service(REDIS).port
        return f"redis://:{self.password}@127.0.0.1:{port}/0" if port else ""

    @property
    def prefect_api_url(self) -> str:
        """Address of the embedded Prefect API, empty if it never ran."""
        port = self.service(PREFECT).port
        return f"http://127.0.0.1:{port}/api" if port else ""


@dataclass(frozen=True)
class Wanted:
    """What users have asked for since the stack was last stopped."""

    services: frozenset[str] = frozenset()
    mark: str = ""
    separate: bool = False  # another data folder's Redis may run beside this one's

    @classmethod
    def read(cls, folder: Path) -> Wanted:
        """What wanted.json says; nothing if it is not there."""
        try:
            found = json.loads((folder / "wanted.json").read_text())
            return cls(frozenset(found["services"]), found["mark"], found["separate"])
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    @classmethod
    def ask(cls, folder: Path, services: frozenset[str], *, separate: bool) -> Wanted:
        """Ask for services on top of what is wanted already. Only with start.lock held."""
        before = cls.read(folder)
        wanted = cls(services | before.services, secrets.token_hex(8), separate or before.separate)
        text = json.dumps({"services": sorted(wanted.services), "mark": wanted.mark, "separate": wanted.separate})
        write_whole(folder / "wanted.json", text.encode(), mode=0o600)
        return wanted
