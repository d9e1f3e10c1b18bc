"""The definitions, the stand-ins and what is expected of them fit together, delivered without the product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from deployments.standin import serving
from deployments.standin.apis import APIS, ApiKnobs
from tests.apis import plain, rows
from tests.apis.truth import premature, wrong

DEFINITIONS = sorted(path.stem for path in plain.HERE.glob("*.yaml"))
QUICK = ApiKnobs(wait_seconds=0.01, job_seconds=0.05)


def delivered(name: str, knobs: ApiKnobs = QUICK, count: int = 250) -> tuple[Any, Any, list[rows.Sample]]:
    """What the stand-in knows and what an export would say, after rows went out by a definition."""
    api = APIS[name.removesuffix("_told")](knobs)
    samples = rows.samples(api.name, count)
    with serving(api) as address, httpx.Client(trust_env=False, timeout=5) as http:
        data = plain.definition(name, {f"{api.name.upper()}_URL": address})
        sent = [{"row": row.row, "email": row.email, "name": row.name} for row in samples]
        outcomes = plain.Plain(data, http).deliver(sent)
        truth = http.get(address + "/truth").json()
    said = [
        {**row, "result": outcome.state, "reason": outcome.reason, **outcome.kept}
        for row in sent
        if (outcome := outcomes[row["row"]])
    ]
    return truth, said, samples


@pytest.mark.parametrize("name", DEFINITIONS)
def test_each_row_ends_as_it_has_to(name: str) -> None:
    truth, said, samples = delivered(name)

    assert wrong(truth, said, samples) == []
    assert {row["result"] for row in said} >= {"done", "failed"}


def test_a_batch_answered_200_says_the_same_as_one_answered_207() -> None:
    truth, said, samples = delivered("items207", ApiKnobs(ok_status=200))

    assert wrong(truth, said, samples) == []


def test_every_api_has_a_definition_and_rows() -> None:
    assert {name.removesuffix("_told") for name in DEFINITIONS} == set(APIS) == set(rows.FATES)


@pytest.mark.parametrize("api", APIS)
def test_the_rows_are_the_same_each_time_and_have_every_fate(api: str) -> None:
    made = rows.samples(api)

    assert made == rows.samples(api)
    assert len({row.email.lower() for row in made}) == len({row.name for row in made}) == len(made) == 1000
    assert {word for row in made for word in rows.FATES[api] if row.email.lower().startswith(word + "-0")} == set(
        rows.FATES[api]
    )


def _first(said: Any, state: str) -> Any:
    return next(row for row in said if row["result"] == state)


HARMS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "a failed row that is called done": (lambda _, said: _first(said, "failed").update(result="done"), "ought to be"),
    "a done row that is called failed": (lambda _, said: _first(said, "done").update(result="failed"), "has written"),
    "the reason of another row": (lambda _, said: _first(said, "failed").update(reason="other"), "the reason is"),
    "the id of another row": (lambda _, said: _first(said, "done").update(contactId=1), "kept id 1"),
    "a row that is missing": (lambda _, said: said.pop(), "not in the export"),
    "a row that is there twice": (lambda _, said: said.append(said[0]), "2 rows of the export"),
    "an unknown row": (lambda _, said: _first(said, "done").update(result="unknown"), "1 rows are unknown"),
    "a row that was created twice": (
        lambda truth, said: truth["rows"][_first(said, "done")["email"].lower()].update(created=2), "written 2 times",
    ),
    "a done row that the api has not heard of": (
        lambda truth, said: truth["rows"].pop(_first(said, "done")["email"].lower()), "has not written",
    ),
    "two rows in one place": (
        lambda _, said: [row.update(parcel=1, position=1) for row in said[:2]], "2 rows at place (1, 1)",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def right() -> tuple[Any, Any, list[rows.Sample]]:
    return delivered("items207", count=40)


@pytest.mark.parametrize("harm", HARMS)
def test_what_is_wrong_is_found(harm: str, right: tuple[Any, Any, list[rows.Sample]]) -> None:
    truth = {**right[0], "rows": {email: dict(entry) for email, entry in right[0]["rows"].items()}}
    said = [dict(row) for row in right[1]]
    do, words = HARMS[harm]

    do(truth, said)

    assert any(words in complaint for complaint in wrong(truth, said, right[2]))


def test_an_unknown_row_is_right_where_its_answer_was_spoilt_or_it_is_allowed(
    right: tuple[Any, Any, list[rows.Sample]],
) -> None:
    said = [dict(row) for row in right[1]]
    row = _first(said, "done")
    row["result"] = "unknown"
    email = row["email"].lower()
    spoilt = {**right[0], "rows": {**right[0]["rows"], email: {**right[0]["rows"][email], "faults": ["reset"]}}}

    assert wrong(spoilt, said, right[2]) == []
    assert wrong(right[0], said, right[2], unknown_at_most=1) == []


def test_a_row_is_rightly_failed_only_where_a_fault_refused_it(right: tuple[Any, Any, list[rows.Sample]]) -> None:
    said = [dict(row) for row in right[1]]
    row = _first(said, "done")
    row["result"] = "failed"
    email = row["email"].lower()

    def judged(**entry: Any) -> list[str]:
        known = {**right[0]["rows"], email: {**right[0]["rows"][email], **entry}}
        return wrong({**right[0], "rows": known}, said, right[2])

    assert judged(created=0, faults=["unprocessable"]) == []
    assert judged(created=1, faults=["unprocessable"]) == [f"{email}: failed, and the API has written it"]
    assert "ought to be done" in judged(created=0, faults=["reset"])[0]


def test_a_row_that_is_called_done_too_early_is_found() -> None:
    truth = {"rows": {"a@x.de": {"state": "accepted"}, "b@x.de": {"state": "done"}}}
    said = [{"email": "A@x.de", "result": "done"}, {"email": "b@x.de", "result": "done"}]

    assert premature(said, truth) == ["A@x.de: done, and the API has not decided yet"]
    assert premature([{"email": "a@x.de", "result": "accepted"}], truth) == []


def test_counts_that_do_not_add_up_are_found(right: tuple[Any, Any, list[rows.Sample]]) -> None:
    truth, said, samples = right
    counts = {state: sum(row["result"] == state for row in said) for state in ("done", "failed", "unknown")}

    assert wrong(truth, said, samples, counts={**counts, "total": 40}) == []
    assert "the states add up to 40" in wrong(truth, said, samples, counts={**counts, "total": 41})[0]
    assert wrong(truth, said, samples, counts={**counts, "done": counts["done"] + 1, "total": 41})
