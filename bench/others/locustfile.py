"""Locust users who post a file's rows until there are none left; FILE, ADDRESS and PACE come from the environment.

PACE is the seconds from one request of a user to its next (`constant_pacing`), 0 for as fast as it goes.
"""

from __future__ import annotations

import csv
import os

import gevent
from locust import FastHttpUser, constant, constant_pacing, events, task
from locust.exception import StopUser

with open(os.environ["FILE"], newline="") as source:
    TODO = iter([{**row, "userId": int(row["userId"])} for row in csv.DictReader(source)])
PACE = float(os.environ.get("PACE", "0"))


class Poster(FastHttpUser):
    """Takes the next row and posts it."""

    host = os.environ["ADDRESS"]
    wait_time = constant_pacing(PACE) if PACE else constant(0)

    @task
    def post(self) -> None:
        row = next(TODO, None)
        if row is None:
            raise StopUser
        self.client.post(self.host, json=row, name="post")


@events.init.add_listener
def end_with_the_file(environment, **_):  # type: ignore[no-untyped-def]
    """Quit when every user has ended."""

    def watch() -> None:
        while environment.runner.user_count == 0:
            gevent.sleep(0.02)
        while environment.runner.user_count:
            gevent.sleep(0.02)
        environment.runner.quit()

    gevent.spawn(watch)
