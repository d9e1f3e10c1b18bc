"""What the dashboard keeps for its process, which in the tests is one process for many of them."""

from __future__ import annotations

import sys


def forget() -> None:
    """Let settings, pipelines and what pages have asked be asked for anew, as after a start of the dashboard."""
    if connections := sys.modules.get("dashboard.connections"):
        connections.settings.cache_clear()
        connections._pipelines.cache_clear()
    if streamlit := sys.modules.get("streamlit"):
        streamlit.cache_data.clear()
