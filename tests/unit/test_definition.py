"""Pipeline definitions: what is accepted, what is refused, and that a refusal says where and what to do."""

from __future__ import annotations

import contextlib
import json
import pickle
import textwrap
import time
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.client.outlook import number_of_requests
from flows.errors import DefinitionError, SettingError
from flows.masking import DOTS
from flows.pipeline.definition import Definition, digest_of, json_schema
from flows.pipeline.document import MOST_BYTES
from flows.pipeline.open_secret import open_secrets, veiled
from flows.pipeline.pipelines import load_all, shipped
from flows.pipeline.reading import from_resolved, load, redirected, with_limit_of
from flows.pipeline.rendering import Rendering
from flows.pipeline.secret import missing_secrets, secret, secret_names, secrets_of, where_to_put
from flows.records import LimitTerms
from flows.settings import Settings

# Line numbers in the table below count in this text.
GOOD = """\
name: posts
description: sends posts
columns:
  userId: {type: int, min: 1}
  title: {type: str, blank: false}
  body: {type: str}
key: [userId]
request:
  method: POST
  url: https://api.example.com/posts
  headers: {X-From: rowrelay}
  json: {userId: "{userId}", title: "{title}", body: "{body}"}
  timeout_seconds: 2
response:
  keep: {postId: id}
  success: [200, 201]
limit: {name: example, requests: 7, window_seconds: 1, in_flight: 7}
retry: {attempts: 4, max_seconds: 60}
idempotent: false
"""


@dataclass(frozen=True)
class Bad:
    """A fault made by replacing `old` with `new` in GOOD (`old` empty: `new` is the whole file)."""

    old: str
    new: str
    line: int
    message: str  # what follows file and line


def more(text: str) -> tuple[str, str]:
    return "idempotent: false\n", f"idempotent: false\n{text}"


BAD = {
    # keys
    "unknown key": Bad(*more("retires: 3\n"), 20, "retires: unknown key; did you mean `retry`?"),
    "unknown check": Bad("min: 1", "mim: 1", 4, "columns.userId.mim: unknown key; did you mean `min`?"),
    "other tools' word": Bad("timeout_seconds: 2", "timeout: 2", 13, "did you mean `timeout_seconds`?"),
    "key in the wrong section": Bad(*more("timeout_seconds: 3\n"), 20, "it belongs under `request`"),
    "misspelt and therefore missing": Bad("limit: {", "limmit: {", 17, "limmit: unknown key; did you mean `limit`?"),
    "missing key": Bad("name: example, ", "", 17, "limit.name: is missing"),
    "key without value": Bad("retry: {attempts: 4, max_seconds: 60}", "retry:", 18, "retry: has no value"),
    "key twice": Bad(*more("name: other\n"), 20, "name: stands here twice (first in line 1)"),
    "nested key twice": Bad("min: 1", "min: 1, min: 2", 4, "columns.userId.min: stands here twice"),
    "OAuth2": Bad(
        "timeout_seconds: 2", "oauth2: {url: x}", 13, "request.oauth2: OAuth2 is a part of its own beside `request`"
    ),
    "proxy": Bad("timeout_seconds: 2", "proxy: 'http://p:3128'", 13, "request.proxy: write it at the top"),
    "spreadsheet": Bad(*more("source: {worksheet: S1}\n"), 20, "source.worksheet: say how a workbook is read"),
    "text with a sheet": Bad(*more("source: {kind: csv, sheet: S1}\n"), 20, "source.sheet: says nothing of a text"),
    "header passed over": Bad(*more("source: {header_row: 2, skip_rows: 2}\n"), 20, "source.skip_rows: passes over"),
    "sheet 0": Bad(*more("source: {sheet: 0}\n"), 20, "source.sheet: must be the name of a sheet, or its position"),
    "kind": Bad(*more("source: {kind: xlsm}\n"), 20, "source.kind: 'xlsm' is not possible"),
    # types and ranges
    "text for a number": Bad("requests: 7", "requests: '7'", 17, "limit.requests: must be a whole number (found '7')"),
    "yes for true": Bad("idempotent: false", "idempotent: no", 19, "idempotent: must be true or false (found 'no')"),
    "number for text": Bad(
        "X-From: rowrelay", "X-From: 12", 11, "request.headers.X-From: must be text; put it in quotes"
    ),
    "text for a mapping": Bad("{type: str}", "str", 6, "columns.body: must be a mapping (key: value) (found 'str')"),
    "text for a list": Bad("[200, 201]", "200", 16, "response.success: must be a list, e.g. [a, b] (found 200)"),
    "too small": Bad("attempts: 4", "attempts: 0", 18, "retry.attempts: must be at least 1 (found 0)"),
    "not finite": Bad("window_seconds: 1", "window_seconds: .inf", 17, "limit.window_seconds: must be a finite number"),
    "unknown type": Bad("type: int", "type: integer", 4, "'integer' is not possible; did you mean `int`?"),
    "unknown method": Bad("method: POST", "method: PSOT", 9, "is no method; did you mean `POST`?"),
    "name": Bad("name: posts", "name: My Posts", 1, "(found 'My Posts'); did you mean `my-posts`?"),
    "limit name": Bad("name: example", "name: '{x}'", 17, "limit.name: must be small letters, digits"),
    # columns
    "min above max": Bad("min: 1", "min: 5, max: 2", 4, "columns.userId.min: `min` is above `max` (5 > 2)"),
    "lengths crossed": Bad("blank: false", "min_length: 9, max_length: 3", 5, "`min_length` is above `max_length`"),
    "pattern": Bad("blank: false", "pattern: '[a-'", 5, "columns.title.pattern: is no regular expression"),
    "one_of of another type": Bad(
        "min: 1", "one_of: [1, two]", 4, "columns.userId.one_of[1]: must be of the column's type int"
    ),
    "one_of of numbers for text": Bad("blank: false", "one_of: [1]", 5, 'such as "text" (found 1)'),
    "one_of empty": Bad("min: 1", "one_of: []", 4, "is empty, so no value would be allowed"),
    "min of another type": Bad("type: int, min: 1", "type: date, min: soon", 4, "such as 2026-01-31 (found 'soon')"),
    "check that the type has not": Bad("min: 1", "min_length: 1", 4, "is no check for type int; did you mean `min`?"),
    "pattern on a number": Bad("min: 1", "pattern: x", 4, "is no check for type int; possible: min, max, one_of"),
    "columns alike": Bad("  body:", "  TITLE:", 6, "differs from `title` in case only"),
    "braces in a column": Bad("  body:", "  '{body}':", 6, "no braces, no blanks around it"),
    "no columns": Bad("body: {type: str}\n", "body: {type: str}\nschema: a.b:C\n", 7, "there is no module a"),
    "schema and columns": Bad("key: [", "schema: json:X\nkey: [", 7, "write either `columns` or `schema`, not both"),
    "key column": Bad(
        "key: [userId]", "key: [userid, body]", 7, "key[0]: there is no column 'userid'; did you mean `userId`?"
    ),
    # request
    "URL without scheme": Bad("https://api", "api", 10, "did you mean https://api.example.com/posts?"),
    "URL with another scheme": Bad("https://api", "ftp://api", 10, "must begin with http:// or https://"),
    "URL without host": Bad("https://api.example.com/posts", "https:///posts", 10, "has no host"),
    "port": Bad("example.com/", "example.com:x/", 10, "is no address: Port could not be cast"),
    "blank in URL": Bad("com/posts", "com/my posts", 10, "write %20 for a blank"),
    "host from a row": Bad("https://api", "https://{title}", 10, "the host must be fixed"),
    "password in URL": Bad("https://api", "https://me:pw@api", 10, "has a user or password in it"),
    "fragment": Bad("com/posts", "com/posts#top", 10, "has a fragment (#…), which is never sent"),
    "secret in the host": Bad("api.example", "${secret:T}.example", 10, "a secret may stand in the path, the query"),
    "secret elsewhere": Bad("sends posts", "${secret:T}", 2, "description: a secret may only stand in"),
    "template column": Bad(
        '"{title}"', '"{titel}"', 12, "request.json.title: there is no column 'titel'; did you mean `title`?"
    ),
    "template column in URL": Bad(
        "com/posts", "com/{xyz}", 10, "request.url: there is no column 'xyz'; possible: userId, title, body"
    ),
    "stray brace": Bad('"{title}"', '"{title"', 12, "holds a single `{`; write {{ for the character itself"),
    "placeholder without quotes": Bad(
        '"{title}"', "{title}", 12, '{title} without quotes is a YAML mapping; write "{title}"'
    ),
    "double braces without quotes": Bad('"{title}"', "{{title}}", 12, 'put "quotes" round {placeholders}'),
    "placeholder in a key": Bad('title: "{title}"', '"{titel}": 1', 12, "there is no column 'titel'"),
    "json and form": Bad("timeout_seconds: 2", "form: {a: b}", 13, "write either `json` or `form`, not both"),
    "body on GET": Bad("method: POST", "method: GET", 12, "a GET request has no body"),
    "nested form": Bad(
        'json: {userId: "{userId}", title: "{title}", body: "{body}"}', "form: {a: [1]}", 12, "a form field is text"
    ),
    "line break in a header": Bad(
        "X-From: rowrelay", 'X-From: "a\\nb"', 11, "only printable ASCII can stand in a header"
    ),
    "our own header": Bad("X-From", "idempotency-key", 11, "is set by Rowrelay itself; leave it out"),
    "header name": Bad("X-From", '"X From"', 11, "is no header name"),
    "timeout above the limit's": Bad(
        "in_flight: 7", "max_timeout_seconds: 1", 13, "2 is above the limit's max_timeout_seconds of 1"
    ),
    # environment
    "missing variable": Bad(
        "https://api.example.com",
        "${API}",
        10,
        "the environment variable API is not set; set it, or write ${API:-default}",
    ),
    "variable with a bad default": Bad("https://api", "${API-https://api}", 10, "write ${NAME}, ${NAME:-default} or"),
    "open placeholder": Bad("https://api", "${API", 10, "`${` without its closing brace"),
    # secrets in the open
    "token of the environment": Bad(
        "{X-From: rowrelay}", '{Authorization: "Bearer ${TOKEN}"}', 11,
        "request.headers.Authorization: ${TOKEN} looks like a secret, and would be stored and shown as it is; "
        "write ${secret:TOKEN}, which is looked up in the same variable",
    ),
    "named like a secret where it is taken from": Bad(
        "X-From: rowrelay", 'X-From: "${CRM_PASSWORD:-x}"', 11, "write ${secret:CRM_PASSWORD},"
    ),
    "key of the environment": Bad("X-From: rowrelay", 'X-Api-Key: "${CRM}"', 11, "write ${secret:CRM},"),
    "secret in a query": Bad(
        "https://api.example.com/posts", '"https://a.example/p?accessToken=${CRM}&x=1"', 10, "write ${secret:CRM},"
    ),
    "secret in a path": Bad(
        "https://api.example.com/posts", '"https://a.example/bot${BOT_TOKEN}/p?x=1"', 10, "write ${secret:BOT_TOKEN},"
    ),
    "secret in the path behind a variable": Bad(
        "https://api.example.com/posts", '"${AUTH_URL:-https://a.example}/${A_KEY}"', 10, "${A_KEY} looks like"
    ),
    "secret deep in the body": Bad(
        'body: "{body}"', 'login: {apiKeys: ["${CRM}"]}', 12, "request.json.login.apiKeys[0]: ${CRM} looks"
    ),
    "secret in a form": Bad(
        'json: {userId: "{userId}", title: "{title}", body: "{body}"}', 'form: {client_secret: "${CRM}"}', 12,
        "request.form.client_secret: ${CRM} looks like a secret",
    ),
    # response, limit, ban, source, schedules
    "JMESPath": Bad("postId: id", "postId: 'a['", 15, "response.keep.postId: is no JMESPath expression"),
    "kept under a column's name": Bad("postId: id", "title: id", 15, "is the name of a column already"),
    "keep without JSON": Bad("success: [200, 201]", "json: false", 16, "is false, but `keep` takes values out of JSON"),
    "redirect as success": Bad("[200, 201]", "[200, 302]", 16, "302 cannot mean success: redirects are not followed"),
    "requests without window": Bad("window_seconds: 1, ", "", 17, "limit.window_seconds: is missing"),
    "windows twice": Bad(
        "in_flight: 7", "windows: [{requests: 1, seconds: 1}]", 17, "write either `windows` or `requests`"
    ),
    "windows of one length": Bad(
        "requests: 7, window_seconds: 1",
        "windows: [{requests: 7, seconds: 1}, {requests: 9, seconds: 1.0}]",
        17,
        "have the same length",
    ),
    "windows no list": Bad(
        "requests: 7, window_seconds: 1, in_flight: 7", "windows: 7", 17, "limit.windows: must be a list"
    ),
    "limit without numbers": Bad(
        "requests: 7, window_seconds: 1, in_flight: 7", "grace_seconds: 1", 17, "state requests and"
    ),
    "unknown key in a list": Bad(
        "requests: 7, window_seconds: 1",
        "windows: [{requests: 7, second: 1}]",
        17,
        "limit.windows[0].second: unknown key; did you",
    ),
    "ban is success": Bad("[200, 201]", "[200, 403]\nban: {status: [403]}", 17, "cannot mean both success and a ban"),
    "delimiter": Bad(*more("source: {delimiter: x}\n"), 20, "must be , ; | or tab, in quotes (found 'x')"),
    "encoding": Bad(*more("source: {encoding: utf9}\n"), 20, "is no known text encoding; did you mean `utf-8`?"),
    "encoding that is none of text": Bad(*more("source: {encoding: rot13}\n"), 20, "is no known text encoding"),
    "cron": Bad(*more("schedules:\n  - cron: 0 25 * * *\n"), 21, "schedules[0].cron: is no cron expression"),
    "cron fields": Bad(*more("schedules: [{cron: '* * *'}]\n"), 20, "must have five fields"),
    "rrule": Bad(*more("schedules: [{rrule: FREQ=SOMETIMES}]\n"), 20, "is no iCalendar rule"),
    "time zone": Bad(
        *more("schedules: [{cron: 0 9 * * *, timezone: Europe/Berln}]\n"), 20, "did you mean `Europe/Berlin`?"
    ),
    "two kinds of schedule": Bad(
        *more("schedules: [{cron: 0 9 * * *, interval_seconds: 5}]\n"), 20, "exactly one of cron"
    ),
    # the file
    "tab": Bad("  title:", "\ttitle:", 5, "a tab in the indentation; YAML wants spaces"),
    "no YAML": Bad(
        "description: sends posts", "description: a: b", 2, "is not valid YAML: mapping values are not allowed"
    ),
    "quote left open": Bad('"{body}"}', '"{body}}', 20, "is not valid YAML: found unexpected end of stream"),
    "control character": Bad("sends", "se\x07nds", 2, "holds a control character; remove it"),
    "anchor": Bad(*more("a: &x [1]\n"), 20, "a: anchors and aliases (& and *) are not used here"),
    "tag of YAML's own": Bad("sends posts", "!!str 7", 2, "description: tags (!…) are not used here"),
    "tag": Bad("sends posts", "!!python/object:os.system ls", 2, "tags (!…) are not used here"),
    "two documents": Bad(*more("---\nname: b\n"), 20, "a second document begins here"),
    "list": Bad("", "- name: posts\n", 1, "must be a mapping of keys such as"),
    "text": Bad("", "hello\n", 1, "must be a mapping of keys such as"),
    "too deep": Bad("", "a: " + "[" * 40 + "]" * 40, 1, "is nested deeper than 32 levels"),
}  # fmt: skip


def written(folder: Path, text: str, name: str = "posts.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def loaded(folder: Path, text: str, **environ: str) -> Definition:
    return load(written(folder, text), environ=environ)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_definition_is_refused_with_file_line_and_what_to_do(bad: Bad, tmp_path: Path) -> None:
    text = GOOD.replace(bad.old, bad.new, 1) if bad.old else bad.new
    assert text != GOOD

    with pytest.raises(DefinitionError) as caught:
        loaded(tmp_path, text)

    said = [line for line in str(caught.value).splitlines() if bad.message in line]
    assert said, str(caught.value)
    assert said[0].startswith(f"{tmp_path / 'posts.yaml'}:{bad.line}: "), said[0]


SINGLE = sorted(BAD.keys() - {"schema and columns", "no columns", "key column", "columns alike", "braces in a column"})


@pytest.mark.parametrize("name", SINGLE)
def test_one_mistake_is_told_once_and_not_with_its_consequences(name: str, tmp_path: Path) -> None:
    bad = BAD[name]

    with pytest.raises(DefinitionError) as caught:
        loaded(tmp_path, GOOD.replace(bad.old, bad.new, 1) if bad.old else bad.new)

    assert len(str(caught.value).splitlines()) == 1, str(caught.value)
    assert caught.value.line == bad.line


def test_all_mistakes_of_a_file_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = GOOD
    for old, new in (
        ("min: 1", "min: 5, max: 2, mim: 3"), ('"{title}"', '"{titel}"'), ("sends posts", "${NOT_THERE}"),
        ("attempts: 4", "attempts: 0"), ("postId: id", "postId: 'a['"), ("[200, 201]", "[200, x, 302]"),
        ("requests: 7", "requests: '7'"), ("key: [userId]", "key: [nothing]"),
    ):  # fmt: skip
        text = text.replace(old, new)

    with pytest.raises(DefinitionError) as caught:
        loaded(tmp_path, text)

    lines = [int(line.split(":")[1]) for line in str(caught.value).splitlines()]
    assert lines == [2, 4, 7, 12, 15, 16, 17, 18]
    assert caught.value.line == 2


def test_a_value_of_the_wrong_shape_hides_no_more_than_what_else_is_wrong_with_its_column_or_section(
    tmp_path: Path,
) -> None:
    text = GOOD.replace("min: 1", "min: 5, max: 2, mim: 3").replace("[200, 201]", "[200, x, 302]")
    text = text.replace("{type: str, blank: false}", "{type: str, min: 3}").replace('"{title}"', '"{titel}"')

    with pytest.raises(DefinitionError) as caught:
        loaded(tmp_path, text)
    assert [int(line.split(":")[1]) for line in str(caught.value).splitlines()] == [4, 5, 12, 16]

    with pytest.raises(DefinitionError) as caught:
        loaded(tmp_path, text.replace(", mim: 3", "").replace(" x,", ""))
    assert [int(line.split(":")[1]) for line in str(caught.value).splitlines()] == [4, 5, 12, 16]


def test_a_misspelt_section_is_not_missing_as_well_and_the_others_are_judged(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as caught:
        loaded(tmp_path, GOOD.replace("columns:", "colums:").replace("example.com/posts", "example.com/my posts"))

    first, *others = str(caught.value).splitlines()
    assert "colums: unknown key; did you mean `columns`?" in first
    assert [line.split(": ")[1] for line in others] == ["request.url"]


def test_a_key_like_that_of_a_section_which_is_there_hides_nothing_of_it(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as caught:
        loaded(tmp_path, GOOD.replace("window_seconds: 1, ", "") + "limmit: {}\n")

    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["limit.window_seconds", "limmit"]


def test_an_empty_file_a_folder_a_missing_file_and_a_binary_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"name: \xff\xfe\x00")
    (tmp_path / "huge.yaml").write_bytes(b"#" * (MOST_BYTES + 1))
    written(tmp_path, "", "empty.yaml")
    written(tmp_path, "# only a comment\n", "comment.yaml")
    (tmp_path / "folder.yaml").mkdir()

    for name, message in {
        "binary.yaml": "is not UTF-8 text", "huge.yaml": "is larger than 256 kB",
        "empty.yaml": "is empty; `rowrelay init`",
        "comment.yaml": "is empty", "folder.yaml": "is a folder", "missing.yaml": "there is no such file",
    }.items():  # fmt: skip
        with pytest.raises(DefinitionError, match=message) as caught:
            load(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 31))


@pytest.mark.parametrize(
    "text",
    ["a: " + "[" * 200_000, "a: " + "{" * 200_000, "? " * 100_000, "- " * 100_000, "a: &a [" + "*a," * 80_000, LAUGHS],
    ids=["lists", "mappings", "keys", "dashes", "aliases", "laughs"],
)
def test_a_file_made_to_blow_up_is_refused_in_seconds(text: str, tmp_path: Path) -> None:
    began = time.process_time()
    with pytest.raises(DefinitionError):
        loaded(tmp_path, text)
    assert time.process_time() - began < 20


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_no_file_whatever_is_in_it_ends_in_anything_but_a_definition_error(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    with pytest.raises(DefinitionError):
        load(path)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 12), st.text(alphabet="{}[]:,\"'&*!#-?$ \n\tax1~|>%@", max_size=4))
def test_a_mutilated_definition_loads_or_is_refused_and_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, at: int, gone: int, new: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutilated.yaml"
    path.write_text(GOOD[:at] + new + GOOD[at + gone :])
    with contextlib.suppress(DefinitionError):
        made = load(path, environ={})
        assert from_resolved(json.loads(json.dumps(made.resolved()))) == made


def test_the_shipped_pipeline_is_the_one_of_the_design(tmp_path: Path) -> None:
    made = load_all([shipped()], environ={})["posts"]

    assert made.request.url == "https://jsonplaceholder.typicode.com/posts"
    assert made.request.timeout_seconds == 2
    assert made.response.keep == {"postId": "id"}
    assert made.response.success == [200, 201]
    assert made.column_names == ("userId", "title", "body")
    assert secret_names(made) == ()
    terms = made.terms
    assert terms == LimitTerms("jsonplaceholder", ((7, 1.0),), in_flight=7, max_timeout_seconds=2.0)
    elsewhere = load(shipped() / "posts.yaml", environ={"POSTS_URL": "http://127.0.0.1:1/p"})
    assert elsewhere.request.url == "http://127.0.0.1:1/p"


def test_the_environment_fills_in_text_numbers_and_defaults_within_defaults(tmp_path: Path) -> None:
    text = GOOD.replace("requests: 7", 'requests: "${RATE:-7}"')
    text = text.replace("idempotent: false", "idempotent: ${IDEM:-true}")
    text = text.replace("https://api.example.com/posts", "${API:-${BASE:-https://a.example}/{userId}}")

    made = loaded(tmp_path, text, RATE="12", BASE="https://b.example")
    with pytest.raises(DefinitionError, match=r"limit.requests: must be a whole number \(found 'many'\)"):
        loaded(tmp_path, text, RATE="many")

    assert (made.limit.requests, made.idempotent, made.request.url) == (12, True, "https://b.example/{userId}")


def test_a_variable_that_is_set_to_nothing_counts_as_missing(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="variable API is not set"):
        loaded(tmp_path, GOOD.replace("https://api.example.com", "${API}"), API="")


def test_bounds_and_options_have_the_type_of_their_column(tmp_path: Path) -> None:
    text = """\
name: x
columns:
  a: {type: date, min: 2026-01-31}
  b: {type: decimal, max: 0.1, one_of: [1, "2.50"]}
  c: {type: float, min: 1}
request: {url: https://x.example}
limit: {name: x, in_flight: 2}
"""
    made = loaded(tmp_path, text)

    assert made.columns["a"].min == date(2026, 1, 31)
    assert made.columns["b"].max == Decimal("0.1")
    assert made.columns["b"].one_of == [Decimal(1), Decimal("2.50")]
    assert (made.columns["c"].min, type(made.columns["c"].min)) == (1.0, float)
    assert made.terms.windows == ()
    assert from_resolved(json.loads(json.dumps(made.resolved()))) == made


def test_a_limit_that_hardly_is_one_opens_no_million_connections_by_default(tmp_path: Path) -> None:
    for stated, most in (("", 500), (", in_flight: 10000", 10_000)):
        limit = f"requests: 1000000, window_seconds: 1{stated}"
        made = loaded(tmp_path, GOOD.replace("requests: 7, window_seconds: 1, in_flight: 7", limit))
        assert made.terms.in_flight == most


def test_in_flight_is_the_smallest_number_of_the_windows_unless_stated(tmp_path: Path) -> None:
    windows = "windows: [{requests: 10000, seconds: 86400}, {requests: 7, seconds: 1}]"
    made = loaded(tmp_path, GOOD.replace("requests: 7, window_seconds: 1, in_flight: 7", windows))

    terms = made.terms

    assert terms.windows == ((7, 1.0), (10000, 86400.0))
    assert terms.in_flight == 7


def test_what_a_run_stores_makes_the_same_definition_again_without_the_environment(tmp_path: Path) -> None:
    text = GOOD.replace("https://api", "${API:-https://api}").replace("rowrelay}", "'Bearer ${secret:TOKEN}'}")
    made = loaded(tmp_path, text, API="https://b", TOKEN="hush")

    stored = json.dumps(made.resolved())
    again = from_resolved(json.loads(stored))

    assert "hush" not in stored
    assert again == made
    assert again.digest() == made.digest()
    assert secret_names(again) == ("TOKEN",)


def test_the_digest_ignores_the_limits_numbers_and_nothing_else(tmp_path: Path) -> None:
    made = loaded(tmp_path, GOOD)

    faster = loaded(tmp_path, GOOD.replace("requests: 7", "requests: 9"))
    other = loaded(tmp_path, GOOD.replace("/posts", "/other"))

    assert made.digest() == faster.digest() != other.digest()
    assert len(made.digest()) == 64
    assert with_limit_of(made, faster).limit == faster.limit


def test_a_stated_length_of_answers_counts_for_many_rows_too(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    plain = load(tmp_path / "a.yaml").resolved()
    assert plain["response"]["max_bytes"] == 65_536  # as it was always stored, so that digests stay
    many = {key: value for key, value in plain.items() if key != "response"} | {"batch": {"rows": 10}}

    unstated = Definition.model_validate(many | {"response": {}})
    stated = Definition.model_validate(many | {"response": {"max_bytes": 65_536}})

    assert [number_of_requests(stated, rows).likely for rows in (0, 1, 10, 11)] == [0, 1, 1, 2]
    assert (unstated.most_bytes, stated.most_bytes) == (16 * 2**20, 65_536)
    assert from_resolved(unstated.resolved()).most_bytes == 16 * 2**20
    assert from_resolved(stated.resolved()).most_bytes == 65_536


def test_what_an_earlier_version_stored_keeps_its_digest_and_is_not_judged_anew(tmp_path: Path) -> None:
    made = loaded(tmp_path, GOOD)
    stored = made.resolved()
    del stored["counts_at_edge"], stored["request"]["form"]  # as if they had not been thought of

    again = from_resolved(stored)

    assert again == made
    assert digest_of(stored) != made.digest()
    assert digest_of(stored | {"limit": {"name": made.limit.name, "requests": 1}}) == digest_of(stored)
    assert digest_of(stored | {"key": ["title"]}) != digest_of(stored)

    stored["request"]["headers"] = {"Host": "elsewhere"}  # which is refused today
    with pytest.raises(DefinitionError, match="Host"):
        loaded(tmp_path, GOOD.replace("X-From: rowrelay", "Host: elsewhere"))
    judged_then = from_resolved(stored)
    faster = loaded(tmp_path, GOOD.replace("requests: 7", "requests: 9"))
    assert judged_then.request.headers == {"Host": "elsewhere"}
    assert with_limit_of(judged_then, faster).limit == faster.limit
    with pytest.raises(DefinitionError, match=r"request.timeout_seconds: 2 is above"):
        with_limit_of(
            judged_then,
            loaded(
                tmp_path,
                GOOD.replace("in_flight: 7", "max_timeout_seconds: 1").replace(
                    "timeout_seconds: 2", "timeout_seconds: 1"
                ),
            ),
        )


def test_another_address_is_checked_like_the_first(tmp_path: Path) -> None:
    made = loaded(tmp_path, GOOD)

    assert redirected(made, "http://127.0.0.1:8000/x").request.url == "http://127.0.0.1:8000/x"
    with pytest.raises(DefinitionError, match=r"request.url: must begin with"):
        redirected(made, "127.0.0.1:8000")


def test_a_definition_can_be_pickled(tmp_path: Path) -> None:
    made = loaded(tmp_path, GOOD)
    assert pickle.loads(pickle.dumps(made)) == made


def test_two_definitions_of_one_name_are_refused_naming_both_files(tmp_path: Path) -> None:
    written(tmp_path, GOOD, "a.yaml")
    written(tmp_path, GOOD, "b.yml")

    found = load_all([tmp_path], environ={})

    assert found.files == {"posts": tmp_path / "a.yaml"}
    assert list(found.refused) == [tmp_path / "b.yml"]
    assert f"posts is the name of {tmp_path / 'a.yaml'} too" in str(found.refused[tmp_path / "b.yml"])


def test_one_limit_with_different_numbers_is_refused_naming_both_files(tmp_path: Path) -> None:
    written(tmp_path, GOOD, "a.yaml")
    b = written(tmp_path, GOOD.replace("name: posts", "name: other").replace("requests: 7", "requests: 8"), "b.yaml")

    refusal = str(load_all([tmp_path], environ={}).refused[b])
    assert refusal.startswith(f"{b}")
    assert f"in {tmp_path / 'a.yaml'} (windows: ((8, 1.0),) here, ((7, 1.0),) there)" in refusal

    b.write_text(GOOD.replace("name: posts", "name: other").replace("timeout_seconds: 2", "timeout_seconds: 9"))
    assert "Write max_timeout_seconds: 9 under `limit` in both" in str(load_all([tmp_path], environ={}).refused[b])


def test_the_same_file_given_twice_is_one_definition(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert list(load_all([tmp_path, path], environ={})) == ["posts"]


def test_a_secret_comes_from_its_file_first_and_then_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "TOKEN").write_text("from-file\n")
    monkeypatch.setenv("TOKEN", "from-environment")
    monkeypatch.delenv("OTHER", raising=False)
    made = loaded(tmp_path, GOOD.replace("rowrelay}", "'${secret:TOKEN}', X-Other: '${secret:OTHER}'}"))

    assert secret("TOKEN", tmp_path) == "from-file"
    assert secret("TOKEN", None) == "from-environment"
    assert missing_secrets(made, Settings(secrets=tmp_path)) == ["OTHER"]
    with pytest.raises(SettingError, match="the secret OTHER is missing") as caught:
        secrets_of(made, tmp_path)
    assert f"Put it into the file OTHER in {tmp_path}, or set the environment variable OTHER" in str(caught.value)


def test_a_process_has_to_start_again_for_a_new_variable() -> None:
    assert where_to_put("T", None) == (
        "To mend it, set the environment variable T; where `rowrelay up` or a worker runs, start that again."
    )


def test_a_pandera_model_can_stand_for_the_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    written(
        tmp_path,
        textwrap.dedent("""
            import pandera.pandas as pa

            class Posts(pa.DataFrameModel):
                userId: int = pa.Field(ge=1)
                title: str

            class Loose(pa.DataFrameModel):
                any_: str = pa.Field(alias="x_.*", regex=True)
            """),
        "models_of_this_test.py",
    )
    text = """\
name: posts
schema: models_of_this_test:Posts
request: {url: "https://api.example.com/{userId}"}
limit: {name: x, in_flight: 1}
"""
    made = loaded(tmp_path, text)
    assert made.column_names == ("userId", "title")
    assert Rendering.of(made).make_body({"userId": 1, "title": "a"}) == {"userId": 1, "title": "a"}
    assert made.pandera_model.__name__ == "Posts"
    assert from_resolved(made.resolved()) == made

    for old, new, message in (
        ("{userId}", "{userid}", "posts.yaml:3: request.url: there is no column 'userid'; did you mean `userId`?"),
        (":Posts", ":Post", "posts.yaml:2: schema: models_of_this_test has no Post; did you mean `Posts`?"),
        (":Posts", ":pa", "schema: pa is no pandera DataFrameModel"),
        (":Posts", ":Loose", "schema: Loose names columns by pattern (x_.*); name each of them"),
        (":Posts", "", "schema: write package.module:Model"),
    ):
        with pytest.raises(DefinitionError) as caught:
            loaded(tmp_path, text.replace(old, new))
        assert message in str(caught.value)


def test_the_json_schema_accepts_what_loads_and_refuses_an_unknown_key(tmp_path: Path) -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    made = loaded(tmp_path, GOOD).resolved()

    assert list(validator.iter_errors(made)) == []
    assert list(validator.iter_errors(made | {"retires": 1}))
    assert schema["$defs"]["Limit"]["properties"]["requests"]["description"]
    assert set(schema["properties"]["request"].keys())
    assert list(validator.iter_errors(made | {"limit": made["limit"] | {"requests": "${RATE:-7}"}})) == []
    for wrong in ({"requests": 0}, {"requests": 10**7}, {"window_seconds": 0}, {"grace_seconds": -1}):
        assert list(validator.iter_errors(made | {"limit": made["limit"] | wrong})), wrong
    assert list(validator.iter_errors(made | {"ban": {"status": [200]}}))


def test_what_comes_from_the_environment_and_is_no_secret_is_taken_as_it_is(tmp_path: Path) -> None:
    text = GOOD.replace("{X-From: rowrelay}", '{X-Tenant: "${TENANT}", X-Monkey: "${TURKEY}", X-Author: "${AUTHOR}"}')
    text = text.replace("api.example.com/posts", "${TOKEN_HOST}/posts?page=${PAGE}&token=${secret:TOKEN}")

    made = loaded(tmp_path, text, TENANT="acme", TURKEY="t", AUTHOR="a", TOKEN_HOST="api.example.com", PAGE="2")

    assert made.request.headers == {"X-Tenant": "acme", "X-Monkey": "t", "X-Author": "a"}
    assert made.request.url == "https://api.example.com/posts?page=2&token=${secret:TOKEN}"


def test_a_secret_that_stands_in_a_definition_as_it_is_is_not_shown(tmp_path: Path) -> None:
    text = GOOD.replace("{X-From: rowrelay}", '{Authorization: "Bearer abc", X-From: rowrelay, Cookie: "${secret:C}"}')
    text = text.replace("com/posts", "com/posts?api_key=abc&page=1").replace(
        'body: "{body}"', 'token: "{body}", pwd: abc'
    )

    shown = veiled(loaded(tmp_path, text).resolved())["request"]

    assert shown["headers"] == {"Authorization": DOTS, "X-From": "rowrelay", "Cookie": "${secret:C}"}
    assert shown["url"] == f"https://api.example.com/posts?api_key={DOTS}&page=1"
    assert shown["json"] == {"userId": "{userId}", "title": "{title}", "token": "{body}", "pwd": DOTS}


def test_the_parts_of_a_batch_are_shown_without_the_secrets_in_them() -> None:
    each = {"email": "{email}", "api_key": "sk-live-1", "in": [{"token": "{email}", "password": "x"}]}

    shown = veiled({"name": "own", "batch": {"rows": 9, "each": each}, "request": {"url": "https://a.example/"}})

    hidden = {"email": "{email}", "api_key": DOTS, "in": [{"token": "{email}", "password": DOTS}]}
    assert shown["batch"] == {"rows": 9, "each": hidden}


@pytest.mark.parametrize(
    "url",
    [
        "${AUTH_URL}/posts",
        "https://${AUTH_HOST}/posts",
        "${AUTH_URL:-https://a.example/token}/posts",
        "https://a.example/bot${secret:BOT_TOKEN}/posts",
        "https://a.example/$token/{key}",
    ],
)
def test_an_address_without_an_open_secret(url: str) -> None:
    assert list(open_secrets({"request": {"url": url}})) == []
