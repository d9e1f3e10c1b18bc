"""What is done before a command loads all that sends."""

from __future__ import annotations

import gc


def look_for_garbage_rarely() -> None:
    """To be called before Prefect, pandas and this package load.

    Of some 570 looks in that time nearly all find little, and together they take an eighth of the processor's. What
    delivers looks through everything, and sets this anew, before it sends (`flows.delivery.engine`).
    """
    gc.set_threshold(200_000, 20, 100)
