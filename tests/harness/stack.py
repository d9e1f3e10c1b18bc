"""A whole embedded stack, Prefect server included, once a session: import `stack` in conftest to use it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from deployments.embedded.stack import StackAddresses, environment, use
from flows.settings import Settings
from tests.harness.forked import load


@dataclass(frozen=True)
class RunningStack:
    """A stack in a data folder of its own; `environment` is for processes that are to use it."""

    settings: Settings
    addresses: StackAddresses
    environment: dict[str, str]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Runs until the last test is over; some seconds later it ends by itself."""
    load("tests.harness.flow_process")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        settings = Settings(data=tmp_path_factory.mktemp("stack"), redis_url=None)
        with use(settings) as addresses:
            yield RunningStack(settings, addresses, environment(addresses, settings))
