"""The pipeline: a file's rows are checked, delivered under a shared limit, and recorded in a ledger."""

import atexit
import gc

# At exit Python looks through all that was imported for garbage: 0.9 s of every process that delivers.
atexit.register(gc.freeze)
