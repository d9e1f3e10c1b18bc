"""What the routes of the HTTP API read of a request alike, and say in their answers alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import Header, Request, Response
from fastapi.routing import APIRoute

from dashboard.api.problems import NotValid

SOON_SECONDS = "1"  # when it is worth asking what came of something that was asked for
Key = Annotated[
    str | None,
    Header(
        description="The same key with the same request gives the same run; with another request it is refused (422). "
        "Each pipeline has keys of its own",
        max_length=200,
    ),
]


def by(request: Request) -> str:
    """Who acts, for the run's record: a person's name, or API."""
    return request.state.by or "API"


def say_where(request: Request, response: Response, path: str) -> None:
    """Name the place of what was made or asked for, and when to look there."""
    response.headers["Location"] = request.scope.get("root_path", "") + path
    response.headers["Retry-After"] = SOON_SECONDS


def only_known_parameters(request: Request) -> None:
    """Refuse parameters that the route does not have: one that is misspelt would say nothing and change the answer.

    Raises:
        NotValid: there is one.
    """
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = [each.alias for each in route.dependant.query_params]
    refuse_unknown("The request", set(request.query_params), known)


def refuse_unknown(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that are not known. Raises NotValid."""
    allowed = list(known)
    if unknown := sorted(set(given) - {*allowed, ""}):
        hint = f"There are: {', '.join(allowed)}." if allowed else "It takes none."
        raise NotValid(f"{what} knows no {', '.join(map(repr, unknown))}.", hint=hint)
