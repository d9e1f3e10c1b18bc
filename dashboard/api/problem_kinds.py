"""Routes for the kinds of problems: where the `type` of an error leads."""

from __future__ import annotations

from fastapi import APIRouter, Request

from dashboard.api.problems import PLACE, name_of, raises, status_of, title_of
from dashboard.api.schemas_setup import ProblemKind, ProblemPage
from dashboard.refusals import NotFound
from flows.errors import RowrelayError

router = APIRouter(prefix="/problems", tags=["status"])


@router.get("")
def list_problems(request: Request) -> ProblemPage:
    """Every kind of problem that this API answers with."""
    return ProblemPage(items=[_kind(each) for each in request.app.state.problems])


@router.get("/{name}")
@raises(NotFound)
def get_problem(name: str, request: Request) -> ProblemKind:
    """One kind of problem: the `type` of an error is its address."""
    for each in request.app.state.problems:
        if name_of(each) == name:
            return _kind(each)
    raise NotFound(f"There is no problem {name!r}.", hint="/problems lists them.")


def _kind(kind: type[RowrelayError]) -> ProblemKind:
    return ProblemKind(
        type=PLACE + name_of(kind),
        title=title_of(kind),
        status=status_of(kind),
        description=" ".join((kind.__doc__ or "").split()),
    )
