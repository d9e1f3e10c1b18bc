"""The whole check: a file in, exact counts and lines out, the spool full or untouched."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from bench.check import make
from flows.delivery.check import CheckResult, check_file
from flows.errors import BadFile, FileError
from flows.pipeline.file_form import said
from flows.pipeline.reading import load
from flows.records import Reason, Rejection, Row
from flows.spool.spool import Spool

PIPELINE = """
name: test
columns:
  userId: {type: int, min: 1, unique: true}
  title:  {type: str, blank: false}
  body:   {type: str, optional: true, max_length: 200}
request: {url: "http://127.0.0.1:9/posts"}
limit: {name: test, requests: 7, window_seconds: 1}
source: {delimiter: ";"}
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(PIPELINE)
    return path


def test_rows_go_to_the_spool_and_rejections_beside_them_with_the_whole_original(
    tmp_path: Path, pipeline: Path
) -> None:
    path, spool = tmp_path / "rows.csv", Spool(str(tmp_path / "spools"), "run")
    path.write_bytes(b'Note;userid;title;body\nn;1;a;\nn;x;;b\nn;1;c\n\n"n\nn";2;d;e\nm;1;f;g\n\n')
    heard: list[Rejection] = []
    progress: list[tuple[int, int, int]] = []

    result = check_file(
        path,
        load(pipeline),
        spool,
        on_rejections=heard.extend,
        on_progress=lambda rows, done, total: progress.append((rows, done, total)),
    )

    expected = [
        Rejection(
            2,
            3,
            (Reason("userId", "must be a whole number", "x"), Reason("title", "must not be blank", "")),
            ("n", "x", "", "b"),
        ),
        Rejection(3, 4, (Reason("", "has 3 cells, the header has 4", ""),), ("n", "1", "c")),
        Rejection(4, 5, (Reason("", "is a blank line", ""),), ()),
        Rejection(6, 8, (Reason("userId", "must be unique, but line 2 holds it already", "1"),), ("m", "1", "f", "g")),
    ]
    rows = [
        Row(1, 2, {"userId": 1, "title": "a", "body": None}),
        Row(5, 6, {"userId": 2, "title": "d", "body": "e"}),
    ]
    size = path.stat().st_size
    assert heard == list(result.samples) == list(spool.rejections()) == expected
    assert list(result.first) == spool.read(0, 9) == rows
    assert (result.rows, result.accepted, result.rejected) == (6, 2, 4)
    assert (result.encoding, result.delimiter, result.bytes) == ("utf-8", ";", size)
    assert (result.columns, result.ignored) == (("Note", "userid", "title", "body"), ("Note",))
    assert spool.manifest().header == result.columns
    assert result.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert progress == [(6, size, size)]


def test_what_the_caller_asks_for_outranks_the_definition(tmp_path: Path, pipeline: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("userId|title\n1|Zürich\n".encode("cp1252"))

    result = check_file(path, load(pipeline), said=said(encoding="cp1252", delimiter="bar"))

    assert (result.encoding, result.delimiter, result.first[0].values["title"]) == ("cp1252", "|", "Zürich")


def test_a_file_refused_late_leaves_no_spool_and_no_scratch(tmp_path: Path, pipeline: Path) -> None:
    path, spools, scratch = tmp_path / "rows.csv", tmp_path / "spools", tmp_path / "scratch"
    scratch.mkdir()
    with path.open("wb") as file:
        file.write(b"userId;title;body\n")
        file.writelines(b"%d;a;b\n" % row for row in range(1, 200_000))
        file.write(b'0;a;b\n7;"open\n')
    heard: list[Rejection] = []

    with pytest.raises(FileError, match=r"rows.csv:200002: a quote opens a cell here"):
        check_file(path, load(pipeline), Spool(str(spools), "run"), scratch=scratch, on_rejections=heard.extend)

    assert list(spools.rglob("*")) == []
    assert list(scratch.iterdir()) == []


def test_a_callback_that_fails_ends_the_check_cleanly(tmp_path: Path, pipeline: Path) -> None:
    path, spool = tmp_path / "rows.csv", Spool(str(tmp_path / "spools"), "run")
    path.write_bytes(b"userId;title\n1;a\n")

    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_file(path, load(pipeline), spool, on_progress=interrupt)

    assert not spool.exists()


def test_a_rejection_is_shown_short_and_kept_whole(tmp_path: Path, pipeline: Path) -> None:
    path, spool, long = tmp_path / "rows.csv", Spool(str(tmp_path / "spools"), "run"), "x" * 5000
    path.write_text(f"userId;title;body\n1;a;{long}\n")

    result = check_file(path, load(pipeline), spool)

    assert result.samples[0].cells == ("1", "a", "x" * 500 + "…")
    assert result.samples[0].reasons == (Reason("body", "must have at most 200 characters", "x" * 79 + "…"),)
    assert next(spool.rejections()).cells == ("1", "a", long)


def test_a_file_of_bad_rows_only_has_counts_and_samples_but_no_rows(tmp_path: Path, pipeline: Path) -> None:
    path, spool = tmp_path / "rows.csv", Spool(str(tmp_path / "spools"), "run")
    path.write_bytes(b"userId;title\n" + b"x;a\n" * 30_000)

    result = check_file(path, load(pipeline), spool)

    assert (result.rows, result.accepted, result.rejected, len(result.samples)) == (30_000, 0, 30_000, 100)
    assert (spool.manifest().rows, spool.read(0, 10), sum(1 for _ in spool.rejections())) == (0, [], 30_000)


def test_every_planted_bad_row_is_found_at_its_line(tmp_path: Path, pipeline: Path) -> None:
    path = tmp_path / "rows.csv"
    bad = make(path, 50_000)
    found: list[list[int]] = []

    result = check_file(
        path,
        load(pipeline),
        said=said(delimiter=","),
        on_rejections=lambda all_: found.extend([each.row, each.line] for each in all_),
    )

    assert result.rows == 50_000
    assert found == bad


@pytest.mark.slow
def test_memory_stays_flat_however_long_the_texts_are(tmp_path: Path, pipeline: Path) -> None:
    path = tmp_path / "rows.csv"
    with path.open("wb") as file:
        file.write(b"userId;title\n")
        file.writelines(b"%d;%s\n" % (row, os.urandom(100_000).hex().encode()) for row in range(1, 1201))
    code = (
        "import sys; from bench.check import peak_megabytes; from flows.delivery.check import check_file;"
        "from flows.pipeline.reading import load; from flows.spool.spool import Spool;"
        "r = check_file(sys.argv[1], load(sys.argv[2]), Spool(sys.argv[3], 'run'));"
        "print(r.accepted, round(peak_megabytes()))"
    )

    command = [sys.executable, "-c", code, str(path), str(pipeline), str(tmp_path / "spools")]
    here = Path(__file__).parents[2]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, cwd=here).stdout

    accepted, megabytes = map(int, output.split())
    assert accepted == 1200
    assert megabytes < 350


# -- columns as a whole ------------------------------------------------------------------------------------------------

WHOLE = """
name: test
columns:
  email: {type: str}
  phone: {type: str, optional: true}
  price: {type: decimal, optional: true}
request: {method: METHOD, url: "http://127.0.0.1:9/", json: {mail: "{email}", phone: "{phone}", price: "{price}"}}
limit: {name: test, requests: 7, window_seconds: 1}
"""


def noticed(folder: Path, text: str, *, method: str = "POST") -> CheckResult:
    (folder / "whole.yaml").write_text(WHOLE.replace("METHOD", method))
    (folder / "rows.csv").write_text(text)
    return check_file(folder / "rows.csv", load(folder / "whole.yaml"))


@pytest.mark.parametrize("proof", ["3.001,01", "12,5", "1.234.567", "0,125", " -7.000,5 ", "12,3456"])
def test_a_number_that_may_mean_thousands_is_rejected_where_its_column_shows_that_points_stand_between_them(
    tmp_path: Path, proof: str
) -> None:
    result = noticed(tmp_path, f"email;price\na;3.000\nb;{proof}\nc;1.234\nd;12.5\ne;999\nf;\n")

    words = (
        f"may mean thousands: {proof.strip()} at line 3 shows that points stand between thousands in this column; "
        "write it without such points, and with a point as the decimal sign"
    )
    assert [(item.row, item.reasons) for item in result.samples] == [
        (1, (Reason("price", words, "3.000"),)),
        (2, (Reason("price", "must be a decimal number such as 12.50", proof),)),
        (3, (Reason("price", words, "1.234"),)),
    ]
    assert [row.values["price"] for row in result.first] == [Decimal("12.5"), 999, None]


def test_a_column_whose_writing_shows_only_later_is_not_half_read(tmp_path: Path) -> None:
    rows = "".join("b;12.50\n" for _ in range(20_000))

    with pytest.raises(BadFile, match=r"rows.csv: column price is written in two ways: 3,5 at line 20003 shows .* so"):
        noticed(tmp_path, f"email;price\na;3.000\n{rows}c;3,5\n")
    later = noticed(tmp_path, f"email;price\na;3,5\n{rows}c;3.000\n")

    assert [(item.row, item.reasons[0].value) for item in later.samples] == [(1, "3,5"), (20_002, "3.000")]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["3.000", "999"], "1 of its numbers has three digits behind the point (3.000 at line 2)"),
        (["17", "3.000", "1.23", "-1.234"], ""),
        (["17", "3.000", "-1.234"], "2 of its numbers have three digits behind the point (3.000 at line 3)"),
        (["3.000", "12.5"], ""),
        (["3.000", "0.125"], ""),
        (["3.000", "1234.500"], ""),
        (["0.125", "17"], ""),
    ],
)  # fmt: skip
def test_numbers_that_may_all_mean_thousands_are_noticed(tmp_path: Path, cells: list[str], said: str) -> None:
    result = noticed(tmp_path, "email;phone;price\n" + "".join(f"a;1;{cell}\n" for cell in cells))

    assert result.rejected == 0
    assert [text.partition(". They go out")[0] for text in result.notices] == (
        [f"column price: {said}"] if said else []
    )


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["\\N", "x", "NULL"], "column phone: 2 cells hold a word for no value (\\N, first at line 2); it goes out as"),
        (["null"], "column phone: 1 cell holds a word for no value (null, at line 2); it goes out as this text"),
        (["x", "a\u00a0", "\u200b"], "column phone: 2 cells hold characters that are not seen: a no-break space "
         "(U+00A0), first at line 3. trim: true takes those at the ends off"),
        (["x", "ab\ufeffc"], "column phone: 1 cell holds a character that is not seen: a byte order mark, which has no "
         "width (U+FEFF), at line 3."),
        (["12\u00a0000", "\u200d"], ""),
        (["E+12", "1E+", "x4E+12", "nullable", "Null", "NULL ", "N", "#REF"], ""),
    ],
)  # fmt: skip
def test_texts_that_once_were_something_else_are_noticed(tmp_path: Path, cells: list[str], said: str) -> None:
    result = noticed(tmp_path, "email;phone;price\n" + "".join(f"a;{cell};1\n" for cell in cells))

    assert result.accepted == len(cells)
    assert len(result.notices) == bool(said)
    assert all(text.startswith(said) for text in result.notices)


def test_columns_that_are_missing_or_empty_are_noticed_where_null_goes_out(tmp_path: Path) -> None:
    absent = noticed(tmp_path, "Email;Telephone\na;1\n")
    posted = noticed(tmp_path, "email;phone;price\na;;1\nb; ;\n")
    patched = noticed(tmp_path, "email;phone;price\na;;1\nb;;\n", method="PATCH")

    assert absent.remarks == [
        "Columns that the pipeline does not use: Telephone",
        "phone is missing in the file: null goes out in every row",
        "price is missing in the file: null goes out in every row",
    ]
    assert posted.remarks == []
    assert patched.notices == (
        "column phone: 2 cells are empty (first at line 2): null goes out, which a PATCH may store as it is",
        "column price: 1 cell is empty (at line 3): null goes out, which a PATCH may store as it is",
    )


@pytest.mark.parametrize(
    ("empty", "absent", "wiped"),
    [
        ("null", "null goes out", ["column price: 1 cell is empty (at line 2): null goes out, which a PUT may store"]),
        ("text", "an empty text goes out",
         ["column price: 1 cell is empty (at line 2): an empty text goes out, which a PUT may store"]),
        ("omit", "it is left out", []),
    ],
)  # fmt: skip
def test_what_is_noticed_of_empty_cells_is_what_becomes_of_them(
    tmp_path: Path, empty: str, absent: str, wiped: list[str]
) -> None:
    result = noticed(tmp_path, "email;price\na;\n", method=f"PUT, empty: {empty}")

    missing, *others = result.notices
    assert missing == f"phone is missing in the file: {absent} in every row"
    assert [said.removesuffix(" as it is") for said in others] == wiped


def test_notices_without_number_are_told_shortly(tmp_path: Path) -> None:
    names = [f"c{at}" for at in range(30)]
    (tmp_path / "many.yaml").write_text(
        "name: test\ncolumns:\n" + "".join(f"  {name}: {{type: str, optional: true}}\n" for name in names)
        + "request: {url: 'http://127.0.0.1:9/'}\nlimit: {name: test, requests: 7, window_seconds: 1}\n"
    )  # fmt: skip
    (tmp_path / "rows.csv").write_text("c0,c1\n1,2\n")

    result = check_file(tmp_path / "rows.csv", load(tmp_path / "many.yaml"))

    assert len(result.notices) == 28
    assert result.remarks[-2:] == [result.notices[19], "… and 8 more such notices"]


@pytest.mark.parametrize(
    ("key", "when", "method", "said"),
    [
        ("", "find.found", "POST", True),
        ("key: [title]\n", "find.found", "POST", False),
        ("", "", "POST", False),
        ("", "find.found", "GET", False),
    ],
)
def test_a_write_on_a_condition_without_a_key_is_noticed(
    tmp_path: Path, key: str, when: str, method: str, said: bool
) -> None:
    (tmp_path / "p.yaml").write_text(
        f"name: p\n{key}columns: {{title: {{type: str}}}}\nlimit: {{name: p, in_flight: 1}}\nsteps:\n"
        "  - {name: find, request: {method: GET, url: 'http://127.0.0.1/{title}'}, keep: {found: id}}\n"
        f"  - {{name: create, {f'when: {when}, ' if when else ''}request: {{method: {method}, url: 'http://127.0.0.1'}}}}\n"
    )
    (tmp_path / "rows.csv").write_text("title\na\n")
    result = check_file(tmp_path / "rows.csv", load(tmp_path / "p.yaml"))

    assert [text.startswith("create: a step that writes on a condition") for text in result.notices] == [True] * said


@pytest.mark.parametrize("poll", [False, True])
def test_accepted_rows_that_nobody_asks_about_are_noticed(tmp_path: Path, poll: bool) -> None:
    asks = "poll: {request: {method: GET, url: 'http://127.0.0.1/{job}'}, answers: [{status: 200, means: done}]}\n"
    (tmp_path / "p.yaml").write_text(
        "name: p\ncolumns: {title: {type: str}}\nlimit: {name: p, in_flight: 1}\n"
        "request: {url: 'http://127.0.0.1'}\nresponse: {keep: {job: id}}\n"
        "answers: [{status: 202, means: accepted}]\n" + (asks if poll else "")
    )
    (tmp_path / "rows.csv").write_text("title\na\n")
    result = check_file(tmp_path / "rows.csv", load(tmp_path / "p.yaml"))

    assert [text for text in result.notices if "accepted for ever" in text] == [
        "a rule means accepted, and without `poll` nobody asks the API what became of such rows: they stay accepted"
        " for ever"
    ] * (not poll)


@pytest.mark.parametrize(
    ("last", "said"),
    [("Summe;3", True), (" Total: ;3", True), ("Итого;3", True), ("Totals Ltd;3", False), (";3", False)],
)
def test_a_last_row_that_reads_like_a_total_is_told_of_and_sent_unless_somebody_says_more(
    tmp_path: Path, last: str, said: bool
) -> None:
    (tmp_path / "own.yaml").write_text(
        PIPELINE.replace("userId: {type: int, min: 1, unique: true}", "userId: {type: int}")
    )
    (tmp_path / "rows.csv").write_text(f"title;userId\na;1\nTotal;2\n{last}\n")

    result = check_file(tmp_path / "rows.csv", load(tmp_path / "own.yaml"))

    assert result.rows == 3
    told = [each for each in result.notices if "--skip-footer 1" in each]
    assert len(told) == said
    assert all(f"the last row (line 4) begins with {last.split(';')[0].strip()!r}" in each for each in told)
