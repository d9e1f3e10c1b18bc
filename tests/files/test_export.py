"""What comes out of a run: every row once, in order, in every form."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tracemalloc
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from flows.delivery.check import check_file
from flows.errors import FileError
from flows.export.correctable import troubled_csv
from flows.export.forms import FORMS, as_csv, as_json, as_jsonl
from flows.export.layout import layout_of
from flows.export.results import results
from flows.ledger.ledger import Ledger
from flows.ledger.view import View
from flows.pipeline.file_form import said
from flows.pipeline.reading import load
from flows.records import Reason, RowState
from flows.sheet import cell, guarded, neutral, restored
from flows.source.source import open_file
from flows.spool.spool import Spool
from tests.harness.sent import FILE, POSTS, Sent, sent


@pytest.fixture
def posts(redis_url: str, tmp_path: Path) -> Sent:
    """Row 1 done, 3 failed, 5 unknown, 6 waiting; 2 and 4 are rejected."""
    made = sent(redis_url, tmp_path)
    made.end(1, RowState.DONE, status=201, postId=101, tags=["a"])
    made.end(3, RowState.FAILED, status=422, reason="the API refused it")
    made.end(5, RowState.UNKNOWN, reason="no answer within 2 s")
    return made


def read_csv(parts: object, encoding: str = "utf-8-sig") -> list[list[str]]:
    return list(csv.reader(io.StringIO(b"".join(parts).decode(encoding), newline="")))  # type: ignore[arg-type]


def test_every_row_comes_out_once_in_the_order_of_the_file(posts: Sent) -> None:
    rows = list(results(posts.view, posts.spool, posts.run))

    assert rows == [
        {
            "row": 1, "line": 2, "userId": 1, "title": "first", "price": Decimal("1.50"),
            "result": "done", "postId": 101, "tags": ["a"],
        },
        {
            "row": 2, "line": 3, "userId": "0", "title": "=1+1", "price": "",
            "result": "rejected", "reason": "userId: must be at least 1 (found '0')",
        },
        {
            "row": 3, "line": 4, "userId": 3, "title": "with\nnewline", "price": Decimal("-5"),
            "result": "failed", "status": 422, "reason": "the API refused it",
        },
        {
            "row": 4, "line": 6, "userId": None, "title": None, "price": None,
            "result": "rejected", "reason": rows[3]["reason"],
        },
        {
            "row": 5, "line": 7, "userId": 5, "title": "=cmd|x", "price": None,
            "result": "unknown", "reason": "no answer within 2 s",
        },
        {"row": 6, "line": 8, "userId": 6, "title": "sixth", "price": Decimal("2"), "result": "waiting"},
    ]  # fmt: skip
    assert list(rows[0]) == ["row", "line", "userId", "title", "price", "result", "postId", "tags"]


@pytest.mark.parametrize("states", [[state] for state in RowState] + [[RowState.REJECTED, RowState.FAILED]])
def test_the_rows_of_a_state_are_those_of_the_whole_that_are_in_it(posts: Sent, states: list[RowState]) -> None:
    every = list(results(posts.view, posts.spool, posts.run))

    chosen = list(results(posts.view, posts.spool, posts.run, states=states))

    assert chosen == [row for row in every if row["result"] in states]


def test_few_of_many_rows_are_found_by_themselves(redis_url: str, tmp_path: Path) -> None:
    lines = [f"{n % 50},t{n},," for n in range(1, 2001)]  # every fiftieth has userId 0
    made = sent(redis_url, tmp_path, text="userId,title,price,extra\n" + "\n".join(lines) + "\n")
    for row in (7, 8, 1999):
        made.end(row, RowState.FAILED, status=400, reason="no")

    failed = list(results(made.view, made.spool, made.run, states=[RowState.FAILED]))
    rejected = list(results(made.view, made.spool, made.run, states=[RowState.REJECTED]))

    assert [(row["row"], row["line"], row["title"]) for row in failed] == [
        (7, 8, "t7"),
        (8, 9, "t8"),
        (1999, 2000, "t1999"),
    ]
    assert [row["row"] for row in rejected] == list(range(50, 2001, 50))


def test_json_is_one_object_with_a_row_a_line(posts: Sent) -> None:
    text = b"".join(as_json(results(posts.view, posts.spool, posts.run))).decode()

    assert [row["row"] for row in json.loads(text)["result"]] == [1, 2, 3, 4, 5, 6]
    assert json.loads(text)["result"][0]["price"] == 1.5
    assert '"price":1.50' in text  # the digits as they were
    assert len(text.splitlines()) == 8


def test_json_lines_are_the_same_rows(posts: Sent) -> None:
    lines = b"".join(as_jsonl(results(posts.view, posts.spool, posts.run))).splitlines()

    whole = json.loads(b"".join(as_json(results(posts.view, posts.spool, posts.run))))["result"]
    assert [json.loads(line) for line in lines] == whole


def test_csv_has_every_column_and_no_formula(posts: Sent) -> None:
    header, *rows = read_csv(as_csv(results(posts.view, posts.spool, posts.run), layout_of(posts.view, posts.run)))

    assert header == ["row", "line", "userId", "title", "price", "result", "postId", "tags", "status", "reason"]
    assert rows[0] == ["1", "2", "1", "first", "1.50", "done", "101", '["a"]', "", ""]
    assert rows[1][3] == "'=1+1"
    assert rows[2] == ["3", "4", "3", "with\nnewline", "-5", "failed", "", "", "422", "the API refused it"]
    assert rows[4][3] == "'=cmd|x"


def test_a_run_without_rows_gives_empty_files_of_every_form(redis_url: str, tmp_path: Path) -> None:
    ledger = Ledger(redis.Redis.from_url(redis_url))
    (tmp_path / "posts.yaml").write_text(POSTS)
    ledger.create("run-1", definition=load(tmp_path / "posts.yaml").resolved(), by="test")
    view, spool = View(ledger.client), Spool(str(tmp_path), "run-1")
    run = view.run("run-1")

    made = {form: b"".join(write(results(view, spool, run), layout_of(view, run))) for form, write in FORMS.items()}

    assert json.loads(made["json"]) == {"result": []}
    assert made["jsonl"] == b""
    assert made["csv"].decode("utf-8-sig").splitlines() == [
        "row,line,userId,title,price,result,postId,tags,status,reason"
    ]
    assert b"".join(troubled_csv(view, spool, run)) == b""


def test_troubled_rows_come_back_as_they_stood_in_the_file(posts: Sent) -> None:
    header, *rows = read_csv(troubled_csv(posts.view, posts.spool, posts.run))

    assert header == ["reason (rowrelay)", "userId", "title", "price", "extra"]
    assert rows[0] == ["userId: must be at least 1 (found '0')", "0", "'=1+1", "", "b"]
    assert rows[1] == ["the API refused it", "3", "with\nnewline", "-5", "c"]  # all cells of the file
    assert rows[2][1:] == ["4", "fourth"]  # still ragged: it must not pass for a whole row
    assert len(rows) == 3


def test_troubled_rows_can_be_corrected_and_sent_as_they_are(posts: Sent, tmp_path: Path) -> None:
    header, *rows = read_csv(troubled_csv(posts.view, posts.spool, posts.run))
    rows[0][1] = "2"
    corrected = tmp_path / "corrected.csv"
    with corrected.open("w", newline="") as file:  # without the mark, with semicolons: as a spreadsheet may save it
        csv.writer(file, delimiter=";").writerows([header, *rows])

    result = check_file(corrected, load(tmp_path / "posts.yaml"))

    assert (result.accepted, result.rejected) == (2, 1)
    assert result.first[0].values == {"userId": 2, "title": "=1+1", "price": None}


def test_a_file_given_out_for_correction_holds_no_formula_and_comes_back_with_every_one(
    redis_url: str, tmp_path: Path
) -> None:
    titles = [
        "=1+1",
        "'=1+1",
        "\n=cmd()",
        "＝HYPERLINK()",
        "@SUM(A1)",
        "-2+3",
        "-5",
        "plain",
        "'quoted'",
        "\t=1",
        " +1",
    ]
    text = io.StringIO()
    csv.writer(text).writerows([["userId", "title", "=price"], *([0, title, "+1+1"] for title in titles)])
    yaml = POSTS.replace("  price: {type: decimal, optional: true}", '  "=price": {type: str}')
    made = sent(redis_url, tmp_path, text=text.getvalue(), yaml=yaml)

    given_out = b"".join(troubled_csv(made.view, made.spool, made.run))

    assert given_out.startswith(b"\xef\xbb\xbf")  # Excel takes it for UTF-8
    table = read_csv([given_out])
    assert [cell for row in table for cell in row if cell[:1] in tuple("=+@＝\t\n")] == []
    corrected = tmp_path / "corrected.csv"
    corrected.write_bytes(given_out.replace(b",0,", b",1,"))
    result = check_file(corrected, load(tmp_path / "posts.yaml"))
    assert (result.accepted, result.rejected) == (len(titles), 0)
    assert [row.values["title"] for row in result.first] == titles[:10]
    assert {row.values["=price"] for row in result.first} == {"+1+1"}


ASKED = "begins with an apostrophe: is it part of the text, or a guard against spreadsheets to be taken away?"


def test_in_a_file_of_others_nobody_guesses_what_an_apostrophe_is(tmp_path: Path) -> None:
    (tmp_path / "posts.yaml").write_text(POSTS)
    own = tmp_path / "own.csv"
    own.write_text("reason,userId,title,price\nx,1,'=1+1,\ny,'2,'00124,\nz,3,'quoted',\n'=1,4,rock 'n' roll,\n")
    definition = load(tmp_path / "posts.yaml")

    asked = check_file(own, definition)
    kept = check_file(own, definition, said=said(apostrophes="keep"))
    removed = check_file(own, definition, said=said(apostrophes="remove"))

    assert [row.values["title"] for row in asked.first] == ["'quoted'", "rock 'n' roll"]
    assert [(each.row, each.line, each.reasons) for each in asked.samples] == [
        (1, 2, (Reason("title", ASKED, "'=1+1"),)),
        (2, 3, (Reason("userId", ASKED, "'2"), Reason("title", ASKED, "'00124"))),
    ]
    assert asked.rows == asked.accepted + asked.rejected == 4
    assert asked.notices == (
        "3 cells begin with an apostrophe that may only guard them against spreadsheets (the first in line 3): '2. Say "
        "what is meant: --apostrophes keep, or --apostrophes remove (in a definition source: {apostrophes: remove})",
    )
    assert [row.values["title"] for row in kept.first] == ["'=1+1", "'quoted'", "rock 'n' roll"]
    assert [row.values for row in removed.first][:2] == [
        {"userId": 1, "title": "=1+1", "price": None},
        {"userId": 2, "title": "00124", "price": None},
    ]
    for word, result in (("keep", kept), ("remove", removed)):
        (tmp_path / "posts.yaml").write_text(POSTS + f"source: {{apostrophes: {word}}}\n")
        assert check_file(own, load(tmp_path / "posts.yaml")).first == result.first


@pytest.mark.parametrize("change", ["moved", "gone", "others"])
def test_a_corrected_file_comes_back_right_or_asks_however_its_columns_were_handled(
    posts: Sent, tmp_path: Path, change: str
) -> None:
    header, *rows = read_csv(troubled_csv(posts.view, posts.spool, posts.run))
    order = {"moved": [1, 2, 3, 4, 0], "gone": [1, 2, 3, 4], "others": [3, 2, 1, 0]}[change]
    rows[0][1] = "2"
    corrected = tmp_path / "corrected.csv"
    with corrected.open("w", newline="") as file:
        csv.writer(file).writerows([row[at] for at in order] for row in [header, *rows[:2]])

    result = check_file(corrected, load(tmp_path / "posts.yaml"))

    titles = [row.values["title"] for row in result.first]
    assert "reason (rowrelay)" not in result.ignored
    if change == "gone":
        assert (titles, result.samples[0].reasons) == (["with\nnewline"], (Reason("title", ASKED, "'=1+1"),))
        assert len(check_file(corrected, load(tmp_path / "posts.yaml"), said=said(apostrophes="remove")).first) == 2
    else:
        assert titles == ["=1+1", "with\nnewline"]


def test_results_are_input_for_the_next_pipeline(posts: Sent, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(b"".join(as_csv(results(posts.view, posts.spool, posts.run), layout_of(posts.view, posts.run))))
    (tmp_path / "next.yaml").write_text(POSTS.replace("{type: int, min: 1}", "{type: int, min: 0}"))

    result = check_file(path, load(tmp_path / "next.yaml"))

    assert [row.values["title"] for row in result.first] == ["first", "=1+1", "with\nnewline", "=cmd|x", "sixth"]


CHANGED_BY_SPREADSHEETS = [
    "00124", "+4930123456", "4006381333931123456", "400638133393", "2024-01-31", "31.01.2024", "1/2", "10:30", "1E5",
    "1.50", "3,5", "-0.5", ".5", "5 ", " 5", "50%", "$5", "5 €", "1 000", "1'000", "(5)", "2024-01-31T13:45:31+01:00",
    "10:30 PM", "MARCH1", "SEP-2", "5 Mai 2024", "true", "FALSCH",
]  # fmt: skip
LEFT_ALONE = [
    "5", "-5", "0", "98101", "40063813339", "", "plain", "A1", "Z-2", "T-1", "E5", "5 pieces", "12 Main Street", "x-1",
    "truely",
]  # fmt: skip


def test_what_a_spreadsheet_would_change_is_guarded_in_a_file_to_be_corrected(redis_url: str, tmp_path: Path) -> None:
    texts = [*CHANGED_BY_SPREADSHEETS, *(f"'{text}" for text in CHANGED_BY_SPREADSHEETS), *LEFT_ALONE]
    text = io.StringIO()
    csv.writer(text).writerows([["userId", "title", "price", "note"], *([0, each, "", each] for each in texts)])
    yaml = POSTS.replace("title: {type: str, blank: false}", "title: {type: str}")
    made = sent(redis_url, tmp_path, text=text.getvalue(), yaml=yaml)

    given_out = b"".join(troubled_csv(made.view, made.spool, made.run))

    _, *rows = read_csv([given_out])
    assert [row[2] for row in rows] == [row[4] for row in rows]
    assert [row[2] for row in rows] == [
        *(f"'{each}" for each in CHANGED_BY_SPREADSHEETS),
        *(f"''{each}" for each in CHANGED_BY_SPREADSHEETS),
        *LEFT_ALONE,
    ]
    (tmp_path / "corrected.csv").write_bytes(given_out.replace(b",0,", b",1,"))
    with open_file(tmp_path / "corrected.csv", {"userId": False, "title": False}) as source:
        assert [cells[2] for frame in source.frames() for cells in frame.cells] == texts


def test_a_code_that_begins_with_a_letter_of_times_comes_back_with_an_apostrophe_and_without() -> None:
    for text in ("Z-2", "'Z-2", "''Z-2", "T-1", "'E5"):
        assert restored(guarded(text)) == text
    assert guarded("Z-2") == "Z-2"
    assert restored("'Z-2") == "Z-2"  # as earlier versions wrote it


SAVED = [
    "00124", "+4930123456", "4006381333931123456", "2024-01-31", "1E5", "=1+1", "'=1+1", "1.50", "-2 Grad", "true"
]  # fmt: skip
FIXTURES = Path(__file__).with_name("spreadsheets")


@pytest.mark.parametrize("saved", sorted(path.name for path in FIXTURES.glob("*.csv")))
def test_a_file_that_a_spreadsheet_opened_and_saved_comes_back_with_every_text(tmp_path: Path, saved: str) -> None:
    """`given-out.csv` is what `troubled_csv` made; the others are what LibreOffice saved of it."""
    (tmp_path / "posts.yaml").write_text(POSTS.replace("price: {type: decimal, optional: true}", "code: {type: str}"))

    result = check_file(FIXTURES / saved, load(tmp_path / "posts.yaml"))

    assert result.rejected == 0
    assert result.notices == ()
    values = [row.values for row in result.first]
    assert [row["title"] for row in values] == SAVED
    assert [row["code"] for row in values] == SAVED


def test_troubled_rows_of_a_troubled_file_have_one_reason(redis_url: str, tmp_path: Path) -> None:
    made = sent(redis_url, tmp_path, text="reason (rowrelay),userId,title,price\nold,0,a,\nold,1,b,\nold,2\n")
    made.end(2, RowState.FAILED, status=500)

    table = read_csv(troubled_csv(made.view, made.spool, made.run))

    assert table[0] == ["reason (rowrelay)", "userId", "title", "price"]
    assert table[1][1:] == ["0", "a", ""]
    assert table[2] == ["HTTP 500", "1", "b", ""]
    assert table[3][1:] == ["2"]


def test_what_goes_out_has_the_delimiter_of_what_came_in(redis_url: str, tmp_path: Path) -> None:
    made = sent(redis_url, tmp_path, text="note;userId;title;price\na,b;0;x;\nc;1;y;\n")
    made.end(2, RowState.FAILED, status=422, reason="no")
    results_csv = as_csv(results(made.view, made.spool, made.run), layout_of(made.view, made.run))

    to_correct = b"".join(troubled_csv(made.view, made.spool, made.run)).decode("utf-8-sig").splitlines()

    assert to_correct[0] == "reason (rowrelay);note;userId;title;price"
    assert to_correct[2] == "no;c;1;y;"
    assert b"".join(results_csv).decode("utf-8-sig").splitlines()[0].startswith("row;line;userId;title;price;result;")


def test_a_tab_that_the_definition_names_separates_what_goes_out(redis_url: str, tmp_path: Path) -> None:
    yaml = POSTS + "source: {delimiter: tab}\n"
    made = sent(redis_url, tmp_path, text="userId\ttitle\tprice\n0\tx\t\n", yaml=yaml)
    made.ledger.client.hdel("rowrelay:run:{run-1}", "delimiter")  # as long as the check goes on

    raw = b"".join(as_csv(results(made.view, made.spool, made.run), layout_of(made.view, made.run)))

    assert raw.decode("utf-8-sig").startswith("row\tline\tuserId\t")


def test_rows_of_a_spool_that_kept_no_unused_cells_come_back_without_them(redis_url: str, tmp_path: Path) -> None:
    made = sent(redis_url, tmp_path, text=FILE)
    made.end(3, RowState.FAILED, reason="no")
    for path in (tmp_path / "spool" / "run-1").glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.select(table.column_names[:-1]), path)
    manifest = made.spool.manifest()
    parts = tuple(
        msgspec.structs.replace(
            part, sha256=hashlib.sha256((tmp_path / "spool" / "run-1" / part.name).read_bytes()).hexdigest()
        )
        for part in manifest.parts
    )
    (tmp_path / "spool" / "run-1" / "manifest.json").write_bytes(
        msgspec.json.encode(msgspec.structs.replace(manifest, parts=parts))
    )

    rows = read_csv(troubled_csv(made.view, Spool(str(tmp_path / "spool"), "run-1"), made.run))

    assert rows[2] == ["no", "3", "with\nnewline", "-5", ""]


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_troubled_rows_are_written_as_the_definition_reads(redis_url: str, tmp_path: Path, encoding: str) -> None:
    yaml = POSTS + f'source: {{encoding: {encoding}, delimiter: ";"}}\n'
    made = sent(redis_url, tmp_path, text="userId;title;price\n0;süß;\n1;ok;\n", yaml=yaml, encoding=encoding)

    raw = b"".join(troubled_csv(made.view, made.spool, made.run))

    (tmp_path / "again.csv").write_bytes(raw)
    assert check_file(tmp_path / "again.csv", load(tmp_path / "posts.yaml")).samples[0].cells[1:] == ("0", "süß", "")


def test_columns_named_like_ours_keep_their_values_under_another_name(redis_url: str, tmp_path: Path) -> None:
    yaml = POSTS.replace("title:", "result:").replace("price:", "reason:")
    made = sent(redis_url, tmp_path, text="userId,result,reason\n1,mine,2\n0,x,3\n", yaml=yaml)

    done, rejected = results(made.view, made.spool, made.run)

    assert (done["result"], done["result_"], done["reason_"]) == ("waiting", "mine", Decimal(2))
    assert (rejected["result"], rejected["result_"], rejected["reason_"]) == ("rejected", "x", "3")
    assert read_csv(troubled_csv(made.view, made.spool, made.run))[0] == [
        "reason (rowrelay)",
        "userId",
        "result",
        "reason",
    ]


def test_a_lost_spool_is_an_error_that_says_so(posts: Sent) -> None:
    posts.spool.delete()

    with pytest.raises(FileError, match="the spool of this run is gone"):
        list(results(posts.view, posts.spool, posts.run))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"), ("+cmd", "'+cmd"), ("-2+3", "'-2+3"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"), ("-5", "-5"), ("+4.5e3", "+4.5e3"), ("-.5", "-.5"), ("plain", "plain"), ("", ""),
        ("'=1", "''=1"), ("'quoted'", "'quoted'"), ("a=1", "a=1"), ("-٣", "'-٣"), ("\n=1+1", "'\n=1+1"),
        ("\r\n=1", "'\r\n=1"), (" \t=1", "' \t=1"), ("＝1+1", "'＝1+1"), ("＋1", "'＋1"),
        ("－1", "'－1"), ("＠x", "'＠x"),
        ("\u00a0=1", "'\u00a0=1"), ("\nplain", "'\nplain"), (" plain", " plain"),
    ],
)  # fmt: skip
def test_a_formula_gets_an_apostrophe_and_a_number_does_not(text: str, shown: str) -> None:
    assert neutral(text) == shown


@given(st.text(alphabet="'=+-@\t\r\n＝＋－＠1.5eA ", max_size=8))
def test_neutral_text_can_always_be_restored(text: str) -> None:
    assert restored(neutral(text)) == text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (True, "true"), (-5, "-5"), (Decimal("-1.50"), "-1.50"), ({"a": [1]}, '{"a":[1]}'), ("=x", "'=x")],
)
def test_a_value_is_written_so_that_it_reads_as_the_same(value: object, shown: str) -> None:
    assert cell(value) == shown


@pytest.mark.slow
def test_memory_stays_flat_however_many_rows_there_are(redis_url: str, tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        (folder := tmp_path / str(rows)).mkdir()
        redis.Redis.from_url(redis_url).flushall()
        text = "userId,title,price\n" + "".join(f"{n},title {n},1.5\n" for n in range(1, rows + 1))
        made = sent(redis_url, folder, text=text)
        run = made.run
        tracemalloc.start()
        try:
            assert sum(part.count(b"\n") for part in as_jsonl(results(made.view, made.spool, run))) == rows
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(30_000) < peak(10_000) + 1e6


def test_a_list_of_rejected_rows_that_lacks_one_is_named(tmp_path: Path, redis_url: str) -> None:
    made = sent(redis_url, tmp_path)
    rejections = next((tmp_path / "spool" / "run-1").glob("*-rejections.jsonl"))
    rejections.write_bytes(b"".join(rejections.read_bytes().splitlines(keepends=True)[:-1]))

    with pytest.raises(FileError, match=r"spool/run-1: the list of rejected rows of this run lacks row 4"):
        list(results(made.view, made.spool, made.run))


WRITTEN = """
name: posts
columns:
  price: {type: decimal, decimal: ",", group: "."}
  day:   {type: date, format: DD.MM.YYYY, from: [Tag]}
  sent:  {type: bool, map: {Ja: true, Nein: false}}
  tags:  {type: list, split: "|"}
request: {url: "http://127.0.0.1:1/posts"}
limit: {name: a, requests: 7, window_seconds: 1}
"""


def test_a_value_goes_out_to_be_corrected_as_its_column_reads_it(redis_url: str, tmp_path: Path) -> None:
    text = "price;Tag;sent;tags\n1.234,50;01.02.2026;Ja;a|b\n1,234;31.12.2026;Nein;c\n1.23;1;?;\n"
    made = sent(redis_url, tmp_path, text=text, yaml=WRITTEN)
    made.end(1, RowState.FAILED, reason="no")
    made.end(2, RowState.FAILED, reason="no")

    raw = b"".join(troubled_csv(made.view, made.spool, made.run))
    (tmp_path / "again.csv").write_bytes(raw)
    again = check_file(tmp_path / "again.csv", load(tmp_path / "posts.yaml"))

    assert read_csv([raw.replace(b";", b",")])[0] == ["reason (rowrelay)", "price", "Tag", "sent", "tags"]
    assert [row.values for row in again.first] == [
        {"price": Decimal("1234.50"), "day": date(2026, 2, 1), "sent": True, "tags": ["a", "b"]},
        {"price": Decimal("1.234"), "day": date(2026, 12, 31), "sent": False, "tags": ["c"]},
    ]
    assert (again.accepted, again.rejected) == (2, 1)


def test_results_are_typed_in_json_and_in_csv_as_their_columns_read_them(redis_url: str, tmp_path: Path) -> None:
    text = "price;Tag;sent;tags\n1,234;31.12.2026;Nein;a|b\n1.23;1;?;\n"
    made = sent(redis_url, tmp_path, text=text, yaml=WRITTEN)
    found = list(results(made.view, made.spool, made.run))

    assert json.loads(b"".join(as_json(found)))["result"][0] == {
        "row": 1, "line": 2, "price": 1.234, "day": "2026-12-31", "sent": False, "tags": ["a", "b"],
        "result": "waiting",
    }  # fmt: skip
    first, second = b"".join(as_csv(found, layout_of(made.view, made.run))).decode().splitlines()[1:]
    assert first == "1;2;1,234;31.12.2026;Nein;a|b;waiting;;"
    assert second.startswith("2;3;1.23;1;?;;rejected;;")


def test_rows_of_a_file_whose_columns_were_named_by_a_person_come_out_in_their_columns(
    redis_url: str, tmp_path: Path
) -> None:
    made = sent(redis_url, tmp_path, text="Nr,title,price\n1,a,\n0,b,\n", mapping={"Nr": "userId"})
    made.end(1, RowState.FAILED, reason="no")

    rows = list(results(made.view, made.spool, made.run))

    assert [(row["userId"], row["title"], row["result"]) for row in rows] == [
        (1, "a", "failed"),
        ("0", "b", "rejected"),
    ]
    assert read_csv(troubled_csv(made.view, made.spool, made.run)) == [
        ["reason (rowrelay)", "Nr", "title", "price"],
        ["no", "1", "a", ""],
        ["userId: must be at least 1 (found '0')", "0", "b", ""],
    ]
