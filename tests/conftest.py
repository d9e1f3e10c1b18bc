"""Real parts for the tests: a Redis-protocol server a session, an empty database a test."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deployments.embedded.redis_server import RedisServer
from tests.harness import examples
from tests.harness.remembered import forget
from tests.harness.scratch import use_memory
from tests.harness.stack import stack

__all__ = ["examples", "stack"]

use_memory()
os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"  # as in our own processes: none is started on the side


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # what a shell does to what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else Ctrl-C means nothing to the processes of the tests


@pytest.fixture(scope="session", autouse=True)
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What machines remember of ledgers, for the processes of the tests too."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("memory")
        patch.setenv("ROWRELAY_MEMORY", str(folder))
        yield folder


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The session's server. A test that kills or reconfigures one starts its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Streamlit's AppTest leaves a page in the place of the main module, and engines are started from that."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Whatever test this process had before."""
    forget()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Address of an empty database."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


# Each starts Prefect servers, browsers or whole machines, or measures shares: more at once would starve each other.
LANES = ("prefect", "browser", "site", "machines")
# What takes longest begins first, so that nothing long is left at the end.
LONGEST = (
    "test_old_data", "test_archive",
    "test_serve", "test_dashboard_browser", "test_drain", "test_dashboard_prefect", "test_deliver", "test_compose",
    "test_far_workers", "test_send", "test_stack", "test_dashboard_hostile",
)  # fmt: skip


def pytest_itemcollected(item: pytest.Item) -> None:
    """The tests of a file in some folders go to one process, one after the other, and share what it starts.

    `make test` runs the others, more of them at once: most of those wait. `make lanes` runs these.

    Not in `pytest_collection_modifyitems`: xdist has read the groups by then.
    """
    folder = item.path.parent.name
    if folder in LANES:
        item.add_marker(pytest.mark.xdist_group(item.path.stem))
    elif "stack" in getattr(item, "fixturenames", ()):
        raise pytest.UsageError(f"{item.nodeid} starts a Prefect server: it belongs in one of {', '.join(LANES)}")


def pytest_collection() -> None:
    """What is loaded to find the tests stays, so nobody needs to look for garbage in it, now or ever."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Streamlit looks for garbage after each run of a page: in all that was loaded, that takes 0.25 s."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first; otherwise as they stand."""
    order = {name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
