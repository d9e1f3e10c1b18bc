"""Whatever is in a workbook: rows and rejections that add up, or one refusal in words; never a crash or a flood."""

from __future__ import annotations

import io
import random
import zipfile
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.errors import FileError
from flows.source.source import open_file
from tests.harness.examples import examples
from tests.harness.workbooks import MAKERS, raw_xlsx

ROWS = [["id", "name", "born"], *([at, f"Name {at % 7} & co", date(2024, 1, 1 + at % 28)] for at in range(40))]


def bounded(most: int) -> settings:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(max_examples=examples(most), derandomize=True, database=None, suppress_health_check=checks)


@cache
def sound(kind: str, folder: Path) -> bytes:
    return MAKERS[kind](folder / f"sound.{kind}", {"Data": ROWS}).read_bytes()


def judged(path: Path, max_bytes: int = 1 << 24) -> int | None:
    """How many rows it has; None where it was refused, in words."""
    try:
        with open_file(path, max_bytes=max_bytes) as source:
            rows = [
                row
                for frame in source.frames()
                for row in (*frame.rows.tolist(), *(each.row for each in frame.rejections))
            ]
    except FileError as exc:
        return None if str(exc).startswith(str(path)) else -1
    assert sorted(rows) == list(range(1, len(rows) + 1))
    return len(rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("kind", list(MAKERS))
@bounded(150)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 8), cut=st.booleans())
def test_damaged_bytes(kind: str, seed: int, count: int, cut: bool, folder: Path) -> None:
    data, chance = bytearray(sound(kind, folder)), random.Random(seed)
    for _ in range(count):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path = folder / f"damaged.{kind}"
    path.write_bytes(data[: chance.randrange(1, len(data))] if cut else data)

    judged(path)


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
@bounded(250)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 6))
def test_damaged_parts_that_unpack(kind: str, seed: int, count: int, folder: Path) -> None:
    chance = random.Random(seed)
    with zipfile.ZipFile(io.BytesIO(sound(kind, folder))) as archive:
        parts = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    for _ in range(count):
        part = parts[chance.choice(sorted(parts))]
        at = chance.randrange(len(part)) if part else 0
        act = chance.randrange(4)
        if act == 0 and part:
            part[at] = chance.choice(b'<>/"&;= \\0\\n1A')
        elif act == 1:
            del part[at : at + chance.randrange(1, 40)]
        elif act == 2:
            part[at:at] = part[chance.randrange(len(part) or 1) :][: chance.randrange(1, 80)]
        else:
            part[at:at] = chance.choice((b"<!-- x -->", b"&amp;", b"<c/>", b"<row/>", b"-1", b"99999999", b"E+9999"))
    path = folder / f"parts.{kind}"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, bytes(data))

    judged(path)


BILLION = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'
)


def test_an_entity_bomb_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(raw_xlsx('<row r="1"><c r="A1"><v>1</v></c></row>'))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name in ("xl/sheet.xml", "xl/workbook.xml", "xl/styles.xml"):
        path = tmp_path / "bomb.xlsx"
        with zipfile.ZipFile(path, "w") as archive:
            for each, data in parts.items():
                archive.writestr(each, BILLION.encode() + data if each == name else data)

        with (
            pytest.raises(FileError, match="declares a document type or entities, which no workbook does"),
            open_file(path) as source,
        ):
            list(source.frames())


def test_a_sheet_that_unpacks_without_measure_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    rows = '<row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c></row>'
    path.write_bytes(raw_xlsx(rows + f'<row r="2"><c r="A2" t="str"><v>{"x" * (80 << 20)}</v></c></row>'))

    with pytest.raises(FileError, match="unpacks to more than 250 times its size"), open_file(path) as source:
        list(source.frames())
    with pytest.raises(FileError, match="holds more than the 1,000,000 bytes that are allowed"):
        judged_with(path, 1_000_000)


def judged_with(path: Path, max_bytes: int) -> None:
    with open_file(path, max_bytes=max_bytes) as source:
        list(source.frames())


def test_rows_that_are_repeated_without_measure_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.ods"
    string = 'office:value-type="string" table:number-columns-repeated="9999"'
    cell = f"<table:table-cell {string}><text:p>xxxxxxxxxx</text:p></table:table-cell>"
    spaces = 'xmlns:table="t" xmlns:office="o" xmlns:text="x"'
    rows = f"<table:table-row>{cell}</table:table-row>"
    rows += f'<table:table-row table:number-rows-repeated="1000000">{cell}</table:table-row>'
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", f'<c {spaces}><table:table table:name="T">{rows}</table:table></c>')

    with pytest.raises(FileError, match="holds more than the 16,777,216 bytes that are allowed, with repeated rows"):
        judged_with(path, 1 << 24)


def test_workbooks_with_a_password_are_refused(tmp_path: Path) -> None:
    locked = tmp_path / "locked.xlsx"
    locked.write_bytes(
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000) + "EncryptedPackage".encode("utf-16-le") + bytes(500)
    )
    ods = tmp_path / "locked.ods"
    with zipfile.ZipFile(ods, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest:encryption-data/>")
        archive.writestr("content.xml", "x")

    for path in (locked, ods):
        with pytest.raises(FileError, match="is protected by a password"), open_file(path):
            pass
