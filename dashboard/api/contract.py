"""The OpenAPI document of the HTTP API: what FastAPI knows of the routes, and which problems each may answer with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from dashboard.api import problems
from dashboard.api.problems import (
    InternalError,
    NotValid,
    OtherSite,
    Problem,
    SecretsUnreadable,
    SignInNeeded,
    UnreadableBody,
    WrongHost,
)
from flows.errors import LedgerError, RowrelayError, SettingError, StackError

_ANY = (SignInNeeded, WrongHost, SecretsUnreadable, StackError, LedgerError, SettingError, InternalError)
_SAFE = frozenset(("get", "head"))
_TAGS = {
    "files": "Uploads, and what lies in the inbox",
    "runs": "Start a run, watch it, act on it",
    "rows": "The rows of a run, and what became of them",
    "pipelines": "What can be sent, and where to",
    "limits": "How fast it may go",
    "schedules": "When deliveries start by themselves",
    "status": "Whether everything is there",
}
_SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of `[api.tokens]` in the dashboard's secrets. Needed where people sign in",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "_streamlit_user",
        "description": "What a browser has once its user has signed in on the dashboard's pages",
    },
}
_HEADERS = {
    "Location": "Where to look at it",
    "Retry-After": "Seconds until it is worth another request",
    "WWW-Authenticate": "How to say who you are",
}
_SENT_WITH = {201: ("Location", "Retry-After"), 202: ("Location", "Retry-After")}
_WITH_PROBLEM = {401: ("WWW-Authenticate",), 503: ("Retry-After",)}


def document(app: FastAPI, routes: Iterable[APIRoute]) -> dict[str, Any]:
    """The document. Made once: the routes do not change."""
    if app.openapi_schema is None:
        app.openapi_schema = _made(app, list(routes))
    return app.openapi_schema


def kinds(routes: Iterable[APIRoute]) -> list[type[RowrelayError]]:
    """Every kind of problem that the routes may answer with, by name."""
    found = {kind for route in routes for method in _methods(route) for kind in _of(route, method)}
    return sorted(found, key=problems.name_of)


def _made(app: FastAPI, routes: list[APIRoute]) -> dict[str, Any]:
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        license_info={"name": "MIT", "identifier": "MIT"},
        servers=[{"url": "/api"}],
        tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        routes=app.routes,
    )
    for route in routes:
        for method in _methods(route):
            _complete(made["paths"][route.path_format][method], _of(route, method))
    parts = made["components"]
    parts["securitySchemes"] = _SECURITY
    schemas = parts["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own form, which is never sent
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    made["security"] = [{"token": []}, {"session": []}, {}]
    return made


def _methods(route: APIRoute) -> list[str]:
    return sorted(map(str.lower, route.methods or ()))


def _of(route: APIRoute, method: str) -> list[type[RowrelayError]]:
    """What a route may answer with: what it says itself, and what any route may."""
    found = [*problems.raised_by(route.endpoint), *_ANY]
    if method not in _SAFE:
        found.append(OtherSite)
    if route.body_field:
        found.append(UnreadableBody)
    if route.body_field or route.dependant.query_params or route.dependant.path_params or method in _SAFE:
        found.append(NotValid)
    return list(dict.fromkeys(found))


def _complete(operation: dict[str, Any], raised: Iterable[type[RowrelayError]]) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    for status, names in _SENT_WITH.items():
        if str(status) in answers:
            answers[str(status)]["headers"] = _headers(names)
    by_status: dict[int, list[type[RowrelayError]]] = {}
    for kind in raised:
        by_status.setdefault(problems.status_of(kind), []).append(kind)
    for status, some in sorted(by_status.items()):
        answers[str(status)] = _answer(some, _WITH_PROBLEM.get(status, ()))


def _answer(some: list[type[RowrelayError]], names: Iterable[str]) -> dict[str, Any]:
    examples = {problems.name_of(kind): {"value": problems.example_of(kind)} for kind in some}
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}
    made: dict[str, Any] = {
        "description": " ".join(dict.fromkeys(map(problems.title_of, some))),
        "content": {problems.MEDIA_TYPE: content},
    }
    return made | {"headers": headers} if (headers := _headers(names)) else made


def _headers(names: Iterable[str]) -> Mapping[str, Any]:
    return {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}


def summary_of(route: APIRoute) -> str:
    """What a list of operations shows: the first sentence of what the route says of itself."""
    return re.split(r"\.\s", route.description.partition("\n")[0] + " ")[0]
