"""What kind of file it is, by what is in it; its name alone says nothing."""

from __future__ import annotations

import re
import zipfile

from flows.pipeline.file_form import WORDS
from flows.source.body import Body
from flows.source.encoding import MARKS
from flows.source.json_records import decode
from flows.source.zipped import UNPACK

AS_CSV = "Open it in the program it was made with and save it as CSV (UTF-8)."
AS_XLSX = "Open it in Excel and save it as .xlsx."
FOREIGN = (
    (b"SQLite format 3\0", "a SQLite database, not CSV", AS_CSV),
    (b"%PDF", "a PDF document, not CSV", AS_CSV),
    (b"\x89PNG", "a picture, not CSV", AS_CSV),
    (b"\xff\xd8\xff", "a picture, not CSV", AS_CSV),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"\x7fELF", "a program, not CSV", AS_CSV),
)
WEB_PAGE = (b"<!doctype html", b"<html")
ZIP = b"PK\x03\x04"
OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
LOCKED = "EncryptedPackage".encode("utf-16-le")  # a stream of the old kind of file, in which a workbook is locked
PARQUET, PARQUET_LOCKED = b"PAR1", b"PARE"
_LIST = re.compile(r'\[\s*(?:[\[\]{"]|-?\d|(?:true|false|null)\b)')
_OBJECT = re.compile(r'\{\s*["}]')
_SHEET_MIME = b"application/vnd.oasis.opendocument.spreadsheet"


def kind_of(body: Body, asked: str | None) -> str:
    """The kind of a file, as flows.pipeline.file_form names them. `asked`: what it was said to be.

    Raises FileError for what is no file of rows, and for a file that is not what it was said to be.
    """
    found = _found(body)
    if asked in (None, found):
        return found
    if asked in _TEXTS and found in _TEXTS:
        return asked
    raise body.refuse(f"is {WORDS[found]}, and was said to be {WORDS[asked]}", hint="Leave kind out, or mend it.")


_TEXTS = ("csv", "json", "jsonl")


def _found(body: Body) -> str:
    head = body.head
    if head.startswith(ZIP):
        return _in_zip(body)
    if head.startswith(OFFICE):
        return _in_office(body)
    if head.startswith(PARQUET_LOCKED):
        raise body.refuse("is an encrypted Parquet file", hint="Write it without encryption.")
    if head.startswith(PARQUET):
        return "parquet"
    _refuse_foreign(body, head)
    return _text(head)


def _text(head: bytes) -> str:
    """Of a text file what it is written in."""
    for mark, codec, _ in MARKS:
        if head.startswith(mark):
            text = head[len(mark) :].decode(codec, errors="ignore").lstrip()
            break
    else:
        text = head.decode(errors="ignore").lstrip()
    if _LIST.match(text):
        return "json"
    return _of_objects(text) if _OBJECT.match(text) else "csv"


def _of_objects(text: str) -> str:
    """Of a text that begins with a JSON object: whether each line is one, or all of it is."""
    lines = text.split("\n", 20)
    for line in lines[:20]:
        try:
            record = decode(line) if line.startswith("{") else None
        except ValueError:
            continue
        if record is not None and (any(map(str.strip, lines[1:])) or not _has_list(record)):
            return "jsonl"
    return "json"


def _has_list(value: object) -> bool:
    """Whether a list of objects is in an object, or in one of those in it."""
    if isinstance(value, dict):
        return any(map(_has_list, value.values()))
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _in_zip(body: Body) -> str:
    """What a ZIP file holds."""
    try:
        with zipfile.ZipFile(body.seekable()) as archive:
            names = set(archive.namelist())
            mime = archive.read("mimetype")[:100] if "mimetype" in names else b""
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as exc:
        raise body.refuse("is damaged, or cut off", hint="Copy or download it again.") from exc
    if "xl/workbook.bin" in names:
        raise body.refuse("is a binary workbook (.xlsb), which is not read", hint=AS_XLSX)
    if "[Content_Types].xml" in names and any(name.startswith("xl/") for name in names):
        return "xlsx"
    if mime.startswith(_SHEET_MIME):
        return "ods"
    if "[Content_Types].xml" in names or mime:
        raise body.refuse("is an Office document, but no workbook", hint=AS_CSV)
    raise body.refuse("is packed twice: there is ZIP in it", hint="Unpack it once.")


def _in_office(body: Body) -> str:
    """What a file holds of the kind that Office wrote before 2007."""
    if LOCKED in body.head or LOCKED in _end(body):
        raise body.refuse("is protected by a password", hint="Take the password away in Excel, and save it again.")
    return "xls"


def _end(body: Body) -> bytes:
    file = body.seekable()
    file.seek(max(0, file.seek(0, 2) - (1 << 20)))
    return file.read()


def _refuse_foreign(body: Body, head: bytes) -> None:
    if head[257:262] == b"ustar":
        raise body.refuse("is a tar archive", hint=UNPACK)
    if head[:64].lstrip().lower().startswith(WEB_PAGE):
        raise body.refuse("is a web page, not CSV", hint="The download may have needed a login.")
    if re.match(rb'\s*<\?xml[^>]*>\s*<\?mso-application progid="Excel.Sheet"', head[:500]):
        raise body.refuse("is a workbook as XML (Excel 2003), which is not read", hint=AS_XLSX)
    for magic, what, hint in FOREIGN:
        if head.startswith(magic):
            raise body.refuse(f"is {what}", hint=hint)
