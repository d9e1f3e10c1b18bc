"""Where Redis and Prefect are: what is set in the environment, else the embedded stack's. Starts nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from deployments.embedded.reachable import prefect_answers, prefect_problem, redis_problem
from deployments.embedded.state import PREFECT, REDIS, TITLES, VARIABLES, StackState
from flows.client.proxy import spare_own_servers
from flows.errors import StackError
from flows.ledger.connection import masked
from flows.private import private_folder, write_whole
from flows.settings import Settings


@dataclass(frozen=True)
class ServiceStatus:
    """One line of "what runs where". `address` is safe to show; `detail` says what is wrong, if anything.

    `page` is what a browser can open of it.
    """

    name: str
    address: str
    reachable: bool
    embedded: bool
    detail: str = ""
    page: str = ""


def status(settings: Settings) -> list[ServiceStatus]:
    """Which services there are, where, and whether they answer."""
    folder = stack_folder(settings)
    state = StackState.read(folder)
    others = external(settings, state)
    own = {REDIS: state.redis_url, PREFECT: state.prefect_api_url}
    found = []
    for name, title in TITLES.items():
        url = others.get(name) or own[name]
        detail = _problem(name, url, embedded=name not in others) if url else "not started"
        if detail and name not in others:
            detail = state.service(name).detail or detail
        page = masked(prefect_page(settings)) if name == PREFECT and url else ""
        found.append(ServiceStatus(title, masked(url), not detail, name not in others, detail, page))
    return found


def redis_url(settings: Settings) -> str:
    """The Redis in use: the one that is set, else the embedded one.

    Holds the password. Raises StackError if there is none.
    """
    if settings.redis_url:
        return settings.redis_address
    return _known(REDIS, StackState.read(stack_folder(settings)).redis_url)


def prefect_api_url(settings: Settings) -> str:
    """The Prefect API in use: the one that is set, else the embedded one.

    Without a slash at the end. Raises StackError if there is none.
    """
    given = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    return given or _known(PREFECT, StackState.read(stack_folder(settings)).prefect_api_url)


def prefect_page(settings: Settings) -> str:
    """Address of Prefect's own pages, without a slash at the end; "" if there is no Prefect."""
    state = StackState.read(stack_folder(settings))
    if given := external(settings, state).get(PREFECT):
        return os.environ.get("PREFECT_UI_URL", "").rstrip("/") or given.removesuffix("/api")
    return state.prefect_api_url.removesuffix("/api")


def dashboard_url(settings: Settings) -> str:
    """Address of the dashboard, without a slash at the end: the one that is set, else that of `rowrelay up`, or ""."""
    try:
        return settings.dashboard_url.rstrip("/") or (stack_folder(settings) / "dashboard").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def note_dashboard(settings: Settings, url: str) -> None:
    """Let other commands know where `rowrelay up` has its dashboard."""
    private_folder(stack_folder(settings))
    write_whole(stack_folder(settings) / "dashboard", url.encode(), mode=0o600)


def prefect_is_used(settings: Settings) -> bool:
    """Whether a Prefect server is set, or the embedded one answers."""
    embedded = StackState.read(stack_folder(settings)).prefect_api_url
    return bool(os.environ.get("PREFECT_API_URL")) or (bool(embedded) and prefect_answers(embedded))


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


def stack_folder(settings: Settings) -> Path:
    """Where the embedded stack of a data folder keeps its locks and says how it does."""
    return settings.data.absolute() / "stack"


def external(settings: Settings, state: StackState) -> dict[str, str]:
    """Addresses from outside. Those that this stack handed to its children count as its own."""
    redis_url = settings.redis_address if settings.redis_url else ""
    prefect_url = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    found = {}
    if redis_url and redis_url != state.redis_url:
        found[REDIS] = redis_url
    if prefect_url and prefect_url != state.prefect_api_url:
        found[PREFECT] = prefect_url
    return found


def check_external(name: str, url: str) -> None:
    """Raise StackError if a server from outside cannot be used."""
    if problem := _problem(name, url, embedded=False):
        raise StackError(
            f"{TITLES[name]} at {masked(url)} cannot be used: {problem}",
            hint=f"Start it, or correct {VARIABLES[name]}, or unset it to use the embedded one.",
        )


def _problem(name: str, url: str, *, embedded: bool) -> str:
    """Why a service cannot be used, or nothing."""
    if name == REDIS:
        return redis_problem(url)
    if embedded:
        return "" if prefect_answers(url) else "it does not answer"
    return prefect_problem(url)
