"""Which Prefect server this process asks, whether Prefect was loaded before or not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NOWHERE = "http://127.0.0.1:9/api"  # nobody listens there


@contextmanager
def prefect_at(url: str = NOWHERE) -> Iterator[None]:
    """The address stands in the environment; Prefect reads that but once, so it is told to read it anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", url)
        _read_anew()
        yield
    _read_anew()


def _read_anew() -> None:
    if (context := sys.modules.get("prefect.context")) is not None:
        context.refresh_global_settings_context()
