"""What people see of a flow run: its name, and where its pages are."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.embedded import addresses
from flows.flow_runs.names import title
from flows.settings import Settings

NAMED = [
    ({"file": "/data/uploads/ab/orders.csv"}, "shop · orders.csv"),
    ({"file": "orders.csv", "dry_run": True}, "shop · orders.csv · check"),
    ({"file": "orders.csv", "resume": "4351799e-1c"}, "shop · orders.csv · resume of 4351799e"),
    ({"file": "", "resume": "4351799e", "rows": "failed"}, "shop · resume of 4351799e, failed rows"),
]


@pytest.mark.parametrize(("given", "name"), NAMED)
def test_a_flow_run_is_named_by_pipeline_and_file_and_by_the_run_that_it_resumes(
    given: dict[str, object], name: str
) -> None:
    assert title("shop", **given) == name  # type: ignore[arg-type]


def test_other_commands_know_the_dashboard_of_rowrelay_up_unless_another_is_set(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    assert addresses.dashboard_url(settings) == ""

    addresses.note_dashboard(settings, "http://127.0.0.1:8502")

    assert addresses.dashboard_url(settings) == "http://127.0.0.1:8502"
    assert addresses.dashboard_url(Settings(data=tmp_path, dashboard_url="https://a.example/")) == "https://a.example"


def test_prefects_page_is_no_address_of_its_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example:4200/api")
    monkeypatch.delenv("PREFECT_UI_URL", raising=False)
    assert addresses.prefect_page(Settings(data=tmp_path)) == "http://prefect.example:4200"

    monkeypatch.setenv("PREFECT_UI_URL", "https://pages.example/")
    assert addresses.prefect_page(Settings(data=tmp_path)) == "https://pages.example"
