"""JSON and Parquet that are refused, each with the exact message that a person gets. Part of the table of bad inputs."""

# ruff: noqa: E501  a message stands in one piece

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

MEND = "What follows is not certain: mend it there."
OBJECTS = "is JSON without a list of objects\nEach row must be an object in a list: [{…}, {…}]."
CUT = "is cut off: its JSON has no end\nCopy or download it again."
POST = '{"userId": 1, "title": "one", "body": "b"}'
COLUMNS = "Its columns: userId, title. Each column of the pipeline must be there once."


def parquet(table: pa.Table, **how: object) -> bytes:
    """The table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **how)
    return bytes(sink.getvalue())


_TABLE = parquet(pa.table({"userId": [1, 2], "title": ["one", "two"], "body": ["b", "b"]}))
_NOT_PARQUET = "is a Parquet file that cannot be read: "
_ANEW = "\nWrite it anew, or save the rows as CSV (UTF-8)."

# Name, content, what is said of it.
NESTED_FILES: list[tuple[str, bytes | None, str]] = [
    ("void.json", b"[]", f"void.json: {OBJECTS}"),
    ("numbers.json", b"[1, 2, 3]", f"numbers.json: {OBJECTS}"),
    (
        "one.json",
        b'{\n  "userId": 1\n}',
        "one.json: its columns are not those of the pipeline (userId, title, body). missing: title, body\nIts columns: userId. Each column of the pipeline must be there once.",
    ),
    (
        "below.json",
        f"{{\n{POST[1:]}\n{{\n{POST[1:]}".encode(),
        "below.json:3: is no valid JSON: other data behind its end (column 1)\nIf records stand one below the other, write each in one line (jq -c .), or all in a list: [{…}, {…}].",
    ),
    ("cut.json", f"[{POST}, {POST[:20]}".encode(), f"cut.json: {CUT}"),
    ("open.json", f"[{POST}".encode(), f"open.json: {CUT}"),
    (
        "comma.json",
        f"[{POST},\n {POST[:-1]},}}]".encode(),
        f"comma.json:2: is no valid JSON: a mistake: expecting property name enclosed in double quotes (column 44)\n{MEND}",
    ),
    ("gap.json", f"[{POST} {POST}]".encode(), f"gap.json:1: is no valid JSON: , or ] is missing (column 45)\n{MEND}"),
    ("tail.json", f"[{POST}]]".encode(), f"tail.json:1: is no valid JSON: other data behind its end (column 45)\n{MEND}"),
    (
        "two.json",
        f'{{"a": [{POST}], "b": {{"c": [{POST}]}}}}'.encode(),
        "two.json: has more than one list of objects: a, b.c\nSay which one: --path a (in a definition source: {path: a}).",
    ),
    (
        "latin.jsonl",
        POST.replace("one", "Zürich").encode("cp1252"),
        "latin.jsonl:1: is not valid utf-8: byte 0xFC\nEncodings that would fit there: cp1252 ('\"userId\": 1, \"title\": \"Zürich\", \"body\": \"b\"}'), cp1251 ('\"userId\": 1, \"title\": \"Zьrich\", \"body\": \"b\"}'), cp1253 ('\"userId\": 1, \"title\": \"Zόrich\", \"body\": \"b\"}'). Name the one that reads right with --encoding, or save the file as UTF-8.",
    ),
    (
        "columns.jsonl",
        b'{"userId": 1, "title": "one"}\n',
        f"columns.jsonl: its columns are not those of the pipeline (userId, title, body). missing: body\n{COLUMNS}",
    ),
    (
        "long.jsonl",
        (POST + "\n").encode() + b'{"userId": "' + b"x" * (17 << 20),
        "long.jsonl:2: this line is longer than 16,777,216 characters\nIs this a file of JSON lines?",
    ),
    ("cut.parquet", _TABLE[:-20], f"cut.parquet: {_NOT_PARQUET}Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file.{_ANEW}"),
    ("locked.parquet", b"PARE" + bytes(100) + b"PARE", "locked.parquet: is an encrypted Parquet file\nWrite it without encryption."),
    ("none.parquet", parquet(pa.table({})), "none.parquet: has no columns"),
    (
        "other.parquet",
        parquet(pa.table({"userId": [1], "title": ["one"]})),
        f"other.parquet: its columns are not those of the pipeline (userId, title, body). missing: body\n{COLUMNS}",
    ),
    ("empty.parquet", parquet(pa.table({"userId": pa.array([], pa.int64()), "title": pa.array([], pa.string()), "body": pa.array([], pa.string())})), "empty.parquet: has a header but no rows\nPut the rows below the first line."),
]  # fmt: skip
