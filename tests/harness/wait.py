"""Waiting for what is to come, in place of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")
PATIENCE = 3.0  # a machine may be that much slower than the one that the seconds were chosen on, or that busy


def wait_until(predicate: Callable[[], T], *, seconds: float = 10.0, what: str = "the condition") -> T:
    """Wait until `predicate` is true and return what it gave; fail naming `what` after `seconds`, on a slow machine."""
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while True:
        if value := predicate():
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)
