"""Waiting for what is to come, in place of sleeping."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # for httpx, which otherwise reads all roots anew for every request
ASK_SECONDS = (0.02, 0.2)  # at first and in the end: what is asked, a whole site at times, has the same processors
PATIENCE = 3.0  # a machine may be that much slower than the one that the seconds were chosen on, or that busy


def wait_until(predicate: Callable[[], T], *, seconds: float = 10.0, what: str = "the condition") -> T:
    """Wait until `predicate` is true and return what it gave; fail naming `what` after `seconds`, on a slow machine."""
    seconds *= PATIENCE
    began = time.monotonic()
    while True:
        if value := predicate():
            return value
        waited = time.monotonic() - began
        if waited > seconds:
            pytest.fail(f"waited {seconds:g} s in vain for {what}")
        time.sleep(min(max(waited / 20, ASK_SECONDS[0]), ASK_SECONDS[1]))


async def until(condition: Callable[[], Any], what: str, seconds: float = 10.0) -> None:
    """The same in an event loop."""
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain until {what}"
        await asyncio.sleep(0.01)


def answers(url: str) -> bool:
    """Whether a stand-in is there."""
    try:
        with urllib.request.urlopen(url + "/report", timeout=1) as answer:
            return bool(json.loads(answer.read()))
    except OSError:
        return False
