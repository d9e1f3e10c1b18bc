"""The HTTP API, mounted under /api: everything that a person can do on the pages, for programs."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from dashboard.api import files, problems, runs, setup
from dashboard.api.guard import Guard

_ABOUT = """
Upload a file, start a run, watch it, take the results home. Every error is `application/problem+json` with a `title`
(what happened) and a `hint` (what to do). Files and results are streamed, whatever their size.
"""


def make_api() -> ASGIApp:
    """The API with its guard around it, to be mounted."""
    app = FastAPI(title="Rowrelay", description=_ABOUT, version=_version(), docs_url=None, redoc_url=None)
    app.add_api_route("/docs", _docs, include_in_schema=False)
    app.mount("/assets", StaticFiles(packages=[("fastapi_offline", "static")]))
    problems.install(app)
    for router in (files.router, runs.router, setup.router):
        for route in router.routes:
            if isinstance(route, APIRoute):
                route.summary = route.description.partition(".")[0]  # what Swagger's list shows
        app.include_router(router)
    return Guard(app)


def _docs() -> HTMLResponse:
    """Swagger's page, everything of it from here: a dashboard has to work where there is no internet."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Rowrelay HTTP API",
        swagger_js_url="assets/swagger-ui-bundle.js",
        swagger_css_url="assets/swagger-ui.css",
        swagger_favicon_url="assets/favicon.png",
    )


def _version() -> str:
    from importlib.metadata import version

    return version("rowrelay")
