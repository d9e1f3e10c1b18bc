"""Whole deliveries to each of the stand-ins: every row ends in the state that the API knows it to have."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from math import ceil, log2
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.standin.apis import APIS
from deployments.standin.apis.api import ApiKnobs
from deployments.standin.server import serving
from flows.delivery.delivery import Delivery
from flows.export.results import results
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.pipeline.reading import load
from flows.records import RowState
from flows.settings import Settings
from tests.apis import rows as made
from tests.apis.plain import HERE
from tests.apis.truth import wrong
from tests.harness.limits import long_known

QUICK = ApiKnobs(wait_seconds=0.01, job_seconds=0.05)
NAMES = sorted(path.stem for path in HERE.glob("*.yaml"))


def delivered(
    name: str,
    folder: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    count: int = 1000,
    *,
    samples: list[made.Sample] | None = None,
    knobs: ApiKnobs = QUICK,
    more: str = "",
) -> Any:
    """(what the stand-in knows, the results, the rows that were sent, the run)."""
    api = name.removesuffix("_told")
    samples = samples or made.samples(api, count)
    file = made.write(folder / "rows.csv", samples)
    with serving(APIS[api](knobs)) as url:
        monkeypatch.setenv(f"{api.upper()}_URL", url)
        monkeypatch.setenv(f"{api.upper()}_REQUESTS", "200")
        monkeypatch.setenv(f"{name.upper()}_REQUESTS", "200")
        monkeypatch.setenv(f"{api.upper()}_EVERY_SECONDS", "1")
        monkeypatch.setenv(f"{api.upper()}_AFTER_SECONDS", "0")
        definition = load(_changed(HERE / f"{name}.yaml", knobs.batch_rows, folder, more))
        long_known(connect(redis_url), definition.limit.name)
        Ledger(connect(redis_url)).create(
            name, definition=definition.resolved(), by="test", pipeline=definition.name, file=str(file)
        )
        delivery = Delivery(name, definition, Settings(data=folder / "data", give_up_seconds=20), redis_url)
        delivery.take(resume=False)
        try:
            delivery.connect()
            delivery.spooling.check(file)
            delivery.open()
            with ThreadPoolExecutor(16) as pool:
                for chunks in delivery.rounds("unfinished"):
                    list(pool.map(delivery.send, chunks))
            while delivery.settling.poll(waits=True):
                pass
        finally:
            delivery.close()
        run = delivery.end()
        said = list(results(delivery.view, delivery.spool, run))
        delivery.release()
        return httpx.get(f"{url}/truth", trust_env=False).json(), said, samples, run


def _changed(path: Path, rows: int, folder: Path, more: str) -> Path:
    """The definition with so many rows a request where it has many, and what else it is to say."""
    text = re.sub(r"(?m)^  rows: 100$", f"  rows: {rows}", path.read_text())
    if more:
        text = re.sub(r"timeout_seconds: [0-9.]+", "timeout_seconds: 0.4", text)
    made_so = folder / path.name
    made_so.write_text(f"{text}\n{more}\n")
    return made_so


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_no_row_is_in_a_wrong_state(
    name: str, count: int, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, said, samples, run = delivered(name, tmp_path, redis_url, monkeypatch, count)
    counts = {str(state): found for state, found in run.counts.items()}
    assert (run.reason, wrong(truth, said, samples, counts=counts)) == ("", [])


@pytest.mark.parametrize("rows", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_one_bad_row_is_found_by_halves(
    rows: int, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [
        made.Sample(row, f"{'bad' if row == rows // 3 else 'good'}-{row:04}@example.com", f"Anna {row}", "", "")
        for row in range(1, rows + 1)
    ]
    knobs = ApiKnobs(batch_rows=rows)
    truth, said, _, run = delivered("indices400", tmp_path, redis_url, monkeypatch, rows, samples=samples, knobs=knobs)

    by_state = Counter(row["result"] for row in said)
    assert by_state == {"done": rows - 1, "failed": 1}
    (failed,) = [row for row in said if row["result"] == "failed"]
    assert "is on the list of blocked addresses" in failed["reason"]
    parcels = 1
    assert truth["facts"]["arrivals"] <= parcels + ceil(log2(rows)) + 2
    assert run.counts[RowState.DONE] == rows - 1


def test_a_lost_batch_goes_again_as_the_very_one_that_it_was(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs = ApiKnobs(batch_rows=7, idempotent=True, hang_seconds=1.0, faults={"hang": 0.25}, wait_seconds=0.01)
    truth, said, samples, run = delivered(
        "items207", tmp_path, redis_url, monkeypatch, 120, knobs=knobs, more="idempotent: true\nstop_after: 1000"
    )

    counts = {str(state): found for state, found in run.counts.items()}
    assert (run.reason, wrong(truth, said, samples, counts=counts)) == ("", [])
    assert truth["facts"]["keys_repeated"] > 0
    assert truth["facts"]["keys_with_two_bodies"] == 0
    assert max(row["created"] for row in truth["rows"].values()) == 1
