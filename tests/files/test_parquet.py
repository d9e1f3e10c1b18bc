"""Parquet: values as text without loss, as a second reader finds them; what has no exact text is rejected."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.delivery.check import check_file
from flows.errors import FileError
from flows.pipeline.column import Column
from flows.records import Rejection
from flows.source.gathered import listed
from flows.source.header import Called
from flows.source.source import open_file
from flows.source.spelled_columns import Columns
from flows.source.spelling import spellings
from flows.source.table import NotSpelled
from tests.files.test_fuzz import bounded, mutated
from tests.files.test_json import POSTS
from tests.harness.bad_nested import parquet
from tests.harness.frames import readable, rejections

AT = dt.datetime(2024, 3, 1, 9, 5, 7, 120000)
BERLIN = "Europe/Berlin"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parquet") / "rows.parquet"


def read(
    path: Path, data: bytes, wanted: dict[str, bool] | None = None, **called: Any
) -> tuple[list[list[str]], list[Rejection]]:
    path.write_bytes(data)
    cells: list[list[str]] = []
    rejected: list[Rejection] = []
    with open_file(path, wanted, called=Called(**called)) as source:
        assert source.kind == "parquet"
        for frame in source.frames(1000):
            cells += frame.text.iloc[readable(frame)].astype(object).to_numpy().tolist()
            rejected += rejections(frame)
    return cells, rejected


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (pa.array([2**63 - 1, None, -5]), ["9223372036854775807", "", "-5"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([0.1, 1e22, 5.0, -0.00001]), ["0.1", "10000000000000000000000", "5.0", "-0.00001"]),
        (pa.array([0.1, 3.0, 1e20], pa.float32()), ["0.1", "3.0", "100000000000000000000"]),
        (pa.array([Decimal("12.30"), Decimal("-0.01")]), ["12.30", "-0.01"]),
        (pa.array([Decimal("0.0000001")], pa.decimal128(30, 10)), ["0.0000001000"]),
        (pa.array([True, None, False]), ["true", "", "false"]),
        (pa.array(["a", "", None, '"x"']), ["a", "", "", '"x"']),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([dt.date(2024, 3, 1)]), ["2024-03-01"]),
        (pa.array([AT], pa.timestamp("us")), ["2024-03-01T09:05:07.120000"]),
        (pa.array([AT, None], pa.timestamp("ns")), ["2024-03-01T09:05:07.120000", ""]),
        (pa.array([AT], pa.timestamp("us", "UTC")), ["2024-03-01T09:05:07.120000+00:00"]),
        (pa.array([AT], pa.timestamp("ms", BERLIN)), ["2024-03-01T10:05:07.120000+01:00"]),
        (pa.array([dt.time(9, 5)], pa.time64("us")), ["09:05:00"]),
        (pa.array([[1, 2], [], None]), ["[1,2]", "[]", ""]),
        (pa.array([{"a": Decimal("1.50"), "b": None}]), ['{"a":1.50,"b":null}']),
        (pa.nulls(2), ["", ""]),
    ],
    ids=lambda value: str(getattr(value, "type", ""))[:30] or "texts",
)  # fmt: skip
def test_each_type_has_its_text(path: Path, array: pa.Array, texts: list[str]) -> None:
    data = parquet(pa.table({"row": pa.array(["x"] * len(texts)), "c": array}))

    assert read(path, data)[0] == [["x", text] for text in texts]


@pytest.mark.parametrize(
    ("array", "why", "shown"),
    [
        (pa.array([b"\x00\xff"]), "is binary data, not text", "#BINARY!"),
        (pa.array([1], pa.timestamp("ns")), "is more exact than a microsecond", "1970-01-01 00:00:00.000000001"),
        (pa.array([2**61], pa.timestamp("us")), "is a date beyond the year 9999", ""),
        (pa.array([5], pa.duration("s")), "is of a type that is not read: duration[s]", "<duration[s]>"),
        (pa.array([[b"x"]]), "is of a type that is not read: list<element: binary>", ""),
        (pa.array([[float("nan")]]), "holds a number that is none (NaN or infinity)", "[nan]"),
    ],
    ids=lambda value: str(getattr(value, "type", ""))[:30] or "text",
)  # fmt: skip
def test_what_has_no_exact_text_is_rejected(path: Path, array: pa.Array, why: str, shown: str) -> None:
    data = parquet(pa.table({"row": ["x"], "c": array}))

    _, rejections = read(path, data, {"row": False, "c": False})

    assert [each.reasons[0].check for each in rejections] == [why]
    assert rejections[0].cells[1].startswith(shown)


def test_texts_that_no_cell_may_hold_are_rejected(path: Path) -> None:
    data = parquet(pa.table({"row": ["x"] * 4, "c": ["a\0b", "good", "y" * ((1 << 20) + 1), "good"]}))

    cells, rejections = read(path, data)

    assert cells == [["x", "good"]] * 2
    assert [(each.line, each.reasons[0].check) for each in rejections] == [
        (1, "holds a NUL character"),
        (3, "has a cell of more than 1,048,576 characters"),
    ]


ARRAYS = {
    "int": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "float": (pa.float64(), st.floats() | st.decimals(-999, 999, places=2).map(float) | st.integers(-9, 9).map(float)),
    "bool": (pa.bool_(), st.booleans()),
    "date": (pa.date32(), st.dates()),
    "text": (pa.string(), st.text(max_size=5)),
    "known": (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["a", "", "ß"])),
}  # fmt: skip
RULES = [Column(type=kind) for kind in ("int", "float", "decimal", "str", "bool", "date", "datetime", "json", "list")]
RULES += [Column(type="decimal", decimal=","), Column(type="str", map={"5": "five", "true": "yes"})]
RULES += [Column(type="date", format="DD.MM.YYYY")]


@bounded(300)
@given(st.data(), st.sampled_from(list(ARRAYS)), st.sampled_from(RULES))
def test_an_array_is_spelled_as_its_values_one_by_one(data: st.DataObject, kind: str, column: Column) -> None:
    type_, values = ARRAYS[kind]
    array = pa.array(data.draw(st.lists(st.none() | values, min_size=1, max_size=9)), type_)
    spell = spellings(["c"], {"c": 0}, {"c": column})[0]
    expected: list[str] = []
    wrong: set[int] = set()
    for at, value in enumerate(array.to_pylist()):
        try:
            expected.append("" if value is None else spell(value))
        except NotSpelled as exc:
            expected.append(exc.text)
            wrong.add(at)

    (texts,), faults = Columns(["c"], [spell]).texts([array])

    assert list(listed(texts)) == expected
    assert set(faults) == wrong


@pytest.mark.parametrize("days", [[-719163], [2932897, 0]], ids=["before year 1", "beyond year 9999"])
def test_a_day_that_no_calendar_of_ours_has_is_a_rejection(path: Path, days: list[int]) -> None:
    _, rejections = read(path, parquet(pa.table({"a": pa.array(days, pa.date32())})), {"a": False})

    assert [each.reasons[0].check for each in rejections] == ["is a date beyond the year 9999"]


def test_a_name_with_points_leads_into_structs(path: Path) -> None:
    table = pa.table({"id": [1, 2], "address": [{"city": "Rome", "geo": {"lat": 41.9}}, None]})

    cells, _ = read(path, parquet(table), {"id": False, "address.city": True, "address.geo.lat": True})

    assert cells == [["1", "Rome", "41.9"], ["2", "", ""]]


def test_values_are_text_as_their_columns_read_them(path: Path) -> None:
    columns = {"price": Column(type="decimal", decimal=","), "day": Column(type="date", format="DD.MM.YYYY")}
    table = pa.table({"price": [Decimal("0.10"), Decimal("5.00")], "day": [dt.date(2024, 3, 1), dt.date(2024, 12, 31)]})

    assert read(path, parquet(table), dict.fromkeys(columns, False), columns=columns)[0] == [
        ["0,10", "01.03.2024"],
        ["5,00", "31.12.2024"],
    ]


@pytest.mark.parametrize("way", ["snappy", "gzip", "zstd", "none"])
def test_row_groups_and_packings_make_no_difference(path: Path, way: str) -> None:
    table = pa.table({"id": list(range(30_000)), "note": [f"note {at % 7}" for at in range(30_000)]})

    cells, _ = read(path, parquet(table, compression=way, row_group_size=7001))

    assert cells == [[str(at), f"note {at % 7}"] for at in range(30_000)]


def test_what_unpacks_without_measure_is_refused(path: Path) -> None:
    data = parquet(pa.table({"a": pa.array(["x" * 1000] * 200_000).dictionary_encode()}), compression="zstd")

    with pytest.raises(FileError, match="unpacks to more than 2,000 times its size"):
        read(path, data)


@bounded(100)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "id": st.integers(-(2**63), 2**63 - 1),
                "text": st.none() | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=9),
                "price": st.none() | st.decimals(-(10**9), 10**9, places=4),
                "day": st.none() | st.dates(),
                "at": st.none() | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)),
                "yes": st.none() | st.booleans(),
            }
        ),
        min_size=1, max_size=20,
    )
)  # fmt: skip
def test_another_reader_finds_the_same_values(path: Path, records: list[dict[str, Any]]) -> None:
    kinds = {
        "id": pa.int64(), "text": pa.string(), "price": pa.decimal128(18, 4), "day": pa.date32(),
        "at": pa.timestamp("us"), "yes": pa.bool_(),
    }  # fmt: skip
    path.write_bytes(parquet(pa.Table.from_pylist(records, pa.schema(list(kinds.items())))))

    cells, rejections = read(path, path.read_bytes())
    others = duckdb.sql(f"select * from read_parquet('{path}')").fetchall()

    def text(value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        return value.isoformat() if isinstance(value, dt.date) else str(value)

    assert rejections == []
    assert cells == [[text(value) for value in record] for record in others]


VALID = parquet(
    pa.table({"userId": [1, 2, 3], "title": ["a", "b", None], "body": ["x", "y" * 300, "z"], "more": [[1], [], None]})
)


@bounded(300)
@given(
    st.lists(st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), st.binary(max_size=6)), min_size=1, max_size=4)
)
def test_any_damage_is_rows_or_a_refusal(path: Path, damage: list[tuple[int, int, bytes]]) -> None:
    path.write_bytes(b"PAR1" + mutated(VALID, damage)[4:])

    try:
        result = check_file(path, POSTS)
    except FileError as refusal:
        said = str(refusal)
    else:
        assert result.rows == result.accepted + result.rejected > 0
        return
    assert said.startswith(str(path))
