"""Accepted with 202 and a job; the job says later what became of each row."""

from __future__ import annotations

from typing import Any

from deployments.standin.answer import Answer, answer
from deployments.standin.apis.api import ApiKnobs, not_found, number
from deployments.standin.apis.batch import Batches
from deployments.standin.apis.jobs import Job, Jobs
from deployments.standin.arrivals import Arrival


class Job202(Batches):
    """POST /contacts with one row, or a list of them; GET /jobs/ID. E-mails come back in small letters."""

    name = "job202"
    knows = ("bad", "mute", "ruin")

    def __init__(self, knobs: ApiKnobs | None = None, **options: Any) -> None:
        super().__init__(knobs, **options)
        self.jobs = Jobs()

    def forget(self) -> None:
        """Begin anew, without jobs."""
        super().forget()
        self.jobs = Jobs()

    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """Nothing is written before the job's time is over."""
        if arrival.method == "GET":
            return self._look(number(arrival))
        emails = [str(row["email"]) for row in (sent if isinstance(sent, list) else [sent])]
        if refused := self.too_many(emails):
            return refused
        job = self.jobs.add(emails, self.knobs.job_seconds)
        for email in emails:
            job.error = "the whole job broke off" if self.book.judge(email) == "ruin" else job.error
            self.book.promise(email)
        place = f"/jobs/{job.number}"
        return answer(self.status(202), {"job": job.number, "state": "queued", "url": place}, location=place)

    def catch_up(self) -> None:
        """Write the rows of the jobs whose time is over."""
        for job in self.jobs.due():
            said = [self._write(job, email) for email in job.emails]
            job.report = [item for item in reversed(said) if item]

    def _write(self, job: Job, email: str) -> dict[str, Any] | None:
        if job.error:
            return {"email": email.lower(), "result": "error", "message": self.book.refuse(email, job.error)}
        word = self.book.word(email)
        if word == "bad":
            return {"email": email.lower(), "result": "error", "message": self.book.refuse(email)}
        made = {"email": email.lower(), "result": "ok", "id": self.book.create(email, "unknown" if word else "done")}
        return None if word == "mute" else made

    def _look(self, number: int) -> Answer:
        job = self.jobs.all.get(number)
        if not job:
            return not_found()
        more: dict[str, Any] = {"error": job.error} if job.state == "failed" else {}
        if job.state == "done":
            more = {"report": job.report}
        return answer(200, {"id": job.number, "state": job.state, **more})
