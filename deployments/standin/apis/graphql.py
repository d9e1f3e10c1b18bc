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
    knows = ("busy", "bad", "doubt")

    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """One mutation, one row. `doubt`: an internal error, after the record was made."""
        if "create" not in sent["query"]:
            return self._errors("Cannot query field", "GRAPHQL_VALIDATION_FAILED")
        email = str(sent["variables"]["input"]["email"])
        match self.book.judge(email):
            case "busy":
                return self._errors("Throttled", "THROTTLED", retryAfter=self.knobs.wait_seconds)
            case "doubt":
                self.book.create(email, "unknown")
                return self._errors("Internal error", "INTERNAL_SERVER_ERROR")
            case "bad":
                refused = {"field": ["input", "email"], "message": self.book.refuse(email)}
                return answer(200, {"data": {"create": {"contact": None, "userErrors": [refused]}}})
        made = {"id": f"gid://contacts/{self.book.create(email)}"}
        return answer(200, {"data": {"create": {"contact": made, "userErrors": []}}})

    def _errors(self, message: str, code: str, **more: float) -> Answer:
        return answer(200, {"data": None, "errors": [{"message": message, "extensions": {"code": code, **more}}]})
