"""Which Prefect server this process asks, whether Prefect was loaded before or not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

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
        said = {name: value for name, value in os.environ.items() if name.startswith("PREFECT_")}
        context.GLOBAL_SETTINGS_CONTEXT = _settings(tuple(sorted(said.items())))


@lru_cache(maxsize=4)
def _settings(said: tuple[tuple[str, str], ...]) -> Any:
    """What Prefect makes of these variables; it takes 0.06 s, and there are hundreds of pages to draw."""
    from prefect.context import root_settings_context

    return root_settings_context()
