"""JSON-RPC 2.0: always 200, with a `result` or an `error`."""

from __future__ import annotations

from typing import Any

from deployments.standin.answer import Answer, answer
from deployments.standin.apis.api import Api
from deployments.standin.arrivals import Arrival


class JsonRpc(Api):
    """POST /rpc {"jsonrpc": "2.0", "id": …, "method": "contacts.create", "params": {"email": …, "name": …}}."""

    name = "jsonrpc"
    path = "/rpc"
    knows = ("busy", "bad", "doubt")

    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """One call, one row. `doubt`: an internal error, after the record was made."""
        if sent["jsonrpc"] != "2.0":
            return self._error(sent, -32600, "Invalid Request")
        if sent["method"] != "contacts.create":
            return self._error(sent, -32601, "Method not found")
        email = str(sent["params"]["email"])
        match self.book.judge(email):
            case "busy":
                return self._error(sent, -32000, "The server is busy and did nothing")
            case "doubt":
                self.book.create(email, "unknown")
                return self._error(sent, -32603, "Internal error")
            case "bad":
                return self._error(sent, -32602, self.book.refuse(email))
        return self._said(sent, result={"id": self.book.create(email)})

    def _error(self, sent: Any, code: int, message: str) -> Answer:
        return self._said(sent, error={"code": code, "message": message})

    def _said(self, sent: Any, **value: Any) -> Answer:
        return answer(200, {"jsonrpc": "2.0", "id": sent["id"], **value})
