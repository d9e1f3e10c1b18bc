"""Where the dashboard finds settings, ledger and Prefect. Nothing here starts a service or knows Streamlit."""

from __future__ import annotations

import time
from functools import lru_cache

import redis

from deployments.embedded import addresses
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.ledger.view import View
from flows.pipeline.pipelines import Pipelines, present
from flows.settings import Settings

_PIPELINES_SECONDS = 10.0


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process. Raises SettingError."""
    return Settings.read()


def redis_url() -> str:
    """The Redis in use. Raises StackError if none is known."""
    return addresses.redis_url(settings())


def prefect_api_url() -> str:
    """The Prefect API in use, without a slash at the end. Raises StackError if none is known."""
    return addresses.prefect_api_url(settings())


def ready_prefect() -> None:
    """Let Prefect's client, which reads its environment when it is imported, find the server. Raises StackError."""
    addresses.ready_prefect(settings())


def client() -> redis.Redis:
    """A Redis client, shared by all threads. Raises StackError."""
    return _client(redis_url())


def view() -> View:
    """Reads of the ledger. Raises StackError."""
    return View(client())


def ledger() -> Ledger:
    """Writes to the ledger. Raises StackError."""
    return Ledger(client())


def pipelines() -> Pipelines:
    """The pipelines by name, read again every few seconds. Raises DefinitionError."""
    return _pipelines(int(time.monotonic() / _PIPELINES_SECONDS))


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return connect(url)


@lru_cache(maxsize=1)
def _pipelines(moment: int) -> Pipelines:
    del moment  # only makes the cache forget
    return present(settings())
