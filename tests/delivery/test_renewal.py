"""A mended definition for rows of which the API surely has nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from dashboard.preview import sent_as
from flows.delivery.order import Order
from flows.delivery.renewal import is_mended, renew
from flows.errors import DefinitionError, RunBusy
from flows.ledger.keys import run_key
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.reading import load
from flows.records import Row, RowState, RunState, Wanted
from flows.settings import Settings
from tests.harness.seeding import Seeded, seed, write_posts

YAML = """
name: mended
columns:
  userId: {type: int}
  title: {type: str}
  body: {type: str}
request:
  url: "http://127.0.0.1:9/posts"
  json: {user: "{userId}"}
response: {keep: {postId: id}}
limit: {name: renewed, requests: 7, window_seconds: 1}
"""


@pytest.fixture
def settings(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ROWRELAY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(tmp_path / "posts.yaml"))
    (tmp_path / "posts.yaml").write_text(YAML)
    return Settings.read()


@pytest.fixture
def seeded(settings: Settings, redis_url: str, tmp_path: Path) -> Seeded:
    """Three rows: done, failed, waiting."""
    made = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 3), definition=load(tmp_path / "posts.yaml"))
    made.outcomes(RowState.DONE, [1])
    made.outcomes(RowState.FAILED, [2])
    made.leave(RunState.STOPPED, "the API refused too much")
    return made


def state_of(seeded: Seeded) -> tuple[Run, View]:
    view = View(seeded.ledger.client)
    return view.run(seeded.id), view


def test_failed_rows_go_by_the_definition_of_today(seeded: Seeded, settings: Settings, tmp_path: Path) -> None:
    run, view = state_of(seeded)
    assert not is_mended(run, view, settings)
    renew(run, "failed", seeded.ledger, view, settings, by="Ada")
    assert state_of(seeded)[0].facts.redefined == 0  # where nothing is new, nothing is changed
    (tmp_path / "posts.yaml").write_text(YAML.replace('{user: "{userId}"}', '{userId: "{userId}"}'))
    assert is_mended(run, view, settings)

    renew(run, "failed", seeded.ledger, view, settings, by="Ada")

    run, view = state_of(seeded)
    order = Order.stored(run, view, settings)  # refuses a definition that is not the one that was noted
    assert order.definition.request.body == {"userId": "{userId}"}
    assert not is_mended(run, view, settings)
    assert any("Ada let it go on by the definition of today" in text for _, text in view.events(run.id))


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("userId: {type: int}", "userId: {type: str}", "its rows were read by other columns"),
        ("columns:\n", "key: [userId]\ncolumns:\n", "its rows were read by other columns"),
        ("{postId: id}", "{id: id}", "other fields of the answers are kept"),
        ("127.0.0.1:9", "127.0.0.1:10", "requests would go to another host"),
    ],
)
def test_what_would_change_rows_that_were_sent_is_refused(
    seeded: Seeded, settings: Settings, tmp_path: Path, before: str, after: str, why: str
) -> None:
    run, view = state_of(seeded)
    kept = view.definition(run.id)
    (tmp_path / "posts.yaml").write_text(YAML.replace(before, after))

    with pytest.raises(DefinitionError, match=why):
        renew(run, "failed", seeded.ledger, view, settings, by="Ada")

    assert not is_mended(run, view, settings)
    assert view.definition(run.id) == kept


def test_unknown_rows_keep_what_they_were_sent_as(seeded: Seeded, settings: Settings, tmp_path: Path) -> None:
    run, view = state_of(seeded)
    (tmp_path / "posts.yaml").write_text(YAML.replace('{user: "{userId}"}', '{userId: "{userId}"}'))
    with pytest.raises(DefinitionError, match="sent again as they were"):
        renew(run, "unknown", seeded.ledger, view, settings, by="Ada")
    doubtful = replace(run, counts={**run.counts, RowState.UNKNOWN: 1})
    with pytest.raises(DefinitionError, match=r"it has unknown rows.*\nSettle those first") as refused:
        renew(doubtful, "failed", seeded.ledger, view, settings, by="Ada")
    for words in (f"rowrelay mark-done {run.id[:8]}", f"rowrelay send --resume {run.id[:8]} --rows unknown"):
        assert words in refused.value.hint
    assert "reconcile" not in refused.value.hint  # the pipeline does not say how to ask


@pytest.mark.parametrize(("rows", "state"), [("failed", RowState.FAILED), ("unfinished", RowState.WAITING)])
def test_nothing_is_changed_where_there_is_nothing_to_send(
    seeded: Seeded, settings: Settings, tmp_path: Path, rows: Wanted, state: RowState
) -> None:
    run, view = state_of(seeded)
    (tmp_path / "posts.yaml").write_text(YAML.replace('{user: "{userId}"}', '{userId: "{userId}"}'))

    with pytest.raises(DefinitionError, match=f"has no {state} rows"):
        renew(replace(run, counts={**run.counts, state: 0}), rows, seeded.ledger, view, settings, by="Ada")


def test_rows_under_way_or_in_doubt_keep_what_they_were_sent_as(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    made = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 3), definition=load(tmp_path / "posts.yaml"))
    made.outcomes(RowState.UNKNOWN, [1])
    made.outcomes(RowState.FAILED, [2])
    made.leave(RunState.STOPPED, "no answers")
    (tmp_path / "posts.yaml").write_text(YAML.replace('{user: "{userId}"}', '{userId: "{userId}"}'))
    epoch = made.ledger.take(made.id, "another", resume=True)
    made.ledger.resend(made.id, epoch, made.ledger.request(made.id, "r1"), [1])  # and that was cancelled
    made.ledger.end(made.id, epoch, RunState.CANCELLED, "cancelled")
    run, view = state_of(made)
    assert (run.counts[RowState.UNKNOWN], run.counts[RowState.WAITING]) == (0, 2)

    with pytest.raises(DefinitionError, match="of some waiting rows the API may have an earlier request"):
        renew(run, "failed", made.ledger, view, settings, by="Ada")
    with pytest.raises(DefinitionError, match="it has unknown rows"):
        renew(replace(run, counts={**run.counts, RowState.SENDING: 1}), "failed", made.ledger, view, settings, by="Ada")


def test_a_row_that_was_sent_before_is_shown_as_it_was_sent(seeded: Seeded, settings: Settings, tmp_path: Path) -> None:
    run, view = state_of(seeded)
    (tmp_path / "posts.yaml").write_text(YAML.replace('{user: "{userId}"}', '{userId: "{userId}"}'))
    renew(run, "failed", seeded.ledger, view, settings, by="Ada")
    run, view = state_of(seeded)
    definition = Order.stored(run, view, settings).definition
    found = view.records(run.id, [1, 2, 3], names=("postId",), created=run.created)

    def bodies(run: Run) -> list[str]:
        rows = (sent_as(run, definition, Row(each.row, 1, {"userId": 7}), each, settings)[0] for each in found)
        return [each.body or each.problem for each in rows]

    assert bodies(run) == ['{"user":7}', '{"user":7}', '{"userId":7}']
    old = replace(run, facts=msgspec.structs.replace(run.facts, former={}))  # as an earlier version has left it
    not_kept = "It was sent by the definition before that was changed: not kept."
    assert bodies(old) == [not_kept, not_kept, '{"userId":7}']


def test_of_several_definitions_each_row_has_its_own(seeded: Seeded, settings: Settings, tmp_path: Path) -> None:
    def mend(body: str, rows: Wanted = "failed") -> None:
        (tmp_path / "posts.yaml").write_text(YAML.replace('{user: "{userId}"}', body))
        run, view = state_of(seeded)
        renew(run, rows, seeded.ledger, view, settings, by="Ada")

    mend('{never: "{userId}"}')  # mended once more before anything went out by it
    mend('{second: "{userId}"}')
    epoch = seeded.ledger.take(seeded.id, "another", resume=True)
    seeded.delivery.lease.epoch = epoch
    seeded.ledger.open(seeded.id, epoch)
    seeded.outcomes(RowState.DONE, [3])
    seeded.leave(RunState.STOPPED, "the API refused too much")
    mend('{third: "{userId}"}')

    run, view = state_of(seeded)
    definition = Order.stored(run, view, settings).definition
    found = view.records(run.id, [1, 2, 3], names=("postId",), created=run.created)
    shown = [sent_as(run, definition, Row(each.row, 1, {"userId": 7}), each, settings)[0].body for each in found]
    assert shown == ['{"user":7}', '{"user":7}', '{"second":7}']

    # A run that an earlier version has mended: what it sent before that stays unknown.
    seeded.ledger.client.hdel(run_key(run.id), "former")
    epoch = seeded.ledger.take(seeded.id, "another", resume=True)
    seeded.ledger.end(seeded.id, epoch, RunState.STOPPED, "stopped")
    mend('{fourth: "{userId}"}')
    facts = state_of(seeded)[0].facts
    assert facts.former_of(1) is None
    assert facts.former_of(epoch)["request"]["json"] == {"third": "{userId}"}  # type: ignore[index]


def test_a_run_that_somebody_took_meanwhile_keeps_its_definition(
    seeded: Seeded, settings: Settings, tmp_path: Path
) -> None:
    run, view = state_of(seeded)
    (tmp_path / "posts.yaml").write_text(YAML.replace('{user: "{userId}"}', '{userId: "{userId}"}'))
    kept = view.definition(run.id)
    seeded.ledger.take(run.id, "another", resume=True)

    with pytest.raises(RunBusy):
        renew(run, "failed", seeded.ledger, view, settings, by="Ada")

    assert view.definition(run.id) == kept
