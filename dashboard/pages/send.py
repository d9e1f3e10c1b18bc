"""Send: choose a pipeline, drop a file, see what is wrong with it, and only then let it go."""

from __future__ import annotations

from dashboard import send_check, send_choose
from dashboard.data import query

if query("run"):
    send_check.show(query("run"))
else:
    send_choose.show()
