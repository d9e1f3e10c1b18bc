"""What the spool takes comes back as it was, in any slice, from any thread, or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest

from flows.errors import FileError
from flows.records import Reason, Rejection
from flows.spool.spool import Spool
from tests.harness.spooled import numbers, row

VALUES: dict[str, list[Any]] = {
    "int": [1, None, -(2**63)],
    "float": [0.1, None, 1e300],
    "str": ["Zürich\n", None, ""],
    "bool": [True, None, False],
    "decimal": [Decimal("1.50"), None, Decimal("-0.00000000000000000001")],
    "date": [date(1, 1, 1), None, date(9999, 12, 31)],
    "datetime": [datetime(2024, 1, 1, 1, 2, 3, 4), None, datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-3)))],
    "null": [None, None, None],
}


def typed() -> pd.DataFrame:
    dtypes = {"int": "Int64", "float": "Float64", "str": "str", "bool": "boolean"}
    return pd.DataFrame({name: pd.Series(cells, dtype=dtypes.get(name, object)) for name, cells in VALUES.items()})


@pytest.fixture(params=["local", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path / "spools") if request.param == "local" else "memory://spools"
    fsspec.filesystem("memory").store.clear()


def test_values_come_back_with_their_python_types(url: str) -> None:
    writer = Spool(url, "run").writer()
    writer.write(typed(), np.array([1, 2, 4]), np.array([2, 3, 7]))
    writer.finish(["int"])

    rows = Spool(url, "run").read(0, 3)

    assert [(each.row, each.line) for each in rows] == [(1, 2), (2, 3), (4, 7)]
    for at, each in enumerate(rows):
        assert each.values == {name: cells[at] for name, cells in VALUES.items()}
        assert [type(value) for value in each.values.values()] == [type(cells[at]) for cells in VALUES.values()]
    assert str(rows[0].values["decimal"]) == "1.50"
    assert rows[2].values["datetime"].utcoffset() == timedelta(hours=-3)


def test_values_of_pandera_models_come_back_too(url: str) -> None:
    frame = pd.DataFrame({
        "category": pd.Categorical(["a", None]),
        "naive": pd.Series([pd.Timestamp(2024, 1, 1), pd.NaT]).astype("datetime64[ns]"),
        "zoned": pd.Series([pd.Timestamp(2024, 1, 1, tz="UTC"), pd.NaT]).astype("datetime64[us, UTC]"),
        "small": pd.Series([1, 2], dtype="int8"),
        "mixed": pd.Series([1, "a"], dtype=object),
    })  # fmt: skip
    spool = Spool(url, "run")
    writer = spool.writer()
    writer.write(frame, np.array([1, 2]), np.array([2, 3]))
    writer.finish(["category"])

    first, second = (each.values for each in spool.read(0, 2))

    assert first == {
        "category": "a", "naive": datetime(2024, 1, 1), "zoned": datetime(2024, 1, 1, tzinfo=UTC),
        "small": 1, "mixed": 1,
    }  # fmt: skip
    assert type(first["naive"]) is datetime
    assert second == {"category": None, "naive": None, "zoned": None, "small": 2, "mixed": "a"}


def test_any_slice_is_read_over_parts_of_any_size(url: str) -> None:
    spool = Spool(url, "run")
    writer = spool.writer()
    bounds = [0, 5, 5, 6, 100, 103, 107, 111]
    for start, stop in pairwise(bounds):
        writer.write(*numbers(start, stop))
    manifest = writer.finish(["n", "t"])

    assert [part.rows for part in manifest.parts] == [5, 1, 94, 3, 4, 4]
    for start in range(0, 113, 7):
        for stop in (start, start + 1, start + 60, 200):
            assert spool.read(start, stop) == [row(number) for number in range(start, min(stop, 111))]


def test_rejections_come_back_whole_and_in_order(url: str) -> None:
    rejections = [
        Rejection(
            number, number + 1, (Reason("a", "must be ü", '"\0'), Reason("", "ragged", "")), ("x\n", "\0", "é" * number)
        )
        for number in range(500)
    ]
    spool = Spool(url, "run")
    writer = spool.writer()
    writer.reject(rejections[:200])
    writer.reject([])
    writer.reject(rejections[200:])
    manifest = writer.finish(["a", "b", "c"])

    assert (manifest.rows, manifest.rejected, manifest.header) == (0, 500, ("a", "b", "c"))
    assert list(Spool(url, "run").rejections()) == rejections
    assert spool.read(0, 10) == []


def test_rejections_longer_than_what_is_read_at_once_come_back_whole(url: str) -> None:
    lengths = [3, 700_000, 5, 2_500_000, 0, 1_048_576, 1]
    rejections = [Rejection(at + 1, at + 2, (), ("é" * length,)) for at, length in enumerate(lengths)]
    writer = Spool(url, "run").writer()
    writer.reject(rejections)
    writer.finish(["a"])

    assert list(Spool(url, "run").rejections()) == rejections


def test_nothing_counts_before_it_is_finished_and_nothing_is_left_when_abandoned(url: str) -> None:
    writer = Spool(url, "run").writer()
    writer.write(*numbers(0, 5))
    writer.reject([Rejection(6, 7, (), ())])

    assert not Spool(url, "run").exists()
    with pytest.raises(FileError, match="the spool of this run is gone"):
        Spool(url, "run").read(0, 1)
    writer.abandon()

    fs, folder = fsspec.core.url_to_fs(f"{url}/run")
    assert fs.find(folder) == []


def test_a_spool_written_again_replaces_the_old_one_only_when_finished(url: str) -> None:
    first = Spool(url, "run").writer()
    first.write(*numbers(0, 5))
    first.reject([Rejection(6, 7, (), ())])
    before = first.finish(["n", "t"])

    again = Spool(url, "run").writer()
    again.write(*numbers(5, 7))
    assert Spool(url, "run").read(0, 9) == [row(number) for number in range(5)]
    after = again.finish(["n", "t"])

    assert Spool(url, "run").read(0, 9) == [row(5), row(6)]
    assert before.digest != after.digest == Spool(url, "run").manifest().digest
    fs, folder = fsspec.core.url_to_fs(f"{url}/run")
    assert len(fs.find(folder)) == 2


def test_a_deleted_spool_is_gone(url: str) -> None:
    spool = Spool(url, "run")
    spool.delete()
    writer = spool.writer()
    writer.write(*numbers(0, 5))
    writer.finish(["n", "t"])
    writer.abandon()  # comes too late
    assert spool.exists()
    assert spool.read(0, 1) == [row(0)]

    spool.delete()

    assert not spool.exists()
    with pytest.raises(FileError, match="is gone"):
        spool.read(0, 1)


def test_changed_or_lost_parts_are_noticed(tmp_path: Path) -> None:
    writer = Spool(str(tmp_path), "run").writer()
    writer.write(*numbers(0, 5))
    writer.write(*numbers(5, 9))
    manifest = writer.finish(["n", "t"])
    one, two = (tmp_path / "run" / part.name for part in manifest.parts)
    one.write_bytes(one.read_bytes()[:-1] + b"x")
    two.unlink()

    with pytest.raises(FileError, match="its content has changed\nDelete the run's spool and resume"):
        Spool(str(tmp_path), "run").read(0, 1)
    with pytest.raises(FileError, match="the spool of this run cannot be read"):
        Spool(str(tmp_path), "run").read(5, 6)
    (tmp_path / "run" / "manifest.json").write_text("{")
    with pytest.raises(FileError, match="the spool of this run cannot be read"):
        Spool(str(tmp_path), "run").manifest()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file is in the way")

    with pytest.raises(FileError, match="the run's rows cannot be written here"):
        Spool(str(tmp_path), "run").writer()


@pytest.mark.parametrize("name", ["", "..", "a/b", "../b", ".hidden", "a\0"])
def test_a_run_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a spool"):
        Spool(str(tmp_path), name)


def test_many_threads_read_at_once_and_memory_keeps_few_parts(tmp_path: Path) -> None:
    writer = Spool(str(tmp_path), "run").writer()
    for start in range(0, 10_000, 1000):
        writer.write(*numbers(start, start + 1000))
    writer.finish(["n", "t"])
    reader = Spool(str(tmp_path), "run")
    begin = threading.Barrier(8)

    def read(seed: int) -> bool:
        begin.wait()
        starts = np.random.default_rng(seed).integers(0, 9990, 40).tolist()
        return all(
            reader.read(start, start + 10) == [row(number) for number in range(start, start + 10)] for start in starts
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))
    assert len(reader._parts._tables) == 3


def test_a_thousand_rows_are_read_in_a_few_milliseconds(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), "run")
    writer = spool.writer()
    writer.write(*numbers(0, 20_000))
    writer.finish(["n", "t"])
    spool.read(0, 1)

    took = []
    for start in range(0, 20_000, 1000):
        begin = time.thread_time()
        assert len(spool.read(start, start + 1000)) == 1000
        took.append(time.thread_time() - begin)

    assert sorted(took)[len(took) // 2] < 0.02
