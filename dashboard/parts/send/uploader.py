"""The place to drop a file: sends it by PUT with progress and cancel, and tells the page when it is here."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import streamlit as st

from dashboard.connections import settings


@lru_cache(maxsize=1)
def _component() -> Any:
    here = files("dashboard.parts.send")
    return st.components.v2.component(
        "rowrelay_uploader",
        html='<div class="root"></div>',
        css=here.joinpath("uploader.css").read_text("utf-8"),
        js=here.joinpath("uploader.js").read_text("utf-8"),
    )


def uploader(*, key: str) -> dict[str, Any] | None:
    """Draw it; returns `file`, `name`, `bytes` and `sha256` once, right after a file has arrived whole."""
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    result = _component()(
        key=key,
        data={"base": f"/{base}" if base else "", "most": settings().max_upload_bytes},
        on_uploaded_change=lambda: None,
    )
    return result.uploaded or None
