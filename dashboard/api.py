"""The HTTP API, mounted under /api: everything that a person can do on the pages, for programs."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp

from dashboard import api_files, api_runs, api_setup, problems
from dashboard.guard import Guard

_ABOUT = """
Upload a file, start a run, watch it, take the results home. Every error is `application/problem+json` with a `title`
(what happened) and a `hint` (what to do). Files and results are streamed, whatever their size.
"""


def make_api() -> ASGIApp:
    """The API with its guard around it, to be mounted."""
    app = FastAPI(title="Rowrelay", description=_ABOUT, version=_version(), docs_url=None, redoc_url=None)
    app.add_api_route("/docs", _docs, include_in_schema=False)
    problems.install(app)
    for router in (api_files.router, api_runs.router, api_setup.router):
        app.include_router(router)
    return Guard(app)


def _docs() -> HTMLResponse:
    """Swagger's page. Its script comes from a public server; where there is none, a plain list of the routes."""
    page = get_swagger_ui_html(openapi_url="openapi.json", title="Rowrelay HTTP API")
    return HTMLResponse(bytes(page.body).decode().replace("</body>", f"<script>{_PLAIN}</script></body>"))


_PLAIN = """
if (typeof SwaggerUIBundle === "undefined") fetch("openapi.json").then((answer) => answer.json()).then((api) => {
  const add = (name, text) => document.body.appendChild(document.createElement(name)).textContent = text;
  document.body.style.cssText = "font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 60rem";
  add("h1", api.info.title + " HTTP API");
  add("p", "Swagger's page needs the internet; this is the same list in plain text. openapi.json has every detail.");
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, about] of Object.entries(methods)) {
      add("h3", method.toUpperCase() + " /api" + path);
      add("p", about.description || about.summary || "");
    }
});
"""


def _version() -> str:
    from importlib.metadata import version

    return version("rowrelay")
