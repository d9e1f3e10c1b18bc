"""Send: choose a pipeline, drop a file. What is wrong with it is seen on Check, before anything goes out."""

from __future__ import annotations

from dashboard.parts.send import choose

choose.show()
