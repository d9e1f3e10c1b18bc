"""Real parts for the tests: a Redis-protocol server a session, an empty database a test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
import redis

from deployments.server import RedisServer
from tests.stack_fixture import stack

__all__ = ["stack"]

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], *, seconds: float = 10.0, what: str = "the condition") -> T:
    """Wait until `predicate` is true and return what it gave; fail naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if value := predicate():
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The session's server. A test that kills or reconfigures one starts its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Address of an empty database."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a Prefect server go to one of two workers, since a server costs seconds to start."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            half = sum(item.path.name.encode()) % 2
            item.add_marker(pytest.mark.xdist_group(f"stack {half}"))
