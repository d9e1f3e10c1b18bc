"""403 that means wait: a secondary rate limit for a burst; and 403 proper, for who is shut out."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from deployments.standin.answer import Answer, answer
from deployments.standin.apis.api import Api, ApiKnobs, now
from deployments.standin.arrivals import Arrival


class Wait403(Api):
    """POST /contacts {"email": …, "name": …}.

    More than `burst` requests in a second, or a row that says `busy`, close it for `wait_seconds`: each request is
    answered 403 then, counted in the report as `while_closed`, and has no effect. `ban`: 403 of the other kind, from
    that row on, until a person resets it.
    """

    name = "wait403"
    knows = ("busy", "ban", "bad")

    def __init__(self, knobs: ApiKnobs | None = None, **options: Any) -> None:
        super().__init__(knobs, **options)
        self.forget()

    def forget(self) -> None:
        """Begin anew, open to everybody."""
        super().forget()
        self._open_at, self._shut, self._while_closed = 0.0, False, 0
        self._recent: deque[float] = deque()

    def facts(self, *, window_seconds: float | None = None, allowed: int | None = None) -> dict[str, Any]:
        """The report, with `while_closed`."""
        return {**super().facts(window_seconds=window_seconds, allowed=allowed), "while_closed": self._while_closed}

    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """One row a request."""
        if self._shut:
            return answer(403, {"message": "Your account was suspended. Write to support."})
        if now() < self._open_at:
            self._while_closed += 1
            return self._wait()
        email = str(sent["email"])
        word = "busy" if self._too_fast() else self.book.judge(email)
        if word == "busy":
            self._open_at = now() + self.knobs.wait_seconds
            return self._wait()
        if word == "ban":
            self._shut = True
            return answer(403, {"message": "Your account was suspended. Write to support."})
        if word == "bad":
            return answer(422, {"message": self.book.refuse(email)})
        return answer(201, {"id": self.book.create(email)})

    def _too_fast(self) -> bool:
        self._recent.append(now())
        while self._recent[0] <= now() - 1:
            self._recent.popleft()
        return self.knobs.burst is not None and len(self._recent) > self.knobs.burst

    def _wait(self) -> Answer:
        left = max(0.001, self._open_at - now())
        message = "You have exceeded a secondary rate limit. Wait before you try again."
        return answer(403, {"message": message, "wait": round(left, 3)}, retry_after=str(math.ceil(left)))
