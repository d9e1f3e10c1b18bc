"""Whether the HTTP API answers as its OpenAPI document says: every answer of the tests is held against it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from dashboard.api.app import make_app


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    return make_app().openapi()


def operation(method: str, path: str) -> tuple[str, dict[str, Any]] | None:
    """The operation that a request is for, with its path; None for what is no operation."""
    for template, operations in sorted(document()["paths"].items(), key=lambda each: each[0].count("{")):
        last = r"/files/.+" if template == "/files/{file}" and method == "GET" else ""  # an upload's has a slash
        pattern = last or re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path, re.DOTALL) and method.lower() in operations:
            return template, operations[method.lower()]
    return None


def hold(response: httpx.Response) -> None:
    """Fail where an answer is not one that its operation promises."""
    method = response.request.method
    path = response.request.url.path.removeprefix("/api")
    found = operation(method, path)
    kind = response.headers.get("content-type", "").partition(";")[0]
    if found is None or (response.status_code == 400 and kind in ("", "text/plain")):  # Streamlit refuses it by itself
        return
    what = f"{method} {path} ({found[1]['operationId']}): {response.status_code}"
    promised = found[1]["responses"].get(str(response.status_code))
    assert promised, f"{what} is not in the document: {sorted(found[1]['responses'])}"
    for name in promised.get("headers", {}):
        assert name in response.headers, f"{what} has no {name}"
    content = promised.get("content")
    if not content:
        assert response.status_code == 204, what
        return
    assert kind in content, f"{what} is {kind}, and the document says {sorted(content)}"
    if kind.endswith("json"):
        response.read()
        parts = document()["components"]
        errors = list(
            Draft202012Validator({**content[kind]["schema"], "components": parts}).iter_errors(response.json())
        )
        assert not errors, f"{what}: {errors[0].message} at {errors[0].json_path}"
    if kind == "application/problem+json":
        name = response.json()["type"].rpartition("/")[2]
        assert name in content[kind]["examples"], f"{what} is {name}: {response.json()['detail']}"
