"""The embedded stack: one Redis and one Prefect server per user, started by whoever comes first.

`with use(settings) as addresses:` gives a stack that answers for as long as the block lasts. It belongs to the data
folder, not to the working directory, and a second data folder of the same user is refused a Redis while another's runs
(unless ROWRELAY_SEPARATE_STACK is set), so that two folders never mean two limiters. A detached process looks after it
(`deployments.embedded.supervisor`) and ends it when the last user is out, also if that one was killed. Where
ROWRELAY_REDIS_URL or PREFECT_API_URL name a server, that one is used and nothing is started for it.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, InvalidURL
from pathlib import Path

import redis

from deployments.embedded.membership import TITLES, VARIABLES, Membership
from deployments.embedded.prefect_server import prefect_answers
from deployments.embedded.supervisor import LINGER_SECONDS, PREFECT, REDIS, StackState
from flows import logs
from flows.client.proxy import is_own, spare_own_servers
from flows.errors import SettingError, StackError
from flows.ledger.connection import FORM, connect, masked
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


@dataclass(frozen=True)
class ServiceStatus:
    """One line of "what runs where". `address` is safe to show; `detail` says what is wrong, if anything."""

    name: str
    address: str
    reachable: bool
    embedded: bool
    detail: str = ""


@contextmanager
def use(
    settings: Settings, *, prefect: bool = True, timeout_seconds: float = 180.0, linger_seconds: float = LINGER_SECONDS
) -> Iterator[StackAddresses]:
    """A stack that answers, started if need be, and kept for as long as the block lasts.

    With `prefect=False` Redis alone is asked for (and `prefect_api_url` may be empty): that takes a moment, where a
    Prefect server takes seconds. `linger_seconds` is how long a stack that this call starts outlives its last user.
    Raises StackError if a service cannot be reached or started.
    """
    folder = _folder(settings)
    needed = (REDIS, PREFECT) if prefect else (REDIS,)
    external = _external(settings, StackState.read(folder))
    for name, url in external.items():
        if name in needed:
            _check_external(name, url)
    embedded = frozenset(needed) - external.keys()
    if not embedded:
        yield StackAddresses(external[REDIS], external.get(PREFECT, ""), False)
        return
    member = Membership(settings.data.absolute(), folder, embedded, linger_seconds, settings.separate_stack)
    with member.join(timeout_seconds) as started:
        state = StackState.read(folder)
        prefect_url = state.prefect_api_url if PREFECT in embedded else ""
        yield StackAddresses(
            external.get(REDIS, state.redis_url), external.get(PREFECT, prefect_url), started, embedded
        )


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


def status(settings: Settings) -> list[ServiceStatus]:
    """Which services there are, where, and whether they answer. Starts nothing."""
    folder = _folder(settings)
    state = StackState.read(folder)
    external = _external(settings, state)
    own = {REDIS: state.redis_url, PREFECT: state.prefect_api_url}
    found = []
    for name, title in TITLES.items():
        url = external.get(name) or own[name]
        detail = _problem(name, url, embedded=name not in external) if url else "not started"
        if detail and name not in external:
            detail = state.service(name).detail or detail
        found.append(ServiceStatus(title, masked(url), not detail, name not in external, detail))
    return found


def redis_url(settings: Settings) -> str:
    """The Redis in use: the one that is set, else the embedded one. Starts nothing.

    Holds the password. Raises StackError if there is none.
    """
    if settings.redis_url:
        return settings.redis_address
    return _known(REDIS, StackState.read(_folder(settings)).redis_url)


def prefect_api_url(settings: Settings) -> str:
    """The Prefect API in use: the one that is set, else the embedded one. Starts nothing.

    Without a slash at the end. Raises StackError if there is none.
    """
    given = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    return given or _known(PREFECT, StackState.read(_folder(settings)).prefect_api_url)


def ready_prefect(settings: Settings) -> None:
    """Let Prefect's client, which reads its environment when it is imported, find the server. Raises StackError.

    By itself it would begin one of its own where none is set, and leave there what is meant for ours.
    """
    spare_own_servers(os.environ)
    os.environ.setdefault("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "false")
    os.environ["PREFECT_API_URL"] = prefect_api_url(settings)


def _known(name: str, url: str) -> str:
    if not url:
        raise StackError(
            f"{TITLES[name]} is not running.",
            hint=f"Start everything with `rowrelay up`, or set {VARIABLES[name]}.",
        )
    return url


def _folder(settings: Settings) -> Path:
    return settings.data.absolute() / "stack"


def _external(settings: Settings, state: StackState) -> dict[str, str]:
    """Addresses from outside. Those that this stack handed to its children count as its own."""
    redis_url = settings.redis_address if settings.redis_url else ""
    prefect_url = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    found = {}
    if redis_url and redis_url != state.redis_url:
        found[REDIS] = redis_url
    if prefect_url and prefect_url != state.prefect_api_url:
        found[PREFECT] = prefect_url
    return found


def _check_external(name: str, url: str) -> None:
    if problem := _problem(name, url, embedded=False):
        raise StackError(
            f"{TITLES[name]} at {masked(url)} cannot be used: {problem}",
            hint=f"Start it, or correct {VARIABLES[name]}, or unset it to use the embedded one.",
        )


def _problem(name: str, url: str, *, embedded: bool) -> str:
    """Why a service cannot be used, or nothing."""
    if name == REDIS:
        return _redis_problem(url)
    if embedded:
        return "" if prefect_answers(url) else "it does not answer"
    return _prefect_problem(url)


def _redis_problem(url: str) -> str:
    try:
        with connect(url) as client:
            client.ping()
    except (SettingError, ValueError):  # their texts could show a part of the password
        return f"it is no Redis address. {FORM}"
    except redis.RedisError as exc:
        return str(exc) or type(exc).__name__
    return ""


def _prefect_problem(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        return "the address should begin with http:// or https://"
    try:
        direct = [urllib.request.ProxyHandler({})] if is_own(url) else []
        with urllib.request.build_opener(*direct).open(f"{url}/health", timeout=5):
            return ""
    except urllib.error.HTTPError as exc:
        if exc.code in (401, 403):  # it is there; whether the credentials are right is for Prefect to say
            return ""
        return f"GET {masked(url)}/health answered {exc.code}; the address should end in /api"
    except (InvalidURL, ValueError):  # their texts could show a part of a password
        return "it is no address of a server"
    except (OSError, HTTPException) as exc:
        return str(getattr(exc, "reason", exc))
