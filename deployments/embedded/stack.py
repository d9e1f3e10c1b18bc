"""The embedded stack: one Redis and one Prefect server per user, started by whoever comes first.

`with use(settings) as addresses:` gives a stack that answers for as long as the block lasts. It belongs to the data
folder, not to the working directory, and a second data folder of the same user is refused a Redis while another's runs
(unless ROWRELAY_SEPARATE_STACK is set), so that two folders never mean two limiters. A detached process looks after it
(`deployments.embedded.supervisor`) and ends it when the last user is out, also if that one was killed. Where
ROWRELAY_REDIS_URL or PREFECT_API_URL name a server, that one is used and nothing is started for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.embedded.addresses import check_external, dashboard_url, external, stack_folder
from deployments.embedded.membership import Membership
from deployments.embedded.state import PREFECT, REDIS, StackState
from deployments.embedded.supervisor import LINGER_SECONDS
from flows import logs
from flows.client.proxy import spare_own_servers
from flows.settings import Settings

# What a user may have set for a Prefect server of their own; the embedded one wants none of it.
_OWN_SERVER = ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")


@dataclass(frozen=True)
class StackAddresses:
    """Where the services are. `redis_url` may hold a password: never to be logged."""

    redis_url: str
    prefect_api_url: str
    started: bool  # whether this call started something, rather than found it
    embedded: frozenset[str] = frozenset()  # which of "redis" and "prefect" are the embedded ones


@contextmanager
def use(
    settings: Settings, *, prefect: bool = True, timeout_seconds: float = 180.0, linger_seconds: float = LINGER_SECONDS
) -> Iterator[StackAddresses]:
    """A stack that answers, started if need be, and kept for as long as the block lasts.

    With `prefect=False` Redis alone is asked for (and `prefect_api_url` may be empty): that takes a moment, where a
    Prefect server takes seconds. `linger_seconds` is how long a stack that this call starts outlives its last user.
    Raises StackError if a service cannot be reached or started.
    """
    folder = stack_folder(settings)
    needed = (REDIS, PREFECT) if prefect else (REDIS,)
    others = external(settings, StackState.read(folder))
    for name, url in others.items():
        if name in needed:
            check_external(name, url)
    embedded = frozenset(needed) - others.keys()
    if not embedded:
        yield StackAddresses(others[REDIS], others.get(PREFECT, ""), False)
        return
    member = Membership(settings.data.absolute(), folder, embedded, linger_seconds, settings.separate_stack)
    with member.join(timeout_seconds) as started:
        state = StackState.read(folder)
        prefect_url = state.prefect_api_url if PREFECT in embedded else ""
        yield StackAddresses(others.get(REDIS, state.redis_url), others.get(PREFECT, prefect_url), started, embedded)


def environment(addresses: StackAddresses, settings: Settings) -> dict[str, str]:
    """Variables for a process that is to use this stack: Prefect reads them when it is imported.

    Holds the Redis password. A child that gets them and calls `use` shares the stack and keeps it alive.
    """
    variables = {
        "ROWRELAY_DATA": str(settings.data.absolute()),
        **_places(settings),
        "ROWRELAY_REDIS_URL": addresses.redis_url,
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",  # it loses states at exit
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",  # the rest is in the Prefect UI
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # the default, pickle, runs whatever lies in the storage
        **logs.for_prefect(os.environ),
    }
    if addresses.prefect_api_url:
        variables["PREFECT_API_URL"] = addresses.prefect_api_url
    if PREFECT in addresses.embedded:
        variables["PREFECT_HOME"] = str(settings.data.absolute() / "prefect")
        variables["PREFECT_UI_URL"] = addresses.prefect_api_url.removesuffix("/api")
    if dashboard := dashboard_url(settings):
        variables["ROWRELAY_DASHBOARD_URL"] = dashboard
    return variables


def _places(settings: Settings) -> dict[str, str]:
    """Paths that may have been given relative to this process's folder, for one that works in another."""
    storage = settings.storage
    given = {
        "ROWRELAY_PIPELINES": ":".join(str(path.absolute()) for path in settings.pipelines),
        "ROWRELAY_FOLDERS": ":".join(str(path.absolute()) for path in settings.folders),
        "ROWRELAY_SECRETS": str(settings.secrets.absolute()) if settings.secrets else "",
        "ROWRELAY_STORAGE": str(Path(storage).absolute()) if storage and "://" not in storage else "",
    }
    return {name: value for name, value in given.items() if value}


def apply(addresses: StackAddresses, settings: Settings) -> None:
    """Set `environment` in this process. Must come before the first import of prefect."""
    wanted = child_environment(addresses, settings)
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    os.environ.update(wanted)


def child_environment(addresses: StackAddresses, settings: Settings) -> dict[str, str]:
    """The whole environment of a process that is to use this stack: ours, with `environment`."""
    wanted = {**os.environ, **environment(addresses, settings)}
    if PREFECT in addresses.embedded:
        for name in _OWN_SERVER:
            wanted.pop(name, None)
    spare_own_servers(wanted)
    return wanted
