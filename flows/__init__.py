"""The pipeline: a file's rows are checked, delivered under a shared limit, and recorded in a ledger."""

import atexit
import gc
import sys


@atexit.register
def _leave_the_garbage() -> None:
    """At exit Python looks through all that was imported for garbage: 0.9 s of every process that delivers."""
    if "duckdb" not in sys.modules:  # whose binding complains about all that is not taken away
        gc.freeze()
