"""Files become frames of rows with true line numbers; what is no readable file is refused in plain words."""

from __future__ import annotations

import csv
import gzip
import io
import os
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.errors import FileError, UnclearEncoding
from flows.pipeline.file_form import FileForm, said
from flows.records import Reading, Rejection
from flows.source.source import Source, open_file
from tests.harness.examples import examples

WANTED = {"userId": False, "title": False, "body": False}
HEADER = b"userId,title,body\n"
GOOD = HEADER + b"1,a,b\n2,c,d\n"

Rows = list[tuple[int, int, list[str]]]


def opened(path: Path, wanted: dict[str, bool] | None, **how: Any) -> Source:
    """`how`: what `open_file` takes, and keys of `source` in a definition."""
    keys = {key: how.pop(key) for key in list(how) if key in FileForm.model_fields}
    return open_file(path, wanted, form=said(**keys), **how)


def read(
    path: Path, wanted: dict[str, bool] | None = WANTED, size: int = 20_000, **how: object
) -> tuple[Rows, list[Rejection]]:
    rows: Rows = []
    rejections: list[Rejection] = []
    with opened(path, wanted, **how) as source:
        for frame in source.frames(size):
            assert len(frame.text) == len(frame.rows) == len(frame.lines) == len(frame.cells)
            assert len(frame.text) + len(frame.rejections) <= size
            cells = frame.text.astype(object).to_numpy().tolist()
            rows += zip(frame.rows.tolist(), frame.lines.tolist(), cells, strict=True)
            rejections += frame.rejections
    return rows, rejections


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def make(data: bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return make


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


def damaged(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 255]) + data[len(data) // 2 + 1 :]


COLUMNS = "its columns are not those of the pipeline (userId, title, body). "
ONCE = "Each column of the pipeline must be there once: mend the first line, or name the pipeline it belongs to."
SAVE = "Open it in the program it was made with and save it as CSV (UTF-8)."
UNPACK = "Unpack it first. Of packed files .gz, .bz2, .xz, .zst are read, and .zip with one file in it."
FIRST_LINE = "The first line must name the columns, the rows follow."
NAME = "Use one character, such as , or ; or tab."
COMMON = "Common ones: utf-8, cp1252, utf-16."
LARGE = "holds more than the 200,000 bytes that are allowed\nSplit it, or raise ROWRELAY_MAX_UPLOAD_BYTES."
UNCERTAIN = (
    "a quote stands where none may be, so that it is not certain where this record ends\n"
    "Quote the whole cell and double the quotes in it."
)
BAD_FILES = [
    ("empty.csv", b"", {}, f": is empty\n{FIRST_LINE}"),
    ("mark.csv", b"\xef\xbb\xbf", {}, f": holds nothing but blanks or zeros\n{FIRST_LINE}"),
    ("blank.csv", b"\n \r\n\n", {}, f": holds nothing but blanks or zeros\n{FIRST_LINE}"),
    ("zeros.csv", bytes(5000), {}, f": holds nothing but blanks or zeros\n{FIRST_LINE}"),
    ("header.csv", HEADER, {}, ": has a header but no rows\nPut the rows below the first line."),
    ("header2.csv", HEADER.strip() + b"\n\n  \n", {}, ": has a header but no rows\nPut the rows below the first line."),
    ("missing.csv", b"userId,title\n1,a\n", {}, f": {COLUMNS}missing: body\n{ONCE}"),
    (
        "slip.csv",
        b"userId,titel,body\n1,a,b\n",
        {},
        f": {COLUMNS}missing: title; unknown: titel\n"
        "title may be \"titel\": --map 'titel=title', or from: [titel] in the definition",
    ),
    ("twice.csv", b"userId,title,body,title\n1,a,b,c\n", {}, f": {COLUMNS}more than once: title\n{ONCE}"),
    (
        "twice2.csv",
        b"userId,title,body, TITLE\n1,a,b,c\n",
        {},
        f": {COLUMNS}more than once: title (as 'title' and as ' TITLE')\n{ONCE}",
    ),
    (
        "no_header.csv",
        b"1,Hello,World\n2,a,b\n",
        {},
        f": {COLUMNS}missing: userId, title, body; unknown: 1, Hello, World\n"
        "The first line must name the columns; found '1,Hello,World'.",
    ),
    (
        "colons.csv",
        b"userId:title:body\n1:a:b\n",
        {},
        f": {COLUMNS}missing: userId, title, body; unknown: userId:title:body\n"
        "The first line is one cell: 'userId:title:body'. Is the delimiter neither of , ; tab |? Then name it.",
    ),
    (
        "rows.json",
        b'[{"userId": 1}]',
        {},
        ": its columns are not those of the pipeline (userId, title, body). missing: title, body\n"
        "Its columns: userId. Each column of the pipeline must be there once.",
    ),
    ("delimiter.csv", GOOD, {"delimiter": "ab"}, f": 'ab' cannot separate cells\n{NAME}"),
    ("delimiter2.csv", GOOD, {"delimiter": '"'}, f": '\"' cannot separate cells\n{NAME}"),
    (
        "head.csv",
        b'userId,"title,body\n1,a,b\n',
        {},
        ":1: the column names cannot be read: a quote is misplaced or not closed",
    ),
    (
        "open.csv",
        HEADER + b'1,a,b\n2,"c,d\n3,e,f\n',
        {},
        ":3: a quote opens a cell here and is not closed by the end of the file\n"
        "Close it, or double it if it is part of the text.",
    ),
    (
        "open2.csv",
        HEADER + b'1,"' + b"x,y\n" * 300_000,
        {},
        ":2: a quote opens a cell here and is not closed by 1,048,576 characters on\n"
        "Close it, or double it if it is part of the text.",
    ),
    ("open3.csv", HEADER + b'1,a,b\n2,"c,d\n3,"e",f\n', {}, f":3: {UNCERTAIN}"),
    ("odd.csv", HEADER + b'1,"a"b",c\n', {}, f":2: {UNCERTAIN}"),
    ("padded.csv", HEADER + b'1, "a\nb",c\n', {}, f":2: {UNCERTAIN}"),
    (
        "line.csv",
        HEADER + b"1,a," + b"b," * 9_000_000,
        {},
        ":2: a record here is longer than 16,777,216 characters\nIs this a CSV file?",
    ),
    (
        "western.csv",
        HEADER + b"1,a,b\n" + "2,Müller,b\n".encode("cp1252"),
        {},
        ":3: is not valid utf-8: byte 0xFC\nEncodings that would fit there: cp1252 ('2,Müller,b'), "
        "cp1251 ('2,Mьller,b'), cp1253 ('2,Mόller,b'). "
        "Name the one that reads right with --encoding, or save the file as UTF-8.",
    ),
    (
        "cut.csv",
        HEADER + "1,a,ü".encode()[:-1],
        {},
        ":2: is cut off: it ends within a character\nCopy or download it again.",
    ),
    (
        "nomark.csv",
        GOOD.decode().encode("utf-16-le"),
        {},
        ": looks like UTF-16 without a byte order mark, or is binary\nIf it is text, ask for the encoding utf-16-le.",
    ),
    (
        "order.csv",
        GOOD.decode().encode("utf-16-be"),
        {"encoding": "utf-16"},
        ": has no byte order mark, so utf-16 does not say in which order its bytes come\n"
        "Ask for utf-16-le or utf-16-be.",
    ),
    ("name.csv", GOOD, {"encoding": "klingon"}, f": 'klingon' is no encoding that is known here\n{COMMON}"),
    ("rot.csv", GOOD, {"encoding": "rot13"}, f": 'rot13' is no encoding of text files\n{COMMON}"),
    (
        "clash.csv",
        b"\xef\xbb\xbf" + GOOD,
        {"encoding": "cp1252"},
        ": begins with the mark of utf-8, but cp1252 was asked for\nLeave the encoding out.",
    ),
    ("program.csv", bytes(range(256)) * 9, {}, ": is a binary file, not text\nSave it as CSV (UTF-8)."),
    ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(99), {}, f": is a picture, not CSV\n{SAVE}"),
    ("document.csv", b"%PDF-1.7\n", {}, f": is a PDF document, not CSV\n{SAVE}"),
    ("page.csv", b"<!DOCTYPE html><html>", {}, ": is a web page, not CSV\nThe download may have needed a login."),
    (
        "book.xlsx",
        zipped("[Content_Types].xml", "xl/workbook.xml"),
        {},
        ": is damaged: syntax error: line 1, column 0\nCopy it again, or save it anew.",
    ),
    (
        "book.xls",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99),
        {},
        ": is damaged, or no workbook of Excel\nOpen it in Excel, and save it as .xlsx.",
    ),
    ("rows.7z", b"7z\xbc\xaf\x27\x1c" + bytes(99), {}, f": is a 7-Zip archive\n{UNPACK}"),
    ("cut.gz", gzip.compress(GOOD)[:-12], {}, ": is cut off: its packed data has no end\nCopy or download it again."),
    ("tail.gz", gzip.compress(GOOD) + b"more", {}, ": has other data behind its packed part\nPack it again."),
    ("twice.gz", gzip.compress(gzip.compress(GOOD)), {}, ": is packed twice: there is gzip in it\nUnpack it once."),
    ("nothing.gz", gzip.compress(b""), {}, ": is packed, but there is nothing in it"),
    (
        "bomb.gz",
        lambda: gzip.compress(HEADER + (b"1,a," + b"b" * 2000 + b"\n") * 34_000),
        {},
        ": unpacks to more than 250 times its size, which no file of rows does\n"
        "If it is meant to be so, unpack it first.",
    ),
    ("large.csv", HEADER + b"1,a,b\n" * 50_000, {"max_bytes": 200_000}, f": {LARGE}"),
    ("large.gz", gzip.compress(HEADER + b"1,a,b\n" * 50_000), {"max_bytes": 200_000}, f": {LARGE}"),
]


@pytest.mark.parametrize(("name", "data", "how", "message"), BAD_FILES, ids=[case[0] for case in BAD_FILES])
def test_a_bad_file_is_refused_with_a_clear_message(
    file: Callable[..., Path], name: str, data: bytes | Callable[[], bytes], how: dict[str, object], message: str
) -> None:
    path = file(data() if callable(data) else data, name)

    with pytest.raises(FileError) as refusal:
        read(path, **how)

    assert str(refusal.value) == f"{path}{message}"


def test_damaged_packed_data_is_refused(file: Callable[..., Path]) -> None:
    packed = gzip.compress(HEADER + b"".join(b"%d,a,b\n" % row for row in range(9000)))
    for data in (damaged(packed), packed[:-8] + b"\0\0\0\0" + packed[-4:]):
        with pytest.raises(FileError, match="is damaged: its packed data does not unpack"):
            read(file(data, "rows.csv.gz"))


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        for name, message in {
            "": "is a folder, not a file of rows\nName one file in it.",
            "pipe": "is a named pipe, not a file of rows",
            "socket": "is a socket, not a file of rows",
            "loop": "is a link that leads back to itself",
            "none.csv": "there is no such file",
            "n" * 300: "is a name that is too long",
        }.items():
            with pytest.raises(FileError) as refusal:
                open_file(tmp_path / name, WANTED)
            assert str(refusal.value) == f"{tmp_path / name}: {message}"
    with pytest.raises(FileError, match="is a device, not a file of rows"):
        open_file("/dev/zero", WANTED)
    with pytest.raises(FileError, match="is not a possible file name"):
        open_file("a\0b", WANTED)


def test_a_file_without_permission_is_refused(file: Callable[..., Path]) -> None:
    path = file(GOOD)
    path.chmod(0)
    for folder in list(path.parents)[:3]:
        folder.chmod(0o755)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(FileError, match=r"may not be read: permission denied"):
            open_file(path, WANTED)
    finally:
        os.seteuid(was)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.open("ab").write(b"3,e,f\n"), "grew while it was being read"),
        (lambda path: os.truncate(path, 3_000_000), "changed its size while it was being read"),
        (lambda path: os.utime(path, ns=(1, 1)), "was written to while it was being read"),
        (lambda path: path.unlink(), "was moved or deleted while it was being read"),
        (
            lambda path: (path.with_name("new").write_bytes(GOOD), path.with_name("new").replace(path)),
            "was replaced while",
        ),
    ],
    ids=["grown", "cut", "rewritten", "deleted", "replaced"],
)
def test_a_file_that_changes_while_it_is_read_is_refused(
    file: Callable[..., Path], change: Callable[[Path], object], message: str
) -> None:
    path = file(HEADER + (b"1,a," + b"b" * 595 + b"\n") * 6000)

    with open_file(path, WANTED) as source:
        frames = source.frames(1000)
        next(frames)
        change(path)
        with pytest.raises(FileError, match=message) as refusal:
            list(frames)

    assert refusal.value.hint == "Wait until it is complete, then start again."


ROWS = [(1, 2, ["1", "Zürich", "b"]), (2, 3, ["2", "c,;\t|", 'say "d"'])]
TEXT = 'userId,title,body\n1,Zürich,b\n2,"c,;\t|","say ""d"""\n'


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        TEXT.rstrip("\n").encode(),
        TEXT.encode() + b"\n\r\n   \n",
        TEXT.encode() + b"\x1a",
        gzip.compress(TEXT.encode()),
        gzip.compress(TEXT[:7].encode()) + gzip.compress(TEXT[7:].encode()) + bytes(512),
        TEXT.replace("userId,title,body", " USERID ,Title,body\t").encode(),
    ],
    ids=["utf8", "mark", "utf16", "utf16be", "utf32", "crlf", "cr", "open", "blanks", "eof", "gz", "members", "case"],
)  # fmt: skip
def test_the_same_rows_are_read_however_they_are_written(file: Callable[..., Path], data: bytes) -> None:
    assert read(file(data)) == (ROWS, [])


@pytest.mark.parametrize(
    ("delimiter", "word"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar"), ("^", "^")]
)
def test_the_delimiter_is_found_or_given(file: Callable[..., Path], delimiter: str, word: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows([list(WANTED), *(row[2] for row in ROWS)])
    path = file(buffer.getvalue().encode())

    assert read(path, delimiter=word) == (ROWS, [])
    if delimiter != "^":
        assert read(path) == (ROWS, [])


def test_excels_separator_line_is_obeyed_and_counted(file: Callable[..., Path]) -> None:
    assert read(file(b"sep=^\r\nuserId^title^body\r\n1^a^b\r\n")) == ([(1, 3, ["1", "a", "b"])], [])


def test_another_encoding_is_read_if_it_is_named(file: Callable[..., Path]) -> None:
    assert read(file(TEXT.encode("cp1252")), encoding="Windows-1252") == (ROWS, [])


def test_lines_are_true_after_quoted_newlines_and_blank_lines(file: Callable[..., Path]) -> None:
    data = b'\n\nuserId,title,body\n1,"a\nb\r\nc",d\n\n \n2,e,"\n"\n3,f,g\n'

    rows, rejections = read(file(data))

    assert [(row, line) for row, line, _ in rows] == [(1, 4), (4, 9), (5, 11)]
    assert rows[0][2][1] == "a\nb\r\nc"
    assert [(each.row, each.line, str(each.reasons[0])) for each in rejections] == [
        (2, 7, "is a blank line"),
        (3, 8, "is a blank line"),
    ]


def test_a_broken_record_is_rejected_alone_with_its_line_and_text(file: Callable[..., Path]) -> None:
    stray = "a quote stands where none may be: quote the whole cell and double the quotes in it"
    broken = {
        b"2,a": ("has 2 cells, the header has 3", ("2", "a")),
        b"3": ("has 1 cell, the header has 3", ("3",)),
        b"4,a,b,c": ("has 4 cells, the header has 3", ("4", "a", "b", "c")),
        b"5,a\0b,c": ("holds a NUL character", ("5", "a\0b", "c")),
        b'6,"a"b,c': (stray, ('6,"a"b,c',)),
        b'7,x "a,b"': (stray, ('7,x "a,b"',)),
        b'8,5" pipe,b': (stray, ('8,5" pipe,b',)),
        b"9,a\rb,c": ("holds a carriage return outside quotes", ("9,a\rb,c",)),
        b",,": ("has no content: every cell is empty", ("", "", "")),
        b"10,a," + b"x" * 1_100_000: ("has a cell of more than 1,048,576 characters", None),
    }

    rows, rejections = read(file(HEADER + b"".join(b'0,a,b\n%s\n1,"c\nd",e\n' % each for each in broken)))

    assert [row[2] for row in rows] == [["0", "a", "b"], ["1", "c\nd", "e"]] * len(broken)
    assert [each.row for each in rejections] == list(range(2, 30, 3))
    assert [each.line for each in rejections] == list(range(3, 43, 4))
    for rejection, (reason, cells) in zip(rejections, broken.values(), strict=True):
        assert str(rejection.reasons[0]) == reason
        assert cells is None or rejection.cells == cells


def test_a_record_that_goes_on_in_the_next_block_is_read_whole(file: Callable[..., Path]) -> None:
    text = "long\n" * 50_000
    data = HEADER + (b"1,a," + b"b" * 595 + b"\n") * 1400 + f'2,"{text}","{text}"\n'.encode() + b"3,c,d\n"

    rows, rejections = read(file(data))

    assert not rejections
    assert rows[1400] == (1401, 1402, ["2", text, text])
    assert rows[1401] == (1402, 101_403, ["3", "c", "d"])


def test_columns_may_stand_in_any_order_and_others_are_listed_as_ignored(file: Callable[..., Path]) -> None:
    path = file(b"body,note,userId,title,\nb,n,1,a,\n")

    with open_file(path, WANTED) as source:
        assert (source.columns, source.ignored) == (("body", "note", "userId", "title", ""), ("note", ""))
        frame = next(source.frames())

    assert frame.text.to_dict("records") == [{"userId": "1", "title": "a", "body": "b"}]
    assert frame.cells == [["b", "n", "1", "a", ""]]


def test_an_optional_column_may_be_missing_but_not_misspelt(file: Callable[..., Path]) -> None:
    wanted = WANTED | {"comment": True}

    assert read(file(GOOD), wanted)[0] == [(1, 2, ["1", "a", "b", ""]), (2, 3, ["2", "c", "d", ""])]
    with pytest.raises(FileError) as refusal:
        read(file(b"userId,title,body,coment\n1,a,b,c\n"), wanted)
    assert refusal.value.message.endswith("missing, though optional: comment; unknown: coment")


def test_without_wanted_columns_all_are_read(file: Callable[..., Path]) -> None:
    assert read(file(b"a;b\n1;2\n"), None) == ([(1, 2, ["1", "2"])], [])


def test_in_a_file_of_one_column_quotes_alone_are_an_empty_cell(file: Callable[..., Path]) -> None:
    rows, rejections = read(file(b'title\na\n""\n \n\nb\n'), {"title": False})

    assert [cells for _, _, cells in rows] == [["a"], [""], ["b"]]
    assert [(each.line, str(each.reasons[0])) for each in rejections] == [
        (4, "is a blank line"),
        (5, "is a blank line"),
    ]


def told(path: Path, **how: object) -> tuple[list[list[str]], list[tuple[int, int, str]], tuple[str, ...]]:
    """The cells of the rows, the rejections as (row, line, reason), and what is said of the file as a whole."""
    with opened(path, WANTED, **how) as source:
        frames = list(source.frames())
        rejections = [each for frame in frames for each in frame.rejections]
        return (
            [cells for frame in frames for cells in frame.cells],
            [(each.row, each.line, str(each.reasons[0])) for each in rejections],
            source.notices,
        )


AGAIN = "is the header line again: were two files joined?"


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("again", [HEADER.strip(), b"USERID, title ,Body", b'"userId","title","body"'])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["bare", "marked"])
def test_a_second_header_is_rejected_and_the_rows_below_it_are_read(
    file: Callable[..., Path], mark: bytes, again: bytes, newline: bytes
) -> None:
    data = newline.join([mark + HEADER.strip(), b"1,a,b", mark + again, b"2,c,d", mark + b'"3","e\nf",g', b""])

    rows, rejections, notices = told(file(data))

    assert rows == [["1", "a", "b"], ["2", "c", "d"], ["3", "e\nf", "g"]]
    assert rejections == [(2, 3, AGAIN)]
    marked = "2 lines begin with a byte order mark (the first in line 3), which was taken off. Were files joined?"
    assert notices == ((marked,) if mark else ())


def test_a_mark_is_taken_off_the_row_that_it_stands_before(file: Callable[..., Path]) -> None:
    joined = HEADER + b"1,a,b\n\xef\xbb\xbf2,c,\xef\xbb\xbfd\n"

    rows, rejections, notices = told(file(joined))

    assert rows == [["1", "a", "b"], ["2", "c", "\ufeffd"]]  # what stands within a row is part of it
    assert rejections == []
    assert notices == ("1 line begins with a byte order mark (line 3), which was taken off. Were files joined?",)


def test_a_second_header_in_another_order_ends_the_reading(file: Callable[..., Path]) -> None:
    with pytest.raises(FileError) as refusal:
        read(file(HEADER + b"1,a,b\ntitle,userId,body\na,1,b\n"))

    assert refusal.value.line == 3
    assert refusal.value.message.endswith("the header line comes again here, with its columns in another order")
    assert refusal.value.hint == "Files were joined here. Send them one by one."


NOTHING = {
    "delimiters": (b",,", "has no content: every cell is empty"),
    "too few": (b",", "has no content: every cell is empty"),
    "blanks": (b" , ,\t", "has no content: nothing but blanks"),
    "unseen": ("\u00a0,\u200b,\u3000\ufeff\u2060".encode(), "has no content: nothing but blanks"),
    "psql": (b"--------+-------+------", "has no content: a line of dashes"),
    "markdown": (b"|---|:--:|---|", "has no content: a line of dashes"),
    "sqlcmd": (b"------,-----,----", "has no content: a line of dashes"),
    "mysql": (b"+--------+-------+------+", "has no content: a line of dashes"),
    "drawn": ("────,─────,────".encode(), "has no content: a line of dashes"),
}


@pytest.mark.parametrize(("record", "reason"), NOTHING.values(), ids=NOTHING)
def test_a_row_without_content_is_rejected_in_the_middle_and_passed_over_at_the_end(
    file: Callable[..., Path], record: bytes, reason: str
) -> None:
    lines = [HEADER.strip(), record, b"1,a,b", record, b"", record, b"2,c,d"]
    at_the_end = [record] * 30 + [b""] + [record] * 20 + [b""]

    rows, rejections, notices = told(file(b"\n".join(lines + at_the_end)))

    assert rows == [["1", "a", "b"], ["2", "c", "d"]]
    assert rejections == [(1, 2, reason), (3, 4, reason), (4, 5, "is a blank line"), (5, 6, reason)]
    assert notices == ("50 rows without content at the end of the file were passed over (the first in line 8)",)


def test_a_dash_or_a_colon_for_a_value_is_content(file: Callable[..., Path]) -> None:
    values = [b"-,-,-", b"--,x,--", b"=,a,b", b"|,a,b"]

    rows, rejections, _ = told(file(HEADER + b"\n".join(values)), delimiter=",")

    assert [",".join(cells).encode() for cells in rows] == values
    assert rejections == []


def test_ever_new_rows_without_content_at_the_end_take_no_memory_without_measure(file: Callable[..., Path]) -> None:
    path = file(HEADER + b"1,a,b\n" + b",,\n\n" * 3000)

    _, rejections, notices = told(path)

    assert len(rejections) + int(notices[0].split()[0].replace(",", "")) >= 3000
    assert [row for row, _, _ in rejections] == list(range(2, len(rejections) + 2))
    assert [line for _, line, _ in rejections] == list(range(3, len(rejections) + 3))


def test_a_formula_that_keeps_a_text_is_that_text(file: Callable[..., Path]) -> None:
    lines = ['1,="00123",b', '2,"=""00125""","c', 'd"', '="3",="a,b ""c""",=""', '4,="x"y,b', '5,=A1,"=""x""&A1"']
    data = HEADER + "\n".join(lines).encode()

    rows, rejections, notices = told(file(data))

    assert rows == [
        ["1", "00123", "b"],
        ["2", "00125", "c\nd"],
        ["3", 'a,b "c"', ""],
        ["5", "=A1", '="x"&A1'],
    ]
    assert [line for _, line, _ in rejections] == [6]
    assert notices == (
        '5 cells are formulas that keep a text as it is (the first in line 2); the text was read: ="00123"',
    )


@pytest.mark.parametrize(
    ("asked", "text", "byte", "fits"),
    [
        ("iso-8859-1", "Preis 5 € – „Zitat“", "0x80", "cp1252"),
        ("latin-1", "Preis 5 €", "0x80", "cp1252"),
        ("iso-8859-15", "Preis – 5", "0x96", "cp1252"),
        ("iso-8859-2", "Łódź śledź €", "0x9F", "cp1250"),
        ("iso-8859-5", "Привет „мир“ – €", "0x84", "cp1251"),
    ],
)
def test_text_of_windows_is_not_read_as_iso_8859(
    file: Callable[..., Path], asked: str, text: str, byte: str, fits: str
) -> None:
    path = file(HEADER + b"1,a,b\n2," + text.encode(fits) + b",b\n")

    with pytest.raises(FileError) as refusal:
        read(path, encoding=asked)

    assert refusal.value.line == 3
    assert f"byte {byte}" in refusal.value.message
    assert f"Encodings that would fit there: {fits} (" in refusal.value.hint
    assert read(path, encoding=fits)[0][1][2][1] == text


NAMES = "Иванов Пётр,Москва"


@pytest.mark.parametrize("encoding", ["cp1251", "cp866", "koi8-r"])
def test_the_encodings_of_cyrillic_files_are_proposed_first(file: Callable[..., Path], encoding: str) -> None:
    path = file(HEADER + b"1,a,b\n" + f"2,{NAMES}\n3,Привет мир,д\n".encode(encoding))

    with pytest.raises(UnclearEncoding) as refusal:
        read(path)

    assert refusal.value.readings[0] == Reading(encoding, ("userId,title,body", f"2,{NAMES}", "3,Привет мир,д"))
    assert f"Encodings that would fit there: {encoding} (" in refusal.value.hint
    assert read(path, encoding=encoding)[0][1][2] == ["2", *NAMES.split(",")]


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    [f"{NAMES},имя\nПетрова Анна,Тула,б\n", "имя;город\r\n" * 30_000, "名前,都市\n東京,大阪\n"],
    ids=["quoted", "long", "Japanese"],
)
def test_utf_16_without_a_mark_is_told_from_binary_data(file: Callable[..., Path], order: str, text: str) -> None:
    with pytest.raises(UnclearEncoding) as refusal:
        read(file(text.encode(order)))

    assert refusal.value.hint == f"If it is text, ask for the encoding {order}."
    (reading,) = refusal.value.readings
    assert (reading.encoding, list(reading.lines)) == (order, text.splitlines()[:4])


def test_iso_8859_is_read_where_it_is_that(file: Callable[..., Path]) -> None:
    path = file(HEADER + "1,Zürich\u00a0Łódź,b\n".encode("iso-8859-2", "replace"))

    assert read(path, encoding="iso-8859-2")[0][0][2][1] == "Zürich\u00a0Łódź"


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b'userId,title,body\r1,"one\ntwo",b\r2,c,d\r', [(1, 2, ["1", "one\ntwo", "b"]), (2, 3, ["2", "c", "d"])]),
        (b"userId,title,body\r1,a,b\r2,c,d\r\n", [(1, 2, ["1", "a", "b"]), (2, 3, ["2", "c", "d"])]),
        (b"userId,title,body\r1,a,b\r\n2,c,d\r", [(1, 2, ["1", "a", "b"]), (2, 3, ["2", "c", "d"])]),
        (b'userId,"title",body\r\r1,a,b\r', [(2, 3, ["1", "a", "b"])]),
    ],
    ids=["cell", "end", "middle", "blank"],
)
def test_a_file_of_carriage_returns_may_hold_line_feeds(file: Callable[..., Path], data: bytes, rows: Rows) -> None:
    assert read(file(data))[0] == rows


def test_a_line_feed_in_a_file_of_carriage_returns_is_told_as_what_it_is(file: Callable[..., Path]) -> None:
    rows, rejections, _ = told(file(b"userId,title,body\r1,a\nb,c\r2,c,d\r"))

    assert rows == [["2", "c", "d"]]
    assert rejections == [(1, 2, "holds a line feed outside quotes, and the rows end in carriage returns")]


def test_the_line_of_a_wrong_byte_is_true_in_a_file_of_carriage_returns(file: Callable[..., Path]) -> None:
    with pytest.raises(FileError) as refusal:
        read(file(b'userId,title,body\r1,"a\nb",c\r2,\xff,d\r'))

    assert refusal.value.line == 3


def test_a_long_column_name_is_no_fault(file: Callable[..., Path]) -> None:
    assert read(file(b"userId,title,body," + b"x" * 200_000 + b"\n1,a,b,c\n"))[0] == [(1, 2, ["1", "a", "b"])]


def test_the_delimiter_is_the_one_that_the_rows_have_too(file: Callable[..., Path]) -> None:
    for text, columns in {
        "Name;Amount, EUR;Tax, EUR;Total, EUR\nAnna;5;1;6\nBob;1;2;3\n": (
            "Name",
            "Amount, EUR",
            "Tax, EUR",
            "Total, EUR",
        ),
        "a,b\n1,x;y;z\n": ("a", "b"),
        'note|"a, b, c"\nx, y|"one\ntwo"\n': ("note", "a, b, c"),
        "a;b,c\n": ("a;b", "c"),
    }.items():
        with open_file(file(text.encode())) as source:
            assert source.columns == columns


@pytest.mark.parametrize("seed", [b"a,b\n1,2\n", b"userId,title,body\n1,a,b\n"])
def test_packed_parts_may_be_many_and_tiny(file: Callable[..., Path], seed: bytes) -> None:
    empty = gzip.compress(b"", mtime=0)
    single = b"".join(gzip.compress(seed[at : at + 1]) + empty * (at % 3) + bytes(at % 5) for at in range(len(seed)))

    with open_file(file(single), None) as source:
        assert [cells for frame in source.frames() for cells in frame.cells] == [seed.decode().split()[1].split(",")]


def test_packed_parts_without_content_are_seen_as_progress(file: Callable[..., Path]) -> None:
    seen: list[tuple[int, int]] = []
    path = file(gzip.compress(GOOD) + gzip.compress(b"", mtime=0) * 160_000)

    class Cancelled(Exception):
        pass

    def on_read(done: int, total: int) -> None:
        seen.append((done, total))
        if done > 2 << 20:
            raise Cancelled

    with pytest.raises(Cancelled), open_file(path, WANTED, on_read=on_read) as source:
        list(source.frames())

    assert seen == [(mib << 20, path.stat().st_size) for mib in (2, 3)]


def test_the_digest_is_that_of_the_bytes_on_disk(file: Callable[..., Path]) -> None:
    import hashlib

    packed = gzip.compress(GOOD)
    with open_file(file(packed), WANTED) as source:
        list(source.frames())
        assert source.digest() == hashlib.sha256(packed).hexdigest()
        assert source.bytes_done == source.bytes_total == len(packed)


def test_long_rows_come_in_smaller_frames(file: Callable[..., Path]) -> None:
    path = file(HEADER + b"".join(b"%d,a,%s\n" % (row, b"x" * 500_000) for row in range(80)))

    with open_file(path, WANTED) as source:
        sizes = [len(frame.text) for frame in source.frames()]

    assert sum(sizes) == 80
    assert max(sizes) <= 18


cell = st.text(st.sampled_from('ab,;"\r\n\té \x85\u2028'), max_size=6)


@settings(max_examples=examples(150))
@given(
    st.lists(st.tuples(cell, cell, cell), min_size=1, max_size=40), st.sampled_from(["\n", "\r\n"]), st.integers(1, 7)
)
def test_what_a_csv_writer_writes_is_read_back_with_true_lines(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, str, str]], newline: str, size: int
) -> None:
    records = [(f"x{first}", *rest) for first, *rest in records]
    buffer = io.StringIO(newline="")
    # Before Python 3.13 csv.writer leaves a carriage return unquoted.
    quoting = csv.QUOTE_ALL if any("\r" in "".join(record) for record in records) else csv.QUOTE_MINIMAL
    writer = csv.writer(buffer, lineterminator=newline, quoting=quoting)
    writer.writerow(list(WANTED))
    expected: Rows = []
    for row, record in enumerate(records, start=1):
        expected.append((row, buffer.getvalue().count("\n") + 1, list(record)))
        writer.writerow(record)
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_bytes(buffer.getvalue().encode())

    assert read(path, size=size, delimiter=",") == (expected, [])


@settings(max_examples=examples(200))
@given(st.lists(st.text(st.sampled_from('a1,"\n \0\r'), max_size=9), min_size=1, max_size=12))
def test_no_record_is_lost_or_shifted_however_broken_the_file_is(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[str]
) -> None:
    """Marked good rows among garbage: each is found at its own line, or the file is refused."""
    text = "userId,title,body\n"
    marks = {}
    for number, chunk in enumerate(chunks):
        text += chunk + "\n"
        marks[f"mark{number}"] = text.count("\n") + 1
        text += f"mark{number},t{number},b{number}\n"
    path = tmp_path_factory.mktemp("broken") / "rows.csv"
    path.write_bytes(text.encode())

    try:
        rows, rejections = read(path, delimiter=",")
    except FileError:
        return

    inside = '"'.join(chunks).count('"') and any(chunk.count('"') for chunk in chunks)
    for _, line, cells in rows:
        if cells[0].startswith("mark"):
            assert cells == [cells[0], "t" + cells[0][4:], "b" + cells[0][4:]]
            assert line == marks[cells[0]]
    if not inside:
        assert {cells[0] for _, _, cells in rows} >= set(marks)
    assert sorted([row for row, _, _ in rows] + [each.row for each in rejections]) == list(
        range(1, len(rows) + len(rejections) + 1)
    )
