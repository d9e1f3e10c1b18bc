"""Benchmarks have data folders of their own and send to stand-ins: each may have a Redis beside the user's."""

import os

os.environ.setdefault("ROWRELAY_SEPARATE_STACK", "1")
