"""The dashboard's process: the pages, and the HTTP API under /api. Started by `streamlit run dashboard/app.py`."""

from __future__ import annotations

import gc
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Mount

from dashboard.api.app import make_api
from dashboard.api.headers import Headers
from dashboard.connections import settings
from dashboard.files.upload import remove_stale
from flows import logs
from flows.private import private_folder


@asynccontextmanager
async def _lifespan(app: Any) -> AsyncIterator[None]:
    logs.configure(settings().log_format)  # now that Streamlit and uvicorn have set up theirs
    private_folder(settings().inbox)
    settings().uploads.mkdir(parents=True, exist_ok=True)  # may lie where other machines have to read it
    remove_stale(settings())
    _leave_out_of_garbage()
    yield


def _leave_out_of_garbage() -> None:
    """Let the garbage collector pass over what is loaded by now.

    After each drawing Streamlit lets it look at all there is, for some 100 ms, in which nothing is answered. It still
    looks at all that comes after: pages, sessions and what they have read are given back as before.
    """
    gc.collect()
    gc.freeze()


_api = Mount("/api", app=make_api())
_api.path_regex = re.compile(_api.path_regex.pattern, re.DOTALL)  # a file's name may have a line break in it

app = st.App(
    Path(__file__).parent / "pages" / "navigation.py",
    routes=[_api],
    middleware=[Middleware(Headers)],
    lifespan=_lifespan,
)
