"""Search, sort and pages of a run's rows where the spool is not as it was written, or not to be reached."""

from __future__ import annotations

import random
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest

from dashboard.rows import choice
from dashboard.rows.book import Rowbook
from dashboard.rows.question import Question
from flows.errors import FileError, StorageError
from flows.records import Reason, Rejection, RowState
from flows.settings import Settings
from flows.spool.rejected import APART
from flows.spool.spool import Spool
from tests.harness.pages import settings, show
from tests.harness.s3 import bucket, s3_environment
from tests.harness.seeding import Seeded, seed, write_posts

__all__ = ["bucket", "s3_environment", "settings"]

ANYWHERE, REJECTED = Question(search="reminder 2"), Question(states=(RowState.REJECTED,))


def book(run: Seeded) -> Rowbook:
    """Its rows, with nothing known of them yet."""
    view = run.delivery.view
    return Rowbook(view, view.run(run.id), run.delivery.definition, run.delivery.settings)


@pytest.fixture
def run(settings: Settings, redis_url: str, tmp_path: Path) -> Seeded:
    """Thirty rows, two of them rejected."""
    return seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 30, bad=(3, 20)))


def part_of(run: Seeded, ending: str) -> Path:
    (found,) = run.delivery.settings.data.glob(f"spool/{run.id}/*{ending}")
    return found


def test_rows_are_found_among_the_accepted_and_the_rejected(run: Seeded) -> None:
    found = choice.page(book(run), ANYWHERE).rows

    assert [each.record.row for each in found] == [2, *range(20, 30)]
    assert [each.record.row for each in choice.page(book(run), REJECTED).rows] == [3, 20]


def test_a_part_with_other_rows_in_it_is_not_searched(settings: Settings, redis_url: str, run: Seeded) -> None:
    other = seed(settings, redis_url, write_posts(settings.data / "other.csv", 30))
    part_of(run, ".parquet").write_bytes(part_of(other, ".parquet").read_bytes())

    with pytest.raises(FileError, match="its content has changed\nDelete the run's spool and resume"):
        choice.page(book(run), ANYWHERE)


def test_a_list_of_rejected_rows_that_was_changed_is_not_shown(run: Seeded) -> None:
    rejected = part_of(run, ".jsonl")
    rejected.write_bytes(rejected.read_bytes().replace(b"nobody", b"nobedy"))

    with pytest.raises(FileError, match="its content has changed"):
        choice.page(book(run), REJECTED)


@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_what_lies_where_it_cannot_be_read_is_no_fault_of_the_file(run: Seeded, ending: str) -> None:
    part = part_of(run, ending)
    part.unlink()
    part.mkdir()

    for question in [ANYWHERE] if ending == ".parquet" else [ANYWHERE, REJECTED]:
        with pytest.raises(StorageError, match="cannot be reached"):
            choice.page(book(run), question)


def test_a_search_in_a_bucket_that_is_away_is_an_error_in_words(
    settings: Settings, redis_url: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What S3's client raises then is no OSError."""
    far = settings.model_copy(update={"storage": bucket})
    run = seed(far, redis_url, write_posts(tmp_path / "posts.csv", 30, bad=(3,)))
    assert len(choice.page(book(run), ANYWHERE).rows) == 11
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    away = fsspec.filesystem("s3", endpoint_url="http://127.0.0.1:9", skip_instance_cache=True)
    spool = book(run).spool
    monkeypatch.setattr(spool, "_fs", away)
    monkeypatch.setattr(spool._parts, "_fs", away)
    monkeypatch.setattr(spool, "_rejections", None)

    for question in (Question(search="reminder 3"), REJECTED):
        with pytest.raises(StorageError, match="cannot be reached"):
            choice.page(book(run), question)


def test_a_rejected_row_goes_by_the_pipelines_columns_whatever_the_file_calls_them(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "own.csv"
    file.write_text("note,TITLE,userId,body \nn1,first,1,b\nn2,second,nobody,b\n")
    run = seed(settings, redis_url, file)

    (found,) = choice.page(book(run), Question(search="second", column="title")).rows
    assert found.record.row == 2
    assert choice.page(book(run), Question(search="n2")).rows == []  # a column that the pipeline does not have

    table = show("run", id=run.id).dataframe[0].value
    assert table["a:title"].tolist() == ["first", "second"]
    assert table["a:body"].tolist() == ["b", "b"]


def test_tables_hold_the_columns_that_were_asked_for_in_that_order(tmp_path: Path) -> None:
    columns = ["a.b", "a", "x y", "*"]
    spool = Spool(str(tmp_path), "run")
    writer = spool.writer()
    writer.write(pd.DataFrame({name: [name] for name in sorted(columns)}), np.array([1]), np.array([2]))
    writer.finish(sorted(columns))

    for names in ([], ["a"], ["x y", "a.b"], columns):
        (table,) = spool.tables(names)
        assert [column.to_pylist() for column in table.columns] == [[1], [2], *([name] for name in names)]
    with pytest.raises(FileError, match="its rows have no column 'b'"):
        next(spool.tables(["a", "b"]))


def test_rejected_rows_are_found_by_their_place_in_any_order(tmp_path: Path) -> None:
    rejections = [
        Rejection(n, n + 1, (Reason("a", "must be ü", "\n"),), ("x\n" * (n % 50), "é" * (n % 700)))
        for n in range(APART * 31 + 7)
    ]
    writer = Spool(str(tmp_path), "run").writer()
    writer.reject(rejections)
    writer.finish(["a", "b"])
    spool = Spool(str(tmp_path), "run")
    last = len(rejections) - 1

    mixed = random.Random(1).sample(range(len(rejections)), 300)
    for ordinals in ([0], [last], [last, 0], [5, 5, 4], list(range(APART - 2, APART * 3 + 2)), sorted(mixed), mixed):
        assert spool.rejections_at(ordinals) == [rejections[at] for at in ordinals]
    assert spool.rejections_at([]) == []
    for beyond in (last + 1, last + APART):
        with pytest.raises(FileError, match="cannot be read"):
            spool.rejections_at([beyond])
