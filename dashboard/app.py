"""The dashboard's process: the pages, and the HTTP API under /api. Started by `streamlit run dashboard/app.py`."""

from __future__ import annotations

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
    yield


_api = Mount("/api", app=make_api())
_api.path_regex = re.compile(_api.path_regex.pattern, re.DOTALL)  # a file's name may have a line break in it

app = st.App(
    Path(__file__).parent / "pages" / "navigation.py",
    routes=[_api],
    middleware=[Middleware(Headers)],
    lifespan=_lifespan,
)
