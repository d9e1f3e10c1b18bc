"""What a kind of file costs beside CSV: `python -m bench.kinds ROWS KIND`, e.g. 1000000 xlsx.

Checks a file of ROWS × 10 columns of that kind, and the same rows as CSV, each in a process of its own; then 10,000
rows. Prints both times, how they compare, and how much more memory the many rows take than the few.
"""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

NAMES = ("id", "name", "email", "price", "qty", "born", "active", "city", "note", "code")
FEW = 10_000
DEFINITION = """\
name: kinds
columns:
  id: {type: int}
  name: {type: str}
  email: {type: str}
  price: {type: decimal}
  qty: {type: int}
  born: {type: date}
  active: {type: bool}
  city: {type: str}
  note: {type: str}
  code: {type: str}
request: {method: POST, url: "https://api.example.invalid/rows", json: {id: "{id}"}}
limit: {name: kinds, requests: 1, window_seconds: 1}
"""
_FIRST_DAY, _ZERO = date(1970, 1, 1), date(1899, 12, 30)
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_ODS = "urn:oasis:names:tc:opendocument:xmlns"


def rows(count: int) -> Iterator[tuple[Any, ...]]:
    for at in range(1, count + 1):
        day = _FIRST_DAY + timedelta(days=at % 15_000)
        price = f"{at % 100_000 // 100}.{at % 100:02}".rstrip("0").rstrip(".")
        yield (
            at, f"Person {at}", f"p{at}@example.com", price, at % 50, day, at % 2 == 1, f"City {at % 500}",
            f"note {at % 1000}", f"{at:08}",
        )  # fmt: skip


def _csv(path: Path, count: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(NAMES)
        writer.writerows((*row[:6], "true" if row[6] else "false", *row[7:]) for row in rows(count))


def _xlsx(path: Path, count: int) -> None:
    """As Excel writes it: texts stand once in a part of their own, and cells name them by number."""
    cities, notes, names = 500, 1000, len(NAMES)
    first = names + cities + notes
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
        book.writestr("[Content_Types].xml", "<Types/>")
        book.writestr(
            "_rels/.rels",
            f'<Relationships><Relationship Id="r" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
            "</Relationships>",
        )
        book.writestr(
            "xl/workbook.xml", '<workbook><sheets><sheet name="Rows" r:id="s" xmlns:r="r"/></sheets></workbook>'
        )
        parts = (("s", "worksheet", "sheet.xml"), ("t", "sharedStrings", "texts.xml"), ("f", "styles", "styles.xml"))
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            "<Relationships>"
            + "".join(f'<Relationship Id="{a}" Type="{_OFFICE}/{b}" Target="{c}"/>' for a, b, c in parts)
            + "</Relationships>",
        )
        book.writestr(
            "xl/styles.xml", '<styleSheet><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>'
        )
        with book.open("xl/texts.xml", "w", force_zip64=True) as part:
            texts = [*NAMES, *(f"City {at}" for at in range(cities)), *(f"note {at}" for at in range(notes))]
            part.write(("<sst>" + "".join(f"<si><t>{text}</t></si>" for text in texts)).encode())
            for row in rows(count):
                part.write("".join(f"<si><t>{row[at]}</t></si>" for at in (1, 2, 9)).encode())
            part.write(b"</sst>")
        with book.open("xl/sheet.xml", "w", force_zip64=True) as part:
            head = "".join(f'<c r="{chr(65 + at)}1" t="s"><v>{at}</v></c>' for at in range(names))
            part.write(f'<worksheet><sheetData><row r="1">{head}</row>'.encode())
            for at, row in enumerate(rows(count)):
                n, own = at + 2, first + 3 * at
                day, city, note = (row[5] - _ZERO).days, names + row[0] % cities, names + cities + row[0] % notes
                part.write(
                    f'<row r="{n}" spans="1:10"><c r="A{n}"><v>{row[0]}</v></c><c r="B{n}" t="s"><v>{own}</v></c>'
                    f'<c r="C{n}" t="s"><v>{own + 1}</v></c><c r="D{n}"><v>{row[3]}</v></c>'
                    f'<c r="E{n}"><v>{row[4]}</v></c>'
                    f'<c r="F{n}" s="1"><v>{day}</v></c><c r="G{n}" t="b"><v>{int(row[6])}</v></c>'
                    f'<c r="H{n}" t="s"><v>{city}</v></c>'
                    f'<c r="I{n}" t="s"><v>{note}</v></c>'
                    f'<c r="J{n}" t="s"><v>{own + 2}</v></c></row>'.encode()
                )
            part.write(b"</sheetData></worksheet>")


def _ods(path: Path, count: int) -> None:
    def text(value: str) -> str:
        return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'

    def number(value: object) -> str:
        return f'<table:table-cell office:value-type="float" office:value="{value}"/>'

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
        book.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        with book.open("content.xml", "w", force_zip64=True) as part:
            spaces = " ".join(f'xmlns:{name}="{_ODS}:{name}:1.0"' for name in ("office", "table", "text"))
            part.write(f'<office:document-content {spaces}><table:table table:name="Rows"><table:table-row>'.encode())
            part.write(("".join(map(text, NAMES)) + "</table:table-row>").encode())
            for row in rows(count):
                day = f'<table:table-cell office:value-type="date" office:date-value="{row[5]}"/>'
                truth = f'<table:table-cell office:value-type="boolean" office:boolean-value="{str(row[6]).lower()}"/>'
                cells = (number(row[0]), text(row[1]), text(row[2]), number(row[3]), number(row[4]), day, truth)
                part.write(f"<table:table-row>{''.join(cells)}{''.join(map(text, row[7:]))}</table:table-row>".encode())
            part.write(b"</table:table></office:document-content>")


def _xls(path: Path, count: int) -> None:
    import xlwt

    book = xlwt.Workbook()
    sheet, day = book.add_sheet("Rows"), xlwt.easyxf(num_format_str="yyyy-mm-dd")
    for at, name in enumerate(NAMES):
        sheet.write(0, at, name)
    for at, row in enumerate(rows(count), start=1):
        for column, value in enumerate((*row[:3], float(row[3]), *row[4:])):
            sheet.write(at, column, value, day if column == 5 else xlwt.Style.default_style)
    book.save(str(path))


def _object(row: tuple[Any, ...]) -> str:
    return json.dumps(dict(zip(NAMES, (*row[:3], float(row[3]), row[4], row[5].isoformat(), *row[6:]), strict=True)))


def _jsonl(path: Path, count: int) -> None:
    with path.open("w") as file:
        for row in rows(count):
            file.write(_object(row) + "\n")


def _json(path: Path, count: int) -> None:
    with path.open("w") as file:
        for at, row in enumerate(rows(count)):
            file.write(("," if at else "[") + _object(row))
        file.write("]")


def _parquet(path: Path, count: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer, left = None, rows(count)
    while some := list(islice(left, 50_000)):
        columns = [list(column) for column in zip(*some, strict=True)]
        columns[3] = [float(price) for price in columns[3]]
        table = pa.table(dict(zip(NAMES, columns, strict=True)))
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


MAKERS: dict[str, Callable[[Path, int], None]] = {
    "csv": _csv, "xlsx": _xlsx, "xls": _xls, "ods": _ods, "json": _json, "jsonl": _jsonl, "parquet": _parquet,
}  # fmt: skip


def _check(file: Path, definition: Path) -> None:
    """Check one file, and print the rows, the seconds and the most memory in MiB."""
    from flows.delivery.check import check_file
    from flows.pipeline.reading import load

    loaded = load(definition)
    begin, spent = time.perf_counter(), time.process_time()
    result = check_file(file, loaded)
    seconds, spent = time.perf_counter() - begin, time.process_time() - spent
    assert result.rejected == 0, result.samples[:3]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": result.rows, "seconds": seconds, "cpu": spent, "peak": peak}))


def main(count: int, kind: str) -> None:
    with tempfile.TemporaryDirectory(prefix="rowrelay-") as made:
        folder = Path(made)
        (folder / "kinds.yaml").write_text(DEFINITION)
        found = {}
        for name, number in (("csv", count), (kind, count), (kind, FEW)):
            path = folder / f"{number}.{name}"
            MAKERS[name](path, number)
            command = [sys.executable, "-m", "bench.kinds", "--check", str(path), str(folder / "kinds.yaml")]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found[name, number] = json.loads(said)
            print(f"{name:8} {number:>9,} rows  {path.stat().st_size >> 20:>5} MiB  ", end="")
            print("{seconds:6.1f} s  {cpu:6.1f} s of CPU  {peak:6.0f} MiB at most".format(**found[name, number]))
            path.unlink()
        many, few, text = found[kind, count], found[kind, FEW], found["csv", count]
        time_of, cpu_of = many["seconds"] / text["seconds"], many["cpu"] / text["cpu"]
        print(f"{kind}: {time_of:.1f} × the time of CSV, {cpu_of:.1f} × its CPU,", end=" ")
        print(f"{many['peak'] - few['peak']:.0f} MiB more than {FEW:,} rows")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        _check(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, sys.argv[2] if len(sys.argv) > 2 else "xlsx")
