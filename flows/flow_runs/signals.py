"""What a flow run does when its process is asked to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flows.delivery.delivery import Delivery
from flows.flow_runs.launch import HAND_OVER


@contextmanager
def drained_by_signals(delivery: Delivery) -> Iterator[None]:
    """Of a cancellation or of a worker that ends: rows under way get their answers, no others are sent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = [signal.SIGTERM, HAND_OVER]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # Ctrl-C for a worker is one for its runs as well
        heard.append(signal.SIGINT)
    before = {number: signal.signal(number, lambda number, frame: delivery.drain()) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.signal(HAND_OVER, signal.SIG_IGN)  # it is over: too late to ask, and no reason to die
