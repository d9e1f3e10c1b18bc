"""Whatever is in a file: rows and rejections that add up, or one refusal in words; never a crash, a hang, or a flood.

Bounded and the same every time. `ROWRELAY_FUZZ=20 pytest …/test_fuzz.py` looks twenty times as long, elsewhere.
"""

from __future__ import annotations

import contextlib
import csv
import encodings.aliases
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flows.delivery.check import check_file
from flows.errors import DefinitionError, FileError
from flows.pipeline.file_form import FileForm
from flows.pipeline.pipelines import shipped
from flows.pipeline.reading import from_resolved, load, redirected
from flows.pipeline.secret import secret_names
from flows.source.quoting import MAX_CELLS
from flows.source.source import open_file
from tests.harness.examples import examples
from tests.harness.packed import PACKED, xz_that_wants, zipped, zstd_that_wants
from tests.harness.world import ROOT

TIMES = int(os.environ.get("ROWRELAY_FUZZ", "1"))
POSTS = load(shipped() / "posts.yaml", environ={})


def bounded(most: int) -> settings:
    return settings(
        max_examples=examples(most) * TIMES,
        derandomize=TIMES == 1,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "rows.csv"


# -- files of rows -----------------------------------------------------------------------------------------------------

VALID = (
    b"userId,title,body\n1,a,b\n2,\"c, d\",\"e\"\"f\"\n\n3,\"two\nlines\",g\n4,\xc3\xa9,\xe2\x80\xa8\nx,,\n",
    b"sep=;\r\nuserId;title;body\r\n1;a;b\r\n2;c;\"d\r\ne\"\r\n",
    b"userId\ttitle\tbody\r1\ta\tb\r2\tc\td\r",
    "\ufeffbody,userId,title,note\nb,1,t,n\n".encode(),
    "userId,title,body\n1,a,ü\n2,€,d\n".encode("utf-16"),
    b"'userId,title,body,reason\n'1,'=a,b,x\n",
)  # fmt: skip
PIECES = (
    b'"', b'""', b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\0", b"\x1a", b"\xff", b"\xc3", b"\xef\xbb\xbf",
    b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b", b"\x1f\x8b\x08\0", b"PK\x03\x04", b"<html", b"sep=,\n", b"'", b"=1+1",
    b"1e999", b"userId,title,body\n", b"1,a,b\n", b' "a"', b'"a"b', "\u2028".encode(), "\x85".encode(), b"\xed\xa0\x80",
    b"9" * 400,
)  # fmt: skip


def mutated(raw: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    for at, gone, new in cuts:
        at %= len(raw) + 1
        raw = raw[:at] + new + raw[at + gone :]
    return raw


pieces = st.sampled_from(PIECES) | st.binary(max_size=6)
cuts = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 20), pieces), max_size=6)
raws = (
    st.binary(max_size=300)
    | st.lists(pieces, max_size=60).map(b"".join)
    | st.lists(pieces, max_size=40).map(lambda some: b"userId,title,body\n" + b"".join(some))
    | st.builds(mutated, st.sampled_from(VALID), cuts)
)
packed = st.builds(lambda raw, damage: mutated(gzip.compress(raw, mtime=0), damage), raws, cuts)
names = st.none() | st.sampled_from(sorted({*encodings.aliases.aliases, "no-such", "idna", "\0", ""}))
contents = raws | packed | st.builds(lambda one, two: gzip.compress(one) + gzip.compress(two), raws, raws)


@bounded(500)
@given(contents, names, st.none() | st.sampled_from([",", ";", "tab", "|", "'", "=", "a", '"', "\n", "", "ab", "é"]))
def test_any_bytes_are_rows_and_rejections_that_add_up_or_a_refusal(
    path: Path, raw: bytes, encoding: str | None, delimiter: str | None
) -> None:
    path.write_bytes(raw)

    form = FileForm(encoding=encoding, delimiter=delimiter)
    try:
        result = check_file(path, POSTS, said=form)
    except FileError as refusal:
        result, said = None, refusal.message
    if result is None:
        assert said.startswith(str(path))
        return

    assert result.rows == result.accepted + result.rejected > 0
    assert len(result.samples) == min(100, result.rejected)
    with open_file(path, dict.fromkeys(POSTS.columns, False), form=form) as source:
        for frame in source.frames(3):
            assert len(frame.text) + len(frame.rejections) <= 3


@bounded(500)
@given(raws.filter(lambda raw: not raw.startswith(b"\x1f\x8b")), st.booleans(), st.integers(1, 5))
def test_every_record_stands_at_the_line_that_is_said(path: Path, raw: bytes, zipped: bool, size: int) -> None:
    path.write_bytes(gzip.compress(raw, mtime=0) if zipped else raw)
    records: list[tuple[int, int, str]] = []

    try:
        with open_file(path, {"userId": True, "title": True, "body": True}, form=FileForm(kind="csv")) as source:
            encoding, neutral = source.encoding, source._bare
            for frame in source.frames(size):
                records += zip(frame.rows, frame.lines, (cells[0] for cells in frame.cells), strict=True)
                records += [(each.row, each.line, each.cells[0] if each.cells else "") for each in frame.rejections]
    except FileError:
        return

    records.sort()
    assert [row for row, _, _ in records] == list(range(1, len(records) + 1))
    text = raw.decode(encoding).removeprefix("\ufeff")
    lines = text.split(source._table._newline)
    assert all(0 < line <= len(lines) for _, line, _ in records)
    assert sorted(line for _, line, _ in records) == [line for _, line, _ in records]
    for _, line, cell in records:
        if not neutral:
            # Marks, and a line feed behind a carriage return that ends the line before, are no part of a record.
            there, begins = lines[line - 1].lstrip("\ufeff\n") + "\n", cell.split("\n")[0].split("\r")[0]
            quoted = begins.replace('"', '""')
            assert there.startswith((begins, f'"{quoted}', f'="{quoted}', f'"=""{quoted}'))


HEADER = b"userId,title,body\n"
BOMB = HEADER + (b"1,a," + b"b" * 20_000 + b"\n") * 6000
FLOODS: dict[str, Callable[[], bytes]] = {
    "commas.csv": lambda: HEADER + b"," * (15 << 20) + b"\n",
    "header.csv": lambda: b"," * (15 << 20) + b"\n1,2\n",
    "line.csv": lambda: HEADER + b"x" * (20 << 20),
    "quotes.csv": lambda: HEADER + b'"' * (20 << 20),
    "open.csv": lambda: HEADER + b'"' + b"x,\n" * (6 << 20),
    "returns.csv": lambda: HEADER + b"\r" * (20 << 20),
    "blanks.csv": lambda: HEADER + b"\n" * (1 << 17) + b"1,a,b\n",
    "zeros.csv": lambda: HEADER + b"\0" * (20 << 20),
    "packed.csv.gz": lambda: gzip.compress(HEADER + b'"' * (40 << 20), 1),
    **{
        f"bomb.csv.{way}": lambda pack=pack: pack(BOMB)  # type: ignore[misc]
        for way, pack in PACKED.items()
    },
    "bomb.zip": lambda: zipped({"rows.csv": BOMB}),
    "wide.csv.xz": lambda: xz_that_wants(31, HEADER),
    "wide.csv.zst": lambda: zstd_that_wants(31, HEADER),
    "window.csv.zst": lambda: zstd_that_wants(27, HEADER + b"1,a,b\n"),
    "files.zip": lambda: zipped({f"{at}.csv": b"" for at in range(100_000)}, packing=0),
}
JUDGE = """
import re, sys
from pathlib import Path
from flows.delivery.check import check_file
from flows.pipeline.pipelines import shipped
from flows.pipeline.reading import load
from flows.errors import FileError
definition = load(shipped() / "posts.yaml", environ={})
for path in sys.argv[1:]:
    try:
        result = check_file(path, definition)
        assert result.rows == result.accepted + result.rejected
    except FileError as exc:
        assert exc.message.startswith(path)
# getrusage would count what its parent held before the exec, too.
print(int(re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[0]) // 1024)
"""
MOST_MIB = 500  # 150 of them are Python, pandas and pandera
MOST_SECONDS = 60  # of CPU; all of them take a few


@pytest.mark.slow
def test_no_file_takes_memory_or_time_without_measure(tmp_path: Path) -> None:
    for name, make in FLOODS.items():
        (tmp_path / name).write_bytes(make())

    assert peak_of(*(tmp_path / name for name in FLOODS)) < MOST_MIB


def peak_of(*paths: Path) -> int:
    """MiB at most of a process that judges these files, in a bounded time of the processor."""
    limited = f'ulimit -t {MOST_SECONDS}; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", limited, "sh", sys.executable, "-c", JUDGE, *map(str, paths)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout)


def test_a_record_of_too_many_cells_ends_the_reading_with_its_line(path: Path) -> None:
    path.write_bytes(b"userId,title,body\n1,a,b\n" + b"," * MAX_CELLS + b"\n")
    with pytest.raises(FileError, match=r"rows.csv:3: a record here has more than 100,000 cells"):
        check_file(path, POSTS)

    path.write_bytes(b"userId,title,body\n" + b'"a",' * MAX_CELLS + b"\n")
    with pytest.raises(FileError, match=r"rows.csv:2: a record here has more than 100,000 cells"):
        check_file(path, POSTS)

    path.write_bytes(b"userId,title,body\n1,a,b\n" + b"x," * (MAX_CELLS - 1) + b"\n")
    assert check_file(path, POSTS).rejected == 1


# -- the same cells as other readers -----------------------------------------------------------------------------------

characters = st.sampled_from("ab1,;\"' \t\n\u00e9\u20ac\u2028=-0.") | st.characters(exclude_categories=("Cs", "Cc"))
cells = st.text(characters, max_size=8)


@bounded(120)
@given(
    st.integers(2, 5).flatmap(
        lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=12)
    ),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
)
@example([["NA", "null"], ["1e5", "0x1"], ["TRUE", "-"]], ",", "\n", csv.QUOTE_MINIMAL)
def test_other_readers_find_the_same_cells(
    path: Path, records: list[list[str]], delimiter: str, newline: str, quoting: int
) -> None:
    """pandas' C parser and DuckDB, told to take every cell as text, against ours."""
    # No line is blank, and no cell is Excel's ="text": there readers differ.
    records = [[f"x{first}", *(cell.replace('="', "=") for cell in rest)] for first, *rest in records]
    columns = [f"c{at}" for at in range(len(records[0]))]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=newline, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([columns, *records])
    path.write_bytes(buffer.getvalue().encode())

    with open_file(path, None, form=FileForm(delimiter=delimiter)) as source:
        frames = list(source.frames(5))
    ours = [list(record) for frame in frames for record in frame.cells]
    by_pandas = pd.read_csv(path, sep=delimiter, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8")
    by_duckdb = duckdb_cells(path, columns, delimiter)

    assert [each for frame in frames for each in frame.rejections] == []
    assert ours == records
    assert by_pandas.to_numpy().tolist() == records
    assert by_duckdb == records


def duckdb_cells(path: Path, columns: list[str], delimiter: str) -> list[list[str]]:
    found = duckdb.read_csv(
        str(path), sep=delimiter, header=True, quotechar='"', escapechar='"', auto_detect=False, parallel=False,
        columns=dict.fromkeys(columns, "VARCHAR"), na_values="\1", strict_mode=True,
    ).fetchall()  # fmt: skip
    return [["" if cell is None else cell for cell in record] for record in found]


broken = st.lists(st.sampled_from([*'ab1,"\n', "x,y\n", '"q"', '""']), max_size=40).map("".join)


@bounded(400)
@given(broken)
def test_what_both_accept_is_the_same(path: Path, text: str) -> None:
    """On files that nobody wrote with care: where DuckDB and we take every row, the cells agree."""
    path.write_text("c0,c1\n" + text)
    try:
        with open_file(path, None, form=FileForm(delimiter=",")) as source:
            frames = list(source.frames())
        other = duckdb_cells(path, ["c0", "c1"], ",")
    except (FileError, duckdb.Error):
        return
    if any(frame.rejections for frame in frames) or source.notices:
        return

    assert [record for frame in frames for record in frame.cells] == other


# -- definitions -------------------------------------------------------------------------------------------------------

FULL = """\
name: orders
description: all that there is
columns:
  id: {type: int, min: 1, unique: true}
  title: {type: str, blank: false, max_length: 80, pattern: "[a-z]+"}
  price: {type: decimal, max: 9.5, optional: true}
  day: {type: date}
  kind: {type: str, one_of: [a, b]}
key: [id]
request:
  method: PUT
  url: ${API:-https://api.example.com}/rows/{id}?token=${secret:TOKEN}
  headers: {X-Kind: "{kind}", Authorization: "Bearer ${secret:TOKEN}"}
  json: {title: "{title}", nested: [{price: "{price}"}, null, 1.5], text: "on {day}"}
  timeout_seconds: 2
response: {keep: {new: "data[0].id"}, success: [200, 201], json: true, max_bytes: 1000}
limit:
  name: orders
  windows: [{requests: 7, seconds: 1}, {requests: 10000, seconds: 86400}]
  in_flight: 5
  late_seconds: 1
retry: {attempts: 3, max_seconds: 9}
ban: {status: [403], html: false}
source: {encoding: cp1252, delimiter: ";"}
idempotent: true
idempotency_hours: 12
stop_after: 9
schedules:
  - {cron: "0 6 * * 1", timezone: Europe/Berlin}
  - {interval_seconds: 60, inbox: "s3://bucket/in", active: false}
  - {rrule: "FREQ=DAILY;BYHOUR=9"}
"""
TREE = yaml.safe_load(FULL)
WORDS = (
    "{", "}", "[", "]", ":", ": ", ",", '"', "'", "&a ", "*a", "!!python/object:os.system ", "!x ", "#", "- ", "? ",
    "| ", ">\n", "---\n", "...\n", "\n", "  ", "\t", "~", "null", "yes", ".nan", ".inf", "-1", "0x" + "f" * 900,
    "1" * 4001, "1e999", "{id}", "${", "${A:-${B}}", "${secret:}", "$${", "<<: ", "%YAML 9.9\n", "\x00", "\x85",
    "\u2028", "\ufeff", "😀", "\ud83d", "\\ud83d", "\\ud83d\\ude00", "(" * 200, "[" * 200, "FREQ=SECONDLY", "* * * * *",
    "61 * * * *", "Mars/Base", "a" * 5000,
)  # fmt: skip
words = st.sampled_from(WORDS) | st.text(max_size=5)
texts = (
    st.text(max_size=200)
    | st.lists(words, max_size=50).map("".join)
    | st.builds(
        lambda cuts: mutated(FULL.encode(), [(at, gone, new.encode("utf-8", "replace")) for at, gone, new in cuts]),
        st.lists(st.tuples(st.integers(0, len(FULL)), st.integers(0, 30), words), max_size=4),
    )
)
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.sampled_from(["id", "int", "{id}", "POST"])
)
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=8
)


def places(node: object, way: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [way, *(place for key, inner in parts for place in places(inner, (*way, key)))]


def replaced(place: tuple[str | int, ...], value: object) -> str:
    """The full definition with another value at one place, as JSON, which is YAML."""
    made = {"top": json.loads(json.dumps(TREE, default=str))}
    holder: object = made
    for part in ("top", *place)[:-1]:
        holder = holder[part]  # type: ignore[index]
    holder[("top", *place)[-1]] = value  # type: ignore[index]
    return json.dumps(made["top"])


def judged(path: Path, content: str | bytes) -> None:
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    made, refusal = None, None
    try:
        made = load(path, environ={"TOKEN": "t"})
    except DefinitionError as exc:
        refusal = exc
    if refusal:
        most = path.read_bytes().count(b"\n") + path.read_bytes().count(b"\r") + 3
        assert str(refusal).startswith(str(path))
        assert refusal.line is None or 0 < refusal.line <= most
        return
    assert made
    again = from_resolved(json.loads(json.dumps(made.resolved())))
    assert again == made
    assert again.digest() == made.digest()
    with contextlib.suppress(DefinitionError):
        redirected(made, "https://other.example/")


def test_the_full_definition_is_one(path: Path) -> None:
    """Or nothing of what follows would get past the first check."""
    judged(path, FULL)
    assert secret_names(load(path, environ={})) == ("TOKEN",)


@bounded(300)
@given(texts)
def test_any_text_is_a_definition_or_a_refusal_that_names_file_and_line(path: Path, content: str | bytes) -> None:
    judged(path, content)


@bounded(200)
@given(st.sampled_from(places(TREE)), trees)
def test_any_value_at_any_place_is_taken_or_refused(path: Path, place: tuple[str | int, ...], value: object) -> None:
    judged(path, replaced(place, value))
