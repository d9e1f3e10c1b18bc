"""GraphQL: always 200. `userErrors` for a refused row, `errors` with THROTTLED for one that came too fast."""

from __future__ import annotations

from typing import Any

from deployments.standin.answer import Answer, answer
from deployments.standin.apis.api import Api
from deployments.standin.arrivals import Arrival


class GraphQL(Api):
    """POST /graphql {"query": "mutation …", "variables": {"input": {"email": …, "name": …}}}.

    A throttled answer says after how many seconds it may be asked again: `errors[0].extensions.retryAfter`.
    """

    name = "graphql"
    path = "/graphql"
    knows = ("busy", "bad", "doubt", "partly")

    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """One mutation, one row. `doubt`: the record is made, then an internal error. `partly`: an error beside it."""
        if "create(" not in sent["query"] or "{{" in sent["query"]:
            return answer(200, _errors("Cannot query field", "GRAPHQL_VALIDATION_FAILED"))
        email = str(sent["variables"]["input"]["email"])
        match self.book.judge(email):
            case "busy":
                return answer(200, _errors("Throttled", "THROTTLED", retryAfter=self.knobs.wait_seconds))
            case "doubt":
                self.book.create(email, "unknown")
                return answer(200, {"data": {"create": None}, **_errors("Internal error", "INTERNAL_SERVER_ERROR")})
            case "partly":
                return answer(200, {**self._created(email), **_errors("The picture is missing", "NOT_FOUND")})
            case "bad":
                refused = {"field": ["input", "email"], "message": self.book.refuse(email)}
                return answer(200, {"data": {"create": {"contact": None, "userErrors": [refused]}}})
        return answer(200, self._created(email))

    def _created(self, email: str) -> dict[str, Any]:
        made = {"id": f"gid://contacts/{self.book.create(email)}"}
        return {"data": {"create": {"contact": made, "userErrors": []}}}


def _errors(message: str, code: str, **more: float) -> dict[str, Any]:
    """Without `data`, as where nothing was executed."""
    return {"errors": [{"message": message, "extensions": {"code": code, **more}}]}
