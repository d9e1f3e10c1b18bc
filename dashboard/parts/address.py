"""What the address of a page says, so that a link leads to what its reader saw."""

from __future__ import annotations

from typing import Any

import streamlit as st


def query(name: str, default: str = "") -> str:
    """A value from the address."""
    return str(st.query_params.get(name, default))


def query_number(name: str) -> int | None:
    """A number from the address, None where there is none that can be meant."""
    asked = query(name)
    return int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 16 else None


def ask(**values: Any) -> None:
    """Put values into the address; empty ones are taken out."""
    for name, value in values.items():
        if value:
            st.query_params[name] = str(value)
        elif name in st.query_params:
            del st.query_params[name]
