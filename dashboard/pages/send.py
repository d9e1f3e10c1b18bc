"""Send: choose a pipeline, drop a file, see what is wrong with it, and only then let it go."""

from __future__ import annotations

from dashboard.parts.cached import query
from dashboard.parts.send import check, choose

if query("run"):
    check.show(query("run"))
else:
    choose.show()
