"""Tests have data folders of their own, several at once, and send to stand-ins: each may have a Redis."""

import os

os.environ.setdefault("ROWRELAY_SEPARATE_STACK", "1")
