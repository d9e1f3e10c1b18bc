"""Always 200, with a `status` in the body: ok, error or queued."""

from __future__ import annotations

from typing import Any

from deployments.standin.answer import Answer, answer
from deployments.standin.apis.api import Api, ApiKnobs, not_found, number
from deployments.standin.apis.book import words
from deployments.standin.apis.jobs import Jobs
from deployments.standin.arrivals import Arrival


class Status200(Api):
    """POST /contacts {"email": …, "name": …}; GET /contacts/ID for one that was queued."""

    name = "status200"
    knows = ("busy", "bad")

    def __init__(self, knobs: ApiKnobs | None = None, **options: Any) -> None:
        super().__init__(knobs, **options)
        self._queue = Jobs()

    def forget(self) -> None:
        """Begin anew, with an empty queue."""
        super().forget()
        self._queue = Jobs()

    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """`queued`: decided after `job_seconds`; `queued-bad` is refused then."""
        if arrival.method == "GET":
            return self._look(number(arrival))
        email = str(sent["email"])
        if self.book.judge(email) == "busy":
            return answer(200, {"status": "error", "code": "try_again", "message": "Nothing was done, try again"})
        if "queued" in words(email):
            self.book.promise(email)
            return answer(200, {"status": "queued", "id": self._queue.add([email], self.knobs.job_seconds).number})
        return answer(200, self._write(email))

    def catch_up(self) -> None:
        """Decide about what has stood in the queue long enough."""
        for job in self._queue.due():
            job.report = [self._write(job.emails[0])]

    def _write(self, email: str) -> dict[str, Any]:
        if self.book.word(email) == "bad":
            return {"status": "error", "code": "refused", "message": self.book.refuse(email)}
        return {"status": "ok", "id": self.book.create(email)}

    def _look(self, number: int) -> Answer:
        job = self._queue.all.get(number)
        if not job:
            return not_found()
        return answer(200, job.report[0] if job.report else {"status": "queued", "id": number})
