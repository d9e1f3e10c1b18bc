"""Bad inputs, each with the exact message that a person gets: files, definitions, options."""

# ruff: noqa: E501  a message stands in one piece

from __future__ import annotations

import io
import zipfile

from tests.harness.bad_limits import LIMITS
from tests.harness.workbooks import raw_xlsx

GOOD = "userId,title,body\n1,one,b\n2,two,b\n3,three,b\n"
DEFINITION = """\
name: own
columns:
  id: {type: int}
  title: {type: str}
request: {url: "https://api.example.com/rows"}
limit: {name: own, requests: 7, window_seconds: 1}
"""


def _workbook() -> bytes:
    """What Excel writes, as far as it can be told from other archives."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return packed.getvalue()


def _parts(parts: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return packed.getvalue()


_ODS = "application/vnd.oasis.opendocument.spreadsheet"


def _row(number: int, *cells: str) -> str:
    made = (f'<c r="{letter}{number}" t="str"><v>{cell}</v></c>' for letter, cell in zip("ABCDE", cells, strict=False))
    return f'<row r="{number}">{"".join(made)}</row>'


def _sheets(*names: str, state: str = "visible") -> bytes:
    """A workbook with sheets of these names, which all hold the same."""
    with zipfile.ZipFile(io.BytesIO(raw_xlsx(_row(1, "userId", "title", "body")))) as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    sheets = "".join(f'<sheet name="{name}" state="{state}" r:id="r1"/>' for name in names)
    sheets += '<sheet name="Empty" r:id="r9"/>' if len(names) == 1 else ""
    parts["xl/workbook.xml"] = f'<workbook xmlns:r="r"><sheets>{sheets}</sheets></workbook>'
    return _parts(parts)


def _but(old: str, new: str) -> str:
    """The good definition with one thing changed."""
    assert old in DEFINITION
    return DEFINITION.replace(old, new)


# Name, content (None: there is no such file), what is said of it.
FILES: list[tuple[str, bytes | None, str]] = [
    ("empty.csv", b"", "empty.csv: is empty\nThe first line must name the columns, the rows follow."),
    (
        "blank.csv",
        b"\n\n",
        "blank.csv: holds nothing but blanks or zeros\nThe first line must name the columns, the rows follow.",
    ),
    ("header.csv", b"userId,title,body\n", "header.csv: has a header but no rows\nPut the rows below the first line."),
    ("absent.csv", None, "absent.csv: there is no such file"),
    (".", None, ".: is a folder, not a file of rows\nName one file in it."),
    (
        "book.xlsx",
        _workbook(),
        "book.xlsx: has no sheet",
    ),
    (
        "old.xls",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600,
        "old.xls: is damaged, or no workbook of Excel\nOpen it in Excel, and save it as .xlsx.",
    ),
    (
        "sheets.xlsx",
        _sheets("Orders", "Prices"),
        "sheets.xlsx: has several sheets with content: Orders, Prices\n"
        "Say which one: --sheet Orders (in a definition source: {sheet: Orders}).",
    ),
    (
        "hidden.xlsx",
        _sheets("Orders", state="hidden"),
        "hidden.xlsx: has no visible sheet with content\nIts sheets: Orders. Say which one is meant: --sheet Orders (in a definition source: {sheet: Orders}).",
    ),
    (
        "blank.xlsx",
        raw_xlsx('<row r="1"/><row r="2"><c r="A2"/></row>'),
        "blank.xlsx: has nothing in its rows of sheet 'S' that could name the columns\n"
        "Say which row holds the column names, such as --header-row 3 (in a definition source: {header_row: 3}).",
    ),
    (
        "header.xlsx",
        raw_xlsx(_row(1, "userId", "title", "body")),
        "header.xlsx: has a header but no rows\nPut the rows below the first line.",
    ),
    (
        "merged.xlsx",
        raw_xlsx(
            _row(1, "userId", "title", "body") + _row(2, "1", "a", "b"),
            tail='<mergeCells count="1"><mergeCell ref="B2:C2"/></mergeCells>',
        ),
        "merged.xlsx: has merged cells in sheet 'S': B2:C2\n"
        "Unmerge them, or say --merged fill (in a definition source: {merged: fill}): each of them gets the value that "
        "they show.",
    ),
    (
        "order.xlsx",
        raw_xlsx(_row(1, "userId", "title", "body") + _row(3, "1", "a", "b") + _row(2, "2", "a", "b")),
        "order.xlsx: is damaged: row 2 of a sheet follows row 3\nSave it anew.",
    ),
    (
        "text.xlsx",
        raw_xlsx(_row(1, "userId", "title", "body") + '<row r="2"><c r="A2" t="s"><v>7</v></c></row>'),
        "text.xlsx: is damaged: a cell names a text that is not there\nSave it anew.",
    ),
    (
        "style.xlsx",
        raw_xlsx(_row(1, "userId", "title", "body") + '<row r="2"><c r="A2" s="7"><v>7</v></c></row>'),
        "style.xlsx: is damaged: a cell has a style that is not there\nSave it anew.",
    ),
    (
        "cut.xlsx",
        raw_xlsx(_row(1, "userId", "title", "body"))[:-200],
        "cut.xlsx: is a damaged or incomplete ZIP archive: its list of files cannot be read\n"
        "Copy or download it again.",
    ),
    (
        "binary.xlsb",
        _parts({"[Content_Types].xml": "", "xl/workbook.bin": ""}),
        "binary.xlsb: is a binary workbook (.xlsb), which is not read\nOpen it in Excel and save it as .xlsx.",
    ),
    (
        "letter.docx",
        _parts({"[Content_Types].xml": "", "word/document.xml": ""}),
        "letter.docx: is an Office document, but no workbook\n"
        "Open it in the program it was made with and save it as CSV (UTF-8).",
    ),
    (
        "locked.xlsx",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(900) + "EncryptedPackage".encode("utf-16-le") + bytes(99),
        "locked.xlsx: is protected by a password\nTake the password away in Excel, and save it again.",
    ),
    (
        "locked.ods",
        _parts({"mimetype": _ODS, "META-INF/manifest.xml": "<manifest:encryption-data/>", "content.xml": "x"}),
        "locked.ods: is protected by a password\nTake the password away, and save it again.",
    ),
    (
        "cut.ods",
        _parts({"mimetype": _ODS, "content.xml": "<office:document-content"}),
        "cut.ods: is damaged: unclosed token: line 1, column 0\nCopy it again, or save it anew.",
    ),
    (
        "of2003.xml",
        b'<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n<Workbook/>',
        "of2003.xml: is a workbook as XML (Excel 2003), which is not read\nOpen it in Excel and save it as .xlsx.",
    ),
    ("page.csv", b"<!DOCTYPE html><p>", "page.csv: is a web page, not CSV\nThe download may have needed a login."),
    (
        "rows.json",
        b'[{"userId": 1}]',
        "rows.json: its columns are not those of the pipeline (userId, title, body). missing: title, body\nIts columns: userId. Each column of the pipeline must be there once.",
    ),
    (
        "doc.pdf",
        b"%PDF-1.7\n%\xe2\xe3",
        "doc.pdf: is a PDF document, not CSV\nOpen it in the program it was made with and save it as CSV (UTF-8).",
    ),
    (
        "pic.png",
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 50,
        "pic.png: is a picture, not CSV\nOpen it in the program it was made with and save it as CSV (UTF-8).",
    ),
    (
        "rows.parquet",
        b"PAR1" + b"\x00" * 40,
        "rows.parquet: is a Parquet file that cannot be read: Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file.\nWrite it anew, or save the rows as CSV (UTF-8).",
    ),
    (
        "latin.csv",
        "userId,title,body\n1,a,b\n2,Zürich,b\n".encode("cp1252"),
        "latin.csv:3: is not valid utf-8: byte 0xFC\nEncodings that would fit there: cp1252 ('2,Zürich,b'), cp1251 ('2,Zьrich,b'), cp1253 ('2,Zόrich,b'). Name the one that reads right with --encoding, or save the file as UTF-8.",
    ),
    (
        "utf16.csv",
        GOOD.encode("utf-16-le"),
        "utf16.csv: looks like UTF-16 without a byte order mark, or is binary\nIf it is text, ask for the encoding utf-16-le.",
    ),
    (
        "columns.csv",
        b"userId,titel,body\n1,a,b\n",
        "columns.csv: its columns are not those of the pipeline (userId, title, body). missing: title; unknown: titel\ntitle may be \"titel\": --map 'titel=title', or from: [titel] in the definition",
    ),
    (
        "twice.csv",
        b"userId,title,title,body\n1,a,b,c\n",
        "twice.csv: its columns are not those of the pipeline (userId, title, body). more than once: title\nEach column of the pipeline must be there once: mend the first line, or name the pipeline it belongs to.",
    ),
    (
        "missing.csv",
        b"userId,title\n1,a\n",
        "missing.csv: its columns are not those of the pipeline (userId, title, body). missing: body\nEach column of the pipeline must be there once: mend the first line, or name the pipeline it belongs to.",
    ),
    (
        "noheader.csv",
        b"1,one,b\n2,two,b\n",
        "noheader.csv: its columns are not those of the pipeline (userId, title, body). missing: userId, title, body; unknown: 1, one, b\nThe first line must name the columns; found '1,one,b'.",
    ),
    (
        "quote.csv",
        b'userId,title,body\n1,one,b\n2,"open,b\n',
        "quote.csv:3: a quote opens a cell here and is not closed by the end of the file\nClose it, or double it if it is part of the text.",
    ),
    (
        "misread.csv",
        GOOD.encode("utf-8-sig").decode("cp1252").encode(),
        "misread.csv: was UTF-8, and a program that saved it read it as Windows text: letters other than a to z are broken\nOpen the original once more, choose UTF-8 there, and save it again.",
    ),
    (
        "joined.csv",
        (GOOD + "title,userId,body\none,1,b\n").encode(),
        "joined.csv:5: the header line comes again here, with its columns in another order\nFiles were joined here. Send them one by one.",
    ),
    ("nul.csv", GOOD.encode() + b"\x00" * 300, "nul.csv: is a binary file, not text\nSave it as CSV (UTF-8)."),
]

# What is wrong, the definition, what is said of it.
DEFINITIONS: list[tuple[str, str, str]] = [
    ("empty", "", "own.yaml: is empty; `rowrelay init` writes a definition to begin with"),
    ("a list", "- a\n", "own.yaml:1: must be a mapping of keys such as `name:` and `columns:`"),
    ("a tab", "name: own\n\tcolumns: {}\n", "own.yaml:2: a tab in the indentation; YAML wants spaces"),
    (
        "no YAML",
        DEFINITION + "ban: {status: [403}\n",
        "own.yaml:7: is not valid YAML: expected ',' or ']', but got '}'; put values with { } : # or quotes in them in quotes",
    ),
    (
        "a model that drops rows",
        _but("columns:\n  id: {type: int}\n  title: {type: str}\n", "schema: tests.harness.models:Drops\n"),
        "own.yaml:2: schema: Drops drops rows (drop_invalid_rows): every row of a file is sent or rejected with a reason; take that out",
    ),
    (
        "a model of a type without cells",
        _but("columns:\n  id: {type: int}\n  title: {type: str}\n", "schema: tests.harness.models:Timed\n"),
        "own.yaml:2: schema: Timed gives took the type timedelta64[ns], which no cell can be read as; use int, float, bool, str, decimal.Decimal, datetime.date, pandas.Timestamp or a category",
    ),
    (
        "two documents",
        DEFINITION + "---\n" + DEFINITION,
        "own.yaml:7: a second document begins here (---); one file describes one pipeline",
    ),
    ("a key twice", DEFINITION + "name: other\n", "own.yaml:7: name: stands here twice (first in line 1)"),
    (
        "an anchor",
        _but("{type: int}", "&a {type: int}"),
        "own.yaml:3: columns.id: anchors and aliases (& and *) are not used here; write the value out",
    ),
    ("an unknown key", DEFINITION + "colums: {}\n", "own.yaml:7: colums: unknown key; did you mean `columns`?"),
    (
        "a misspelt key",
        _but("requests: 7", "request: 7"),
        "own.yaml:6: limit.request: unknown key; did you mean `requests`?",
    ),
    (
        "a name",
        _but("name: own\ncol", "name: My Orders\ncol"),
        "own.yaml:1: name: must be small letters, digits and single hyphens (found 'My Orders'); did you mean `my-orders`?",
    ),
    (
        "a type",
        _but("type: int", "type: integer"),
        "own.yaml:3: columns.id.type: 'integer' is not possible; did you mean `int`?",
    ),
    (
        "a bound of another type",
        _but("{type: int}", "{type: int, min: many}"),
        "own.yaml:3: columns.id.min: must be of the column's type int, such as 7 (found 'many')",
    ),
    (
        "min above max",
        _but("{type: int}", "{type: int, min: 5, max: 3}"),
        "own.yaml:3: columns.id.min: `min` is above `max` (5 > 3), so no value would be allowed",
    ),
    (
        "a pattern",
        _but("{type: str}", "{type: str, pattern: '['}"),
        "own.yaml:4: columns.title.pattern: is no regular expression: unterminated character set at position 0 (found '[')",
    ),
    (
        "words that are none",
        _but("{type: str}", "{type: str, pattern: 'x+', says: ' '}"),
        "own.yaml:4: columns.title.says: must be words on one line, such as: a postcode of five digits",
    ),
    (
        "an example that the column rejects",
        _but("{type: str}", "{type: str, pattern: '[0-9]{5}', says: a postcode of five digits, example: '123'}"),
        "own.yaml:4: columns.title.example: would be rejected: must be a postcode of five digits (found '123')",
    ),
    (
        "an example of another type",
        _but("{type: int}", "{type: int, example: '007'}"),
        "own.yaml:3: columns.id.example: would be rejected: must not begin with a plus or a zero: write the number without, or make the column str (found '007')",
    ),
    (
        "an example that lost its zeros",
        _but("{type: str}", "{type: str, example: 01234}"),
        "own.yaml:4: columns.title.example: must be text; put it in quotes (found 1234)",
    ),
    (
        "an example that is empty",
        _but("{type: str}", "{type: str, example: ''}"),
        "own.yaml:4: columns.title.example: is empty; name a value, or leave the key out",
    ),
    (
        "an example of several values",
        _but("{type: int}", "{type: int, example: [1, 2]}"),
        "own.yaml:3: columns.id.example: must be text, a number, true or false (found [1, 2])",
    ),
    (
        "an example that no cell holds",
        _but("{type: str}", '{type: str, example: "a\\0b"}'),
        "own.yaml:4: columns.title.example: holds a control character; name a value that a cell can hold (found 'a\\x00b')",
    ),
    (
        "seconds of a number",
        _but("{type: int}", "{type: int, as: unix}"),
        "own.yaml:3: columns.id.as: unix counts seconds, so it is for date and datetime, not for int",
    ),
    (
        "a way out that there is not",
        _but("{type: int}", "{type: int, as: string}"),
        "own.yaml:3: columns.id.as: 'string' is not possible; possible: text, unix",
    ),
    (
        "an empty cell that becomes what there is not",
        _but('rows"}', 'rows", empty: skip}'),
        "own.yaml:5: request.empty: 'skip' is not possible; possible: omit, null, text",
    ),
    (
        "nothing said of empty cells",
        _but(
            'request: {url: "https://api.example.com/rows"}', "request:\n  url: https://api.example.com/rows\n  empty:"
        ),
        "own.yaml:7: request.empty: has no value; give it one, or leave the key out",
    ),
    (
        "null in a form",
        _but('rows"}', 'rows", form: {id: "{id}"}, empty: null}'),
        "own.yaml:5: request.empty: there is no null but in JSON; write omit, or text",
    ),
    (
        "null in an address",
        _but('rows"}', 'rows?id={id}", method: GET, empty: null}'),
        "own.yaml:5: request.empty: there is no null but in JSON; write omit, or text",
    ),
    (
        "no columns",
        _but("columns:\n  id: {type: int}\n  title: {type: str}\n", ""),
        "own.yaml:1: columns: is missing; name at least one column, e.g. title: {type: str}",
    ),
    (
        "a key that is no column",
        DEFINITION + "key: [order]\n",
        "own.yaml:7: key[0]: there is no column 'order'; possible: id, title",
    ),
    ("a key column twice", DEFINITION + "key: [id, id]\n", "own.yaml:7: key: names a column twice"),
    (
        "no scheme",
        _but("https://api", "api"),
        "own.yaml:5: request.url: must begin with http:// or https:// (found 'api.example.com/rows'); did you mean https://api.example.com/rows?",
    ),
    (
        "another scheme",
        _but("https://", "ftp://"),
        "own.yaml:5: request.url: must begin with http:// or https:// (found 'ftp://api.example.com/rows'); did you mean https://api.example.com/rows?",
    ),
    (
        "a placeholder that is no column",
        _but("/rows", "/rows/{ident}"),
        "own.yaml:5: request.url: there is no column 'ident'; did you mean `id`?",
    ),
    (
        "a missing variable",
        _but("https://api.example.com/rows", "${ROWS_URL}"),
        "own.yaml:5: request.url: the environment variable ROWS_URL is not set; set it, or write ${ROWS_URL:-default}",
    ),
    (
        "missing quotes",
        _but('rows"}', 'rows", json: {id: {id}}}'),
        'own.yaml:5: request.json.id: {id} without quotes is a YAML mapping; write "{id}"',
    ),
    (
        "a body of a GET",
        _but('rows"}', 'rows", method: GET, json: {id: "{id}"}}'),
        "own.yaml:5: request.json: a GET request has no body; put the values into the url",
    ),
    (
        "a method",
        _but('rows"}', 'rows", method: FETCH}'),
        "own.yaml:5: request.method: is no method; did you mean `PATCH`? A column may hold it, too: \"{method}\" (found 'FETCH')",
    ),
    (
        "a password in the address",
        _but("https://api", "https://me:secret@api"),
        'own.yaml:5: request.url: has a user or password in it; write headers: {Authorization: "… ${secret:NAME}"} instead',
    ),
    (
        "a secret in the host",
        _but("api.", "${secret:T}."),
        "own.yaml:5: request.url: a secret may stand in the path, the query or a header, not in the host",
    ),
    (
        "a header of ours",
        _but('rows"}', 'rows", headers: {Idempotency-Key: x}}'),
        "own.yaml:5: request.headers.Idempotency-Key: is set by Rowrelay itself; leave it out",
    ),
    (
        "OAuth2",
        _but('rows"}', 'rows", oauth2: {token_url: x}}'),
        'own.yaml:5: request.oauth2: OAuth2 is a part of its own beside `request`: auth: {oauth2: {grant: client_credentials, token_url: …, client_id: …, client_secret: "${secret:NAME}"}}',
    ),
    (
        "a proxy",
        _but('rows"}', 'rows", proxy: "http://p:1"}'),
        "own.yaml:5: request.proxy: write it at the top of the definition: proxy: http://HOST:PORT, or proxy: environment",
    ),
    (
        "a sheet",
        DEFINITION + "source: {kind: csv, sheet: Orders}\n",
        "own.yaml:7: source.sheet: says nothing of a text file; leave it out, or mend kind",
    ),
    (
        "no time",
        _but('rows"}', 'rows", timeout_seconds: 0}'),
        "own.yaml:5: request.timeout_seconds: must be more than 0 (found 0)",
    ),
    (
        "a broken JMESPath",
        DEFINITION + "response: {keep: {x: 'a['}}\n",
        "own.yaml:7: response.keep.x: is no JMESPath expression: Invalid jmespath expression: Incomplete expression: (found 'a[')",
    ),
    (
        "a kept name that is a column",
        DEFINITION + "response: {keep: {title: id}}\n",
        "own.yaml:7: response.keep.title: is the name of a column already; keep it under another name",
    ),
    (
        "a redirect as success",
        DEFINITION + "response: {success: [301]}\n",
        "own.yaml:7: response.success[0]: 301 cannot mean success: redirects are not followed",
    ),
    ("no requests", _but("requests: 7", "requests: 0"), "own.yaml:6: limit.requests: must be at least 1 (found 0)"),
    (
        "no window",
        _but(", window_seconds: 1", ""),
        "own.yaml:6: limit.window_seconds: is missing; `requests` are counted per window_seconds, e.g. 1",
    ),
    (
        "window and windows",
        _but("window_seconds: 1", "window_seconds: 1, windows: [{requests: 1, seconds: 1}]"),
        "own.yaml:6: limit.windows: write either `windows` or `requests` and `window_seconds`, not both",
    ),
    (
        "no limit",
        _but("limit: {name: own, requests: 7, window_seconds: 1}\n", ""),
        "own.yaml:1: limit: is missing; say how fast requests may go, e.g. {name: posts, requests: 7, window_seconds: 1}",
    ),
    *LIMITS,
    (
        "a time-out above the most",
        _but("window_seconds: 1", "window_seconds: 1, max_timeout_seconds: 1"),
        "own.yaml:5: request.timeout_seconds: 2 is above the limit's max_timeout_seconds of 1; lower it, or raise that",
    ),
    (
        "a minute that never comes",
        DEFINITION + "schedules: [{cron: '61 * * * *'}]\n",
        "own.yaml:7: schedules[0].cron: is no cron expression: out of range (found '61 * * * *')",
    ),
    (
        "a time zone",
        DEFINITION + "schedules: [{cron: '1 * * * *', timezone: Europe/Berln}]\n",
        "own.yaml:7: schedules[0].timezone: 'Europe/Berln' is no time zone; did you mean `Europe/Berlin`?",
    ),
    (
        "rows to leave out, and no key",
        DEFINITION + "schedules: [{cron: '1 * * * *', skip_delivered: true}]\n",
        "own.yaml:7: schedules[0].skip_delivered: needs a `key`: without one nobody can tell which rows were delivered before; e.g. key: [id]",
    ),
    (
        "a delimiter",
        DEFINITION + "source: {delimiter: '::'}\n",
        "own.yaml:7: source.delimiter: must be , ; | or tab, in quotes (found '::')",
    ),
    (
        "an encoding",
        DEFINITION + "source: {encoding: utf-9}\n",
        "own.yaml:7: source.encoding: 'utf-9' is no known text encoding; did you mean `utf-8`?",
    ),
    (
        "a key without value",
        _but("name: own\ncol", "name:\ncol"),
        "own.yaml:1: name: has no value; give it one, or leave the key out",
    ),
    (
        "a missing module",
        _but("columns:\n  id: {type: int}\n  title: {type: str}\n", "schema: nowhere.models:Orders\n"),
        "own.yaml:2: schema: there is no module nowhere; install it, or put its folder on PYTHONPATH",
    ),
    (
        "a ban that is success",
        DEFINITION + "ban: {status: [200]}\n",
        "own.yaml:7: ban.status[0]: must be at least 400 (found 200)",
    ),
    ("no boolean", DEFINITION + "idempotent: maybe\n", "own.yaml:7: idempotent: must be true or false (found 'maybe')"),
    ("no attempts", DEFINITION + "retry: {attempts: 0}\n", "own.yaml:7: retry.attempts: must be at least 1 (found 0)"),
]

# The words of the command line, what is said of them. good.csv is there.
COMMANDS: list[tuple[list[str], str]] = [
    (["send"], "Nothing to send is named.\nGive a FILE, or a run with --resume RUN."),
    (["send", "good.csv", "--rows", "failed"], "--rows goes with --resume RUN only.\nA new run sends all of its rows."),
    (
        ["send", "good.csv", "--definition", "new"],
        "--definition goes with --resume RUN only.\nA new run takes the present one.",
    ),
    (
        ["check", "good.csv", "--map", "email"],
        "--map 'email' does not say which column is which.\nWrite the name in the file, =, and the name in the pipeline: --map 'E-mail=email'",
    ),
    (
        ["check", "good.csv", "--map", "body=title", "--map", "body=body"],
        "--map says of 'body' twice what it is.\nName each column of the file once.",
    ),
    (
        ["check", "good.csv", "--map", "Body=bodi"],
        "'Body' was said to be bodi, and the pipeline has no such column; did you mean `body`?",
    ),
    (
        ["send", "good.csv", "--map", "body=title", "--map", "Body=title"],
        "both 'body' and 'Body' were said to be title\nName one of them.",
    ),
    (
        ["check", "good.csv", "--map", "Inhalt=body"],
        "good.csv: has no column 'Inhalt', which was said to be body\nIts columns: userId, title, body",
    ),
    (
        ["send", "--resume", "last", "--map", "a=b"],
        "--resume goes without --map.\nA run keeps what it was begun with.",
    ),
    (["send", "good.csv", "--resume", "last"], "--resume goes without FILE.\nA run keeps what it was begun with."),
    (
        ["send", "--url", "http://x", "--resume", "a"],
        "--resume goes without --url.\nA run keeps what it was begun with.",
    ),
    (
        ["send", "--resume", "a", "--skip-delivered"],
        "With --resume, --skip-delivered goes with --rows failed or --rows unknown only.\nSend the file as a new run to leave out what was delivered.",
    ),
    (
        ["send", "good.csv", "--pipeline", "post"],
        "There is no pipeline 'post'.\nDid you mean 'posts'? There are: posts. ROWRELAY_PIPELINES names folders with more.",
    ),
    (
        ["send", "good.csv", "--skip-delivered"],
        "Pipeline posts has no `key`, so nobody can tell which rows were delivered before.\nName the columns that say which row is which in its definition, e.g. key: [id].",
    ),
    (
        ["check", "good.csv", "--delimiter", "::"],
        "good.csv: '::' cannot separate cells\nUse one character, such as , or ; or tab.",
    ),
    (
        ["check", "good.csv", "--kind", "xlsx"],
        "good.csv: is a text file, and was said to be an Excel workbook\nLeave kind out, or mend it.",
    ),
    (
        ["check", "good.csv", "--header-row", "9"],
        "good.csv: has 5 lines, and its header was said to stand in line 9",
    ),
    (
        ["check", "good.csv", "--header-row", "2", "--skip-rows", "3"],
        "skip_rows passes over the header, which is row 2; header_row alone says enough",
    ),
    (
        ["check", "good.csv", "--kind", "csv", "--sheet", "Orders"],
        "sheet says nothing of a text file; leave it out, or mend kind",
    ),
    (
        ["check", "good.csv", "--skip-footer", "3"],
        "good.csv: has a header but no rows\nPut the rows below the first line.",
    ),
    (
        ["check", "good.csv", "--encoding", "utf-9"],
        "good.csv: 'utf-9' is no encoding that is known here\nCommon ones: utf-8, cp1252, utf-16.",
    ),
    (
        ["send", "good.csv", "--url", "api.example.com"],
        "the address given: request.url: must begin with http:// or https:// (found 'api.example.com'); did you mean https://api.example.com?",
    ),
    (
        ["check", "good.csv", "--rejects", "good.csv"],
        "good.csv: is the file that is being checked\nGive --rejects another name.",
    ),
    (
        ["check", "good.csv", "--rejects", "no/such/folder.csv"],
        "no/such/folder.csv: cannot be written: No such file or directory",
    ),
    (
        ["init", "good.csv", "--out", "good.csv"],
        "good.csv: is there already, and may have been edited\nGive --out another name.",
    ),
    (["init", "absent.csv"], "absent.csv: there is no such file"),
    (
        ["mend", "last", "none.json"],
        "none.json: cannot be read: No such file or directory\nFILE holds the changes, as JSON.",
    ),
    (
        ["mend", "last", "good.csv"],
        'The document is not JSON: JSON is malformed: invalid character (byte 0).\nWrite {"changes": [{"column": "country", "value": "Germany", "becomes": "DE"}]}',
    ),
    (
        ["mend", "last", "changes.json", "--undo", "1"],
        "Say either a file of changes or --undo, not both.\nUndo first, then mend anew.",
    ),
    (["mark-done", "last", "x"], "'x' is no row number.\nWrite 17, or 40-43 for several."),
    (["mark-done", "last", "5-3"], "'5-3' names no rows: rows count from 1.\nWrite 17, or 40-43 for several."),
]

# Words that are no command at all: the help is pointed at.
MISTYPED: list[tuple[list[str], str]] = [
    (["bogus"], "No such command 'bogus'."),
    (["check"], "Missing argument 'file'."),
    (["check", "good.csv", "--bogus"], "No such option: --bogus"),
    (
        ["export", "last", "--format", "xml"],
        "Invalid value for '--format': Value error, 'xml' is not one of 'json', 'csv', 'jsonl'.",
    ),
    (["runs", "--limit", "0"], "Invalid value for '--limit': Input should be greater than or equal to 1"),
    (["send", "--resume", "x", "--rows", "all"], "'all' is not one of 'unfinished', 'failed', 'unknown'"),
    (["export", "last", "--rows", "some"], "'some' is not one of"),
    (["runs", "--limit", "many"], "--limit"),
]
