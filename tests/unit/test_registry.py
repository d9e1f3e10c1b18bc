"""What is offered to Prefect, before there is a Prefect: deployments, their forms, and the file for its own command."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from prefect.deployments.runner import RunnerDeployment
from ruamel.yaml import YAML

from deployments.registry import deployments
from flows.flow_runs.schedule import schedules
from flows.pipeline.pipelines import shipped
from flows.pipeline.reading import load
from tests.harness.world import ROOT

POSTS = load(shipped() / "posts.yaml")


def made(*, work_pool: str = "") -> dict[str, RunnerDeployment]:
    async def all_of_them() -> list[RunnerDeployment]:
        return [*await deployments.of(POSTS, work_pool=work_pool), await deployments.recovery(work_pool=work_pool)]

    return {f"{each.flow_name}/{each.name}": each for each in asyncio.run(all_of_them())}


def test_the_file_for_prefects_own_command_says_what_the_set_up_does() -> None:
    stated = YAML(typ="safe").load((ROOT / "deployments" / "registry" / "prefect.yaml").read_text())
    ours = made(work_pool="rowrelay")
    assert len(stated["deployments"]) == len(ours)
    for theirs in stated["deployments"]:
        own = ours[f"{theirs['entrypoint'].split('.')[-1]}/{theirs['name']}"]
        options = own.concurrency_options
        assert options is not None
        assert theirs["concurrency_limit"] == {
            "limit": own.concurrency_limit,
            "collision_strategy": options.collision_strategy.value,
            "grace_period_seconds": options.grace_period_seconds,
        }
        assert theirs["entrypoint"] == own.entrypoint
        assert theirs["description"] == own.description
        assert theirs.get("parameters", {}) == own.parameters
        assert theirs["tags"] == own.tags
        assert theirs["work_pool"]["name"] == own.work_pool_name
        assert theirs["work_pool"]["job_variables"] == own.job_variables


def test_every_parameter_of_every_form_is_described() -> None:
    for name, deployment in made().items():
        for parameter, schema in deployment._parameter_openapi_schema.properties.items():
            assert schema.get("description"), (name, parameter)


@pytest.mark.parametrize(
    ("flow", "given", "accepted"),
    [
        ("deliver/posts", {"file": "orders.csv"}, True),
        ("deliver/posts", {}, False),
        ("deliver/posts", {"file": ""}, False),
        ("deliver/posts", {"file": "orders.csv", "rows": "all"}, False),
        ("deliver/posts", {"file": "orders.csv", "pipeline": "other"}, False),
        ("inbox/posts", {}, True),
        ("inbox/posts", {"folder": 7}, False),
        ("recover/rowrelay", {}, False),
    ],
)
def test_a_form_accepts_what_makes_sense(flow: str, given: dict[str, Any], accepted: bool) -> None:
    schema = made()[flow]._parameter_openapi_schema.model_dump(exclude_unset=True)
    faults = list(jsonschema.Draft202012Validator(schema).iter_errors(given))
    assert (faults == []) == accepted


def test_a_pipeline_with_two_folders_has_two_looks_at_once(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    plan = ["cron: 0 6 * * *", "cron: 0 7 * * *", "cron: 0 8 * * *, inbox: s3://bucket/in"]
    lines = ["schedules:", *(f"  - {{{each}}}" for each in plan)]
    path.write_text("\n".join([(shipped() / "posts.yaml").read_text(), *lines, ""]))

    assert deployments.folders(POSTS) == 1
    assert deployments.folders(load(path)) == 2


def test_a_schedule_tells_its_flow_to_leave_out_rows_and_stays_the_same_where_it_does_not(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    plan = ["cron: 0 6 * * *", "cron: 0 6 * * *, skip_delivered: false", "cron: 0 6 * * *, skip_delivered: true"]
    lines = ["key: [userId]", "schedules:", *(f"  - {{{each}}}" for each in plan)]
    path.write_text("\n".join([(shipped() / "posts.yaml").read_text(), *lines, ""]))

    plain, said, skips = schedules(load(path))

    assert [each.parameters.get("skip_delivered") for each in (plain, said, skips)] == [None, None, True]
    # As an earlier version called it: with another slug it would be another schedule, and pauses were lost.
    assert plain.slug == "definition-1-962e25b2ae"
    assert str(said.slug).endswith("962e25b2ae")
    assert skips.slug != "definition-3-962e25b2ae"
