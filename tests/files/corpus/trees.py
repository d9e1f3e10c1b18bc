"""JSON, Parquet and packed files: what programs hand over."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.files.corpus.shape import Shape
from tests.files.corpus.texts import COMMA, DATE, DECIMAL, DOTTED, INT, TEXT

ID_NAME = {"id": INT, "name": TEXT}
ANN_BOB = [[1, "Ann"], [2, "Bob"]]
CSV = b"id,name\n1,Ann\n2,Bob\n"


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip archive of these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return stream.getvalue()


def parquet(table: pa.Table, **how: Any) -> bytes:
    """The table as a file."""
    stream = io.BytesIO()
    pq.write_table(table, stream, **how)
    return stream.getvalue()


TREES: list[Shape] = [
    Shape("An API's answer saved: an array of objects", "rows.json",
          json.dumps([{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}]).encode(), ID_NAME, ANN_BOB),
    Shape("An API's answer: the rows below other things", "rows.json",
          json.dumps({"meta": {"total": 2}, "data": {"items": [{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}]}},
                     indent=2).encode(), ID_NAME, ANN_BOB),
    Shape("JSON: two arrays, of which one is meant", "rows.json",
          json.dumps({"people": [{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}],
                      "places": [{"id": 9, "name": "Oslo"}]}).encode(), ID_NAME, ANN_BOB,
          says={"path": "people"}, refused="people"),
    Shape("JSON: digits that no float holds", "rows.json",
          b'[{"id": "00123", "price": 0.1, "big": 12345678901234567890.123},'
          b' {"id": "00124", "price": 19.990, "big": 1}]',
          {"id": TEXT, "price": DECIMAL, "big": DECIMAL},
          [["00123", D("0.1"), D("12345678901234567890.123")], ["00124", D("19.990"), D("1")]]),
    Shape("JSON: what the pipeline reads as German texts are numbers and days here", "rows.json",
          json.dumps([{"preis": 1234.5, "ab": "31.12.2025"}, {"preis": 0.435, "ab": "01.02.2026"}]).encode(),
          {"preis": COMMA, "ab": DOTTED},
          [[D("1234.5"), date(2025, 12, 31)], [D("0.435"), date(2026, 2, 1)]]),
    Shape("JSON: nested objects by path, lists, null", "rows.json",
          json.dumps([{"name": "Ann", "address": {"city": "Oslo"}, "tags": ["a", "b"]},
                      {"name": "Bob", "address": {"city": None}, "tags": []}]).encode(),
          {"name": TEXT, "address.city": "{type: str, optional: true}", "tags": "{type: list}"},
          [["Ann", "Oslo", ["a", "b"]], ["Bob", None, []]]),
    Shape("JSON Lines: a log", "rows.jsonl",
          b'{"id": 1, "at": "2026-01-31T13:45:00Z"}\n{"id": 2, "at": "2026-02-01T00:00:00Z"}\n',
          {"id": INT, "at": "{type: datetime}"},
          [[1, datetime(2026, 1, 31, 13, 45, tzinfo=UTC)], [2, datetime(2026, 2, 1, tzinfo=UTC)]]),
    Shape("JSON Lines: a Mongo export", "rows.jsonl",
          b'{"_id": {"$oid": "65f0c0ffee"}, "n": {"$numberLong": "5"}}\n'
          b'{"_id": {"$oid": "65f0c0ffef"}, "n": {"$numberLong": "6"}}\n',
          {"_id.$oid": TEXT, "n.$numberLong": INT}, [["65f0c0ffee", 5], ["65f0c0ffef", 6]]),
    Shape("JSON Lines: keys that come and go, a line that is broken", "rows.jsonl",
          b'{"id": 1}\n{"id": 2, "name": "Bob"}\n{"id": 3, "name": \n{"id": 4, "name": "Dora"}\n',
          {"id": INT, "name": "{type: str, optional: true}"}, [[1, None], [2, "Bob"], "!JSON", [4, "Dora"]]),
    Shape("JSON with a byte order mark", "rows.json",
          b"\xef\xbb\xbf" + json.dumps([{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}]).encode(),
          ID_NAME, ANN_BOB),
    Shape("pandas: Parquet", "rows.parquet",
          parquet(pa.table({"id": [1, 2], "name": ["Ann", None], "born": [date(1980, 12, 24), date(2024, 2, 29)]})),
          {"id": INT, "name": "{type: str, optional: true}", "born": DATE},
          [[1, "Ann", date(1980, 12, 24)], [2, None, date(2024, 2, 29)]]),
    Shape("Spark: Parquet with decimals, moments and structures", "rows.parquet",
          parquet(pa.table({
              "price": pa.array([D("1234.50"), D("0.10")], pa.decimal128(12, 2)),
              "at": pa.array([datetime(2026, 1, 31, 13, 45, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)],
                             pa.timestamp("us", tz="UTC")),
              "address": [{"city": "Oslo"}, {"city": "Bergen"}],
          })),
          {"price": COMMA, "at": "{type: datetime}", "address.city": TEXT},
          [[D("1234.50"), datetime(2026, 1, 31, 13, 45, tzinfo=UTC), "Oslo"],
           [D("0.10"), datetime(2026, 2, 1, tzinfo=UTC), "Bergen"]]),
    Shape("A text packed with gzip", "rows.csv.gz", gzip.compress(CSV), ID_NAME, ANN_BOB),
    Shape("A text packed with bzip2", "rows.csv.bz2", bz2.compress(CSV), ID_NAME, ANN_BOB),
    Shape("A text packed with xz", "rows.csv.xz", lzma.compress(CSV), ID_NAME, ANN_BOB),
    Shape("A zip archive with one text", "rows.zip", zipped({"rows.csv": CSV}), ID_NAME, ANN_BOB),
    Shape("A zip archive from a Mac, with what it adds", "rows.zip",
          zipped({"rows.csv": CSV, "__MACOSX/._rows.csv": b"x"}), ID_NAME, ANN_BOB),
    Shape("JSON Lines packed with gzip", "rows.jsonl.gz",
          gzip.compress(b'{"id": 1, "name": "Ann"}\n{"id": 2, "name": "Bob"}\n'), ID_NAME, ANN_BOB),
]  # fmt: skip
