"""Lets a link that ends in `#rows` show the rows, wherever they stand on the page."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import streamlit as st


@lru_cache(maxsize=1)
def _component() -> Any:
    js = files("dashboard.parts.run").joinpath("to_rows.js").read_text("utf-8")
    return st.components.v2.component("rowrelay_to_rows", html="<i></i>", js=js)


def follow() -> None:
    """To be called beside the rows, once they stand there."""
    _component()(key="to_rows", height=1)
