"""The HTTP API, mounted under /api: everything that a person can do on the pages, for programs."""

from __future__ import annotations

from fastapi import Depends, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from dashboard.api import contract, files, problem_kinds, problems, rows, runs, setup
from dashboard.api.guard import Guard
from dashboard.api.request import only_known_parameters

_ABOUT = """
Upload a file, start a run, watch it, download the results.

- Every error is `application/problem+json`: programs go by `type`, people read `detail` (what happened) and `hint`
  (what to do).
- Every list is `{"items": […], "next": …}`: send `next` as `cursor` for more, until it is null.
- Files and results are streamed, whatever their size.
"""
_MODULES = (files, runs, rows, setup, problem_kinds)


def make_api() -> ASGIApp:
    """The API with its guard around it, to be mounted."""
    return Guard(make_app())


def make_app() -> FastAPI:
    """The API without its guard: the source of the OpenAPI document."""
    app = FastAPI(
        title="Rowrelay",
        description=_ABOUT,
        version=_version(),
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # what a client generated from the document calls it
        dependencies=[Depends(only_known_parameters)],
    )
    app.add_api_route("/docs", _docs, include_in_schema=False)
    app.mount("/assets", StaticFiles(packages=[("fastapi_offline", "static")]))
    problems.install(app)
    routes = [route for module in _MODULES for route in module.router.routes if isinstance(route, APIRoute)]
    for route in routes:
        route.summary = contract.summary_of(route)
    for module in _MODULES:
        app.include_router(module.router)
    app.state.problems = contract.kinds(routes)
    app.openapi = lambda: contract.document(app, routes)  # type: ignore[method-assign]
    return app


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
