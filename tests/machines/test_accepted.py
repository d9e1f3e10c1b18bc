"""Jobs that take longer than any process waits: a run ends with accepted rows, and later looks read the reports."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from deployments.standin.apis import APIS
from deployments.standin.apis.api import ApiKnobs
from deployments.standin.server import serving as standing_in
from flows.export.results import results
from flows.flow_runs.next_look import LATE_SECONDS, renew_looks
from flows.records import RowState, RunState
from flows.spool.spool import Spool
from tests.apis import rows as made
from tests.apis.plain import HERE
from tests.apis.truth import premature, wrong
from tests.harness.limits import long_known
from tests.harness.prefect_at import prefect_at
from tests.harness.serving import Serving
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import World

JOB_SECONDS, ROWS = 14.0, 250


@dataclass
class Jobs(World):
    """The world of an API that queues what it is sent."""

    more: dict[str, object] = field(default_factory=dict)

    @property
    def pipeline(self) -> Path:
        """The API's own definition."""
        path = self.folder / "job202.yaml"
        if not path.exists():
            path.write_text((HERE / "job202.yaml").read_text())
        return path


@pytest.fixture
def served(stack: RunningStack, tmp_path: Path) -> Iterator[tuple[Serving, str]]:
    api = APIS["job202"](ApiKnobs(job_seconds=JOB_SECONDS))
    with standing_in(api) as url:
        w = Jobs(tmp_path, stack.addresses.redis_url, url, api, {})
        environment = {"JOB202_URL": url, "JOB202_REQUESTS": "50", "JOB202_EVERY_SECONDS": "2"}
        long_known(w.view.client, "job202")
        process = Serving(w, stack, "job202", **environment)
        try:
            yield process, url
        finally:
            process.end()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_process_waits_for_a_job_and_its_report_is_read_though_everything_was_restarted(
    served: tuple[Serving, str],
) -> None:
    serving, url = served
    samples = made.samples("job202", ROWS)
    uploads = serving.stack.settings.uploads
    uploads.mkdir(parents=True, exist_ok=True)
    made.write(uploads / "contacts.csv", samples)
    first = serving.serve()

    run = serving.trigger("contacts.csv")
    wait_until(
        lambda: (found := serving.run(run)) and found.state is RunState.FINISHED and not found.busy,
        seconds=60,
        what="the end of the sending",
    )
    sent = serving.world.run(run)
    assert sent.counts[RowState.ACCEPTED] == ROWS
    wait_until(lambda: not serving.process_of(first, run), seconds=20, what="the end of its process")

    serving.kill(first)
    time.sleep(2)
    serving.serve()

    view = serving.world.view
    spool = Spool(serving.stack.settings.spool_url, run)

    def decided() -> bool:
        said = list(results(view, spool, view.run(run)))
        assert premature(said, httpx.get(f"{url}/truth", trust_env=False).json()) == []
        return not view.run(run).counts[RowState.ACCEPTED]

    wait_until(decided, seconds=120, what="the reports")
    ended = view.run(run)
    counts = {str(state): count for state, count in ended.counts.items()}
    truth = httpx.get(f"{url}/truth", trust_env=False).json()
    assert wrong(truth, list(results(view, spool, ended)), samples, counts=counts) == []


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_look_that_was_lost_is_scheduled_anew(served: tuple[Serving, str]) -> None:
    serving, _ = served
    samples = made.samples("job202", 100)
    uploads = serving.stack.settings.uploads
    uploads.mkdir(parents=True, exist_ok=True)
    made.write(uploads / "lost.csv", samples)
    serving.environment["JOB202_EVERY_SECONDS"] = "30"  # or the next look would be under way already
    process = serving.serve()
    run = serving.trigger("lost.csv")
    wait_until(
        lambda: (found := serving.run(run)) and found.counts[RowState.ACCEPTED] == 100 and not found.busy,
        seconds=60,
        what="accepted rows",
    )
    serving.kill(process)
    view = serving.world.view

    with prefect_at(serving.stack.addresses.prefect_api_url):
        assert renew_looks(view) == []  # it is not late yet
        late = time.time() + LATE_SECONDS + 61
        told = wait_until(lambda: renew_looks(view, now=late), seconds=30, what="a Prefect that takes it")

    assert told == ["lost.csv: nobody asked about its accepted rows, scheduled anew"]
