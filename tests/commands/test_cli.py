"""The command line: what it says, on which stream, with which exit code."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deployments.commands import changing, cli, starting
from flows.errors import SettingError, StackError
from flows.ledger.connection import connect
from flows.limit.limiter import Limiter
from flows.limit.script import Keys
from flows.pipeline.pipelines import examples
from flows.pipeline.reading import load
from flows.records import LimitTerms, RowState, RunState
from tests.harness.bad_inputs import FILES, GOOD
from tests.harness.command import PROGRAM, Run, here, rowrelay
from tests.harness.sent import Sent, sent
from tests.harness.workbooks import xlsx
from tests.harness.world import ROOT

__all__ = ["here", "rowrelay"]

COMMANDS = (
    "check", "send", "reconcile", "undo", "mend", "runs", "show", "export", "cancel", "delete", "mark-done", "restored",
    "backup", "restore", "limits", "limits show", "limits open", "limits trust", "pipelines", "answer", "auth",
    "schema", "init", "up", "version",
    "serve", "worker", "register", "notify", "metrics", "standin",
)  # fmt: skip


@pytest.mark.parametrize("command", ["check", "send"])
@pytest.mark.parametrize(("name", "content", "message"), FILES, ids=[name for name, *_ in FILES])
def test_an_unusable_file_is_named_with_what_to_do_and_nothing_is_started(
    here: Path, rowrelay: Run, command: str, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (here / name).write_bytes(content)

    code, out, err = rowrelay(command, name)

    assert (code, out) == (2, "")
    assert err.rstrip("\n") == f"rowrelay: {message}"
    assert not (here / "data").exists()


NOTES = """
name: {0}
columns: {{{0}: {{type: str}}}}
request: {{url: "http://127.0.0.1:9/{0}", json: {{text: "{{{0}}}"}}}}
limit: {{name: {0}, requests: 7, window_seconds: 1}}
"""


def test_of_one_pipeline_none_need_be_named_and_of_several_the_fitting_one_is_told(
    here: Path, rowrelay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "own").mkdir()
    (here / "notes.csv").write_text("note\nx\n")
    (here / "other.csv").write_text("age\n1\n")
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(here / "own"))
    (here / "own" / "note.yaml").write_text(NOTES.format("note"))
    only = rowrelay("check", "notes.csv")
    (here / "own" / "memo.yaml").write_text(NOTES.format("memo"))

    fitting, other = rowrelay("send", "notes.csv"), rowrelay("check", "other.csv")

    assert only[0] == 0, only[2]
    assert fitting[0] == other[0] == 2
    assert fitting[2] == (
        "rowrelay: No pipeline is named. The columns of notes.csv fit the pipeline note.\n"
        "If that is meant, add --pipeline note\n"
    )
    assert other[2] == "rowrelay: No pipeline is named.\nAdd --pipeline NAME. There are: memo, note.\n"


def apart(*args: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """A command in a process of its own, with another terminal than ours."""
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([*PROGRAM, *map(str, args)], timeout=300, check=False, **given)


def test_a_terminal_that_knows_ascii_alone_shows_what_it_can(here: Path) -> None:
    (here / "grüße.csv").write_text("userId,title,body\n1,Grüße 😀,x\n", encoding="utf-8")
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}

    told = apart("check", "grüße.csv", "--pipeline", "posts", env=ascii_only)
    as_json = apart("check", "grüße.csv", "--pipeline", "posts", "--json", env=ascii_only)
    inferred = apart("init", "grüße.csv", env=ascii_only)

    assert (told.returncode, as_json.returncode, inferred.returncode) == (0, 0, 0), told.stderr + as_json.stderr
    assert "gr??e.csv" in told.stdout.decode("ascii")
    assert "Grüße 😀" in json.dumps(json.loads(as_json.stdout.decode("ascii")), ensure_ascii=False)
    assert "grüße.csv" in inferred.stdout.decode("utf-8")


def test_an_output_that_is_full_or_closed_is_no_internal_error(here: Path) -> None:
    with open("/dev/full", "wb") as full:
        told = apart("schema", stdout=full)
    assert (told.returncode, told.stderr) == (
        2, b"rowrelay: standard output cannot be written: No space left on device\n",
    )  # fmt: skip

    read, write = os.pipe()
    os.close(read)
    told = apart("schema", stdout=write)
    os.close(write)
    assert (told.returncode, told.stderr) == (141, b"")


def test_a_port_in_use_is_named(here: Path, rowrelay: Run) -> None:
    port = _taken_port()

    code, out, err = rowrelay("up", "--port", port)

    assert (code, out) == (2, "")
    assert err == f"rowrelay: Port {port} is in use.\nGive another one with --port, or leave --port out.\n"


def _taken_port() -> int:
    import socket

    sock = socket.create_server(("127.0.0.1", 0))
    _held.append(sock)
    return int(sock.getsockname()[1])


_held: list[Any] = []


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ROWRELAY_REDIS_URL", "http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("ROWRELAY_REDIS_URL", "redis://:secret@127.0.0.1:1/0", "Redis at redis://:***@127.0.0.1:1/0 cannot be used"),
        ("ROWRELAY_RETENTION_DAYS", "soon", "ROWRELAY_RETENTION_DAYS"),
        ("ROWRELAY_PIPELINES", "/no/such/folder", "/no/such/folder: ROWRELAY_PIPELINES: there is no such file"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_is_sent(
    here: Path, rowrelay: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    (here / "good.csv").write_text(GOOD)
    monkeypatch.setenv(variable, value)

    code, out, err = rowrelay("send", "good.csv", "--json")

    assert code == 2
    assert message in err
    assert "secret" not in err
    assert "Traceback" not in err
    assert json.loads(out)["exit"] == 2


def test_a_missing_secret_is_named_before_anything_is_started(
    here: Path, rowrelay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "deployments/pipelines/posts.yaml").read_text().replace("name: posts ", "name: guarded ")
    text = text.replace("  method: POST", "  method: POST\n  headers: {Authorization: 'Bearer ${secret:POSTS_TOKEN}'}")
    (here / "guarded.yaml").write_text(text)
    (here / "good.csv").write_text(GOOD)
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(here / "guarded.yaml"))

    code, _, err = rowrelay("send", "good.csv", "--pipeline", "guarded")
    checked, out, told = rowrelay("check", "good.csv", "--pipeline", "guarded")
    as_json = rowrelay("check", "good.csv", "--pipeline", "guarded", "--json")
    up = rowrelay("up", "--port", _taken_port())

    assert code == 2
    assert "Pipeline guarded needs the secret POSTS_TOKEN, which is not there." in err
    assert checked == as_json[0] == 2
    assert "The secret POSTS_TOKEN is missing, so nothing can be sent." in told
    assert "set the environment variable POSTS_TOKEN; where `rowrelay up` or a worker runs, start that again" in told
    assert json.loads(as_json[1])["missing_secrets"] == ["POSTS_TOKEN"]
    assert "Pipeline guarded can send nothing: the secret POSTS_TOKEN is missing. To mend it, set" in up[2]
    assert "can be sent" in out
    assert "Bearer ••••" in out
    assert "makes no request" not in out

    monkeypatch.setenv("POSTS_TOKEN", "hush-hush")
    _, out, _ = rowrelay("check", "good.csv", "--pipeline", "guarded")
    assert "Bearer" in out
    assert "hush" not in out


def test_a_bug_is_one_line_and_the_log_has_the_rest(here: Path, rowrelay: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("of some kind")

    monkeypatch.setattr("deployments.commands.describing.schema", broken)

    code, out, err = rowrelay("schema")

    assert (code, out) == (70, "")
    assert err.splitlines()[0] == "rowrelay: internal error: ZeroDivisionError: of some kind"
    log = here / "data" / "logs" / "rowrelay.log"
    assert str(log) in err
    assert "Traceback" in log.read_text()
    with pytest.raises(ZeroDivisionError):
        cli.main(["schema", "--debug"])


@pytest.mark.parametrize(
    ("command", "variable", "words"),
    [
        ("serve", "ROWRELAY_PIPELINES", "there is no such file or folder"),
        ("notify", "ROWRELAY_DATA", "Prefect server is not running."),
        ("metrics", "ROWRELAY_DATA", "Redis is not running."),
        ("worker", "ROWRELAY_RETENTION_DAYS", "ROWRELAY_RETENTION_DAYS"),
    ],
)
def test_what_a_server_lacks_is_said_in_a_line_or_two(
    here: Path, rowrelay: Run, monkeypatch: pytest.MonkeyPatch, command: str, variable: str, words: str
) -> None:
    monkeypatch.setenv(variable, str(here / "nothing"))

    code, out, err = rowrelay(command)

    assert (code, out) == (2, "")
    assert err.startswith("rowrelay: ")
    assert words in err
    assert "Traceback" not in err


def test_words_for_a_worker_that_are_not_ours_are_for_prefect(here: Path) -> None:
    told = apart("worker", "mine", "--nonsense", "--limit", "3", env={**os.environ, "PREFECT_API_URL": "http://x/api"})

    assert told.returncode == 2
    assert b"--nonsense" in told.stderr + told.stdout


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_has_an_example(rowrelay: Run, command: str) -> None:
    code, out, _ = rowrelay(*command.split(), "--help")

    assert code == 0
    assert re.search(rf"Example:\n +rowrelay {command}".rstrip(), out), out


def test_every_command_is_in_the_help_and_in_this_file(rowrelay: Run) -> None:
    _, out, _ = rowrelay("--help")

    listed = re.findall(r"^  ([a-z-]+)  ", out.split("Files and runs:")[1], flags=re.MULTILINE)
    assert sorted(listed) == sorted({command.split()[0] for command in COMMANDS})


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'pandas', 'prefect', 'httpx', 'pydantic', 'redis', 'numpy', 'pyarrow', 'rich', 'streamlit'}"
    begun = "import sys; from deployments.commands import cli; cli.main(['--help'])"
    code = f"{begun}; print(sorted({heavy} & set(sys.modules)))"

    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert found.stdout.splitlines()[-1] == "[]"


def test_a_proxy_that_is_not_used_is_told_of_once_with_what_to_do(
    here: Path, rowrelay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "good.csv").write_text(GOOD)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy.example.com:3128")

    code, out, err = rowrelay("check", "good.csv")

    assert code == 0
    assert err.count("http://proxy.example.com:3128, which is not used") == 1
    assert "add jsonplaceholder.typicode.com to NO_PROXY" in err
    assert "secret" not in err + out
    monkeypatch.setenv("NO_PROXY", "jsonplaceholder.typicode.com")
    assert "proxy" not in rowrelay("check", "good.csv")[2]


def test_check_tells_what_would_be_sent(here: Path, rowrelay: Run) -> None:
    (here / "good.csv").write_text(GOOD)

    code, out, _ = rowrelay("check", "good.csv")

    assert code == 0
    assert "3 rows, utf-8, comma-separated" in out
    assert "3 can be sent, 0 are rejected" in out
    assert '{"userId":1,"title":"one","body":"b"}' in out
    assert "Sending 3 rows takes at least 0 s (limit: 7 per second)" in out
    assert not (here / "data").exists()


def test_check_tells_what_it_noticed_of_columns_as_a_whole(here: Path, rowrelay: Run) -> None:
    (here / "odd.csv").write_text("userId,title,body,Remark\n1,NULL,b,\n")

    code, out, _ = rowrelay("check", "odd.csv")
    as_json = json.loads(rowrelay("check", "odd.csv", "--json")[1])

    noticed = "column title: 1 cell holds a word for no value (NULL, at line 2)"
    assert code == 0
    assert "Columns that the pipeline does not use: Remark" in out
    assert noticed in " ".join(out.split())
    assert [as_json["ignored"], len(as_json["notices"])] == [["Remark"], 1]
    assert as_json["notices"][0].startswith(noticed)


def test_check_shows_rejections_and_writes_them_down(here: Path, rowrelay: Run) -> None:
    (here / "mixed.csv").write_text("userId,title,body\n1,one,=b\nx,,\n0,three\n4,four,b\n")

    code, out, _ = rowrelay("check", "mixed.csv", "--rejects", "wrong.csv")
    as_json = json.loads(rowrelay("check", "mixed.csv", "--json")[1])

    assert code == 1
    assert re.search(r"3 +userId +must be a whole number +'x'", out)
    rows = list(csv.reader((here / "wrong.csv").open(newline="", encoding="utf-8-sig")))
    assert rows[0] == ["reason (rowrelay)", "userId", "title", "body"]
    assert [row[1:] for row in rows[1:]] == [["x", "", ""], ["0", "three"]]
    assert (as_json["rows"], as_json["accepted"], as_json["rejected"]) == (4, 2, 2)
    assert as_json["first_rejections"][0]["reasons"][0] == {
        "column": "userId", "check": "must be a whole number", "value": "x", "place": "line 3",
    }  # fmt: skip
    assert as_json["first_requests"][1]["body"] == '{"userId":4,"title":"four","body":"b"}'


OWN_WORDS = """\
name: own
columns:
  mail: {type: str, pattern: '.+@.+', says: an e-mail address, example: a@b.de}
  price: {type: decimal, as: text, optional: true}
  born: {type: date, as: unix, optional: true}
request:
  url: https://api.example.com/rows?born={born}
  json: {mail: "{mail}", prices: ["{price}"], born: "{born}"}
  empty: omit
limit: {name: own, requests: 7, window_seconds: 1}
"""


def test_the_rejected_rows_of_a_workbook_say_where_they_stand(rowrelay: Run, tmp_path: Path) -> None:
    xlsx(tmp_path / "book.xlsx", {"Posts": [["userId", "title", "body"], ["x", "a", "b"]]})

    assert rowrelay("check", "book.xlsx", "--pipeline", "posts", "--rejects", "wrong.csv")[0] == 1
    assert "Posts!A2: userId: must be" in (tmp_path / "wrong.csv").read_text("utf-8-sig")


@pytest.mark.parametrize(
    ("variables", "offered"),
    [
        ({}, ["own"]),
        ({"ROWRELAY_EXAMPLES": "true"}, ["own", "posts"]),
        ({"POSTS_URL": "http://127.0.0.1:9/posts"}, ["own", "posts"]),
        ({"POSTS_URL": "http://127.0.0.1:9/posts", "ROWRELAY_EXAMPLES": "false"}, ["own"]),
        ({"ROWRELAY_PIPELINES": "empty"}, ["posts"]),
        ({"ROWRELAY_PIPELINES": "empty", "ROWRELAY_EXAMPLES": "false"}, []),
    ],
    ids=lambda given: " ".join(given) or "nothing said",
)
def test_the_example_is_offered_beside_pipelines_of_ones_own_only_if_asked_for(
    here: Path, rowrelay: Run, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], offered: list[str]
) -> None:
    (here / "mine").mkdir()
    (here / "empty").mkdir()
    (here / "mine" / "own.yaml").write_text(OWN_WORDS)
    for name, value in ({"ROWRELAY_PIPELINES": "mine"} | variables).items():
        monkeypatch.setenv(name, value)

    code, out, err = rowrelay("pipelines", "--json")

    assert (code, [each["name"] for each in json.loads(out)["pipelines"]]) == (0, offered)
    said = "Example pipelines that are not offered: posts. ROWRELAY_EXAMPLES=true offers them"
    assert (said in " ".join(err.split())) == ("posts" not in offered)
    if offered == ["own"]:
        up = rowrelay("up", "--port", _taken_port())
        assert said in " ".join(up[2].split())
        sent = rowrelay("send", "good.csv", "--pipeline", "posts")
        assert (sent[0], said in " ".join(sent[2].split())) == (2, True)


def test_check_shows_how_values_go_out_and_what_empty_cells_become(
    here: Path, rowrelay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "own.yaml").write_text(OWN_WORDS)
    (here / "own.csv").write_text("mail,price,born\na@b.de,1.50,2000-01-01\nb@b.de,,\nnobody,,\n")
    monkeypatch.setenv("ROWRELAY_PIPELINES", "own.yaml")

    code, out, _ = rowrelay("check", "own.csv", "--pipeline", "own", "--json")

    told = json.loads(out)
    assert code == 1
    assert [reason["check"] for reason in told["first_rejections"][0]["reasons"]] == ["must be an e-mail address"]
    assert [(request["url"], request["body"]) for request in told["first_requests"]] == [
        (
            "https://api.example.com/rows?born=946684800",
            '{"mail":"a@b.de","prices":["1.50"],"born":946684800}',
        ),
        ("https://api.example.com/rows", '{"mail":"b@b.de"}'),
    ]


def test_a_file_with_rejected_rows_only_is_no_error_of_the_file(here: Path, rowrelay: Run) -> None:
    (here / "bad.csv").write_text("userId,title,body\nx,,\n")

    code, out, _ = rowrelay("check", "bad.csv")

    assert code == 1
    assert "0 can be sent, 1 is rejected" in out


def test_init_writes_a_definition_that_the_sample_passes(
    here: Path, rowrelay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "orders.csv").write_text("id,paid,at\n1,true,2026-01-31\n2,false,2026-02-01\n")

    code, _, err = rowrelay("init", "orders.csv", "--out", "orders.yaml")
    assert code == 0
    variable, _, command = err.partition(", then ")[2].strip().partition(" ")
    monkeypatch.setenv(*variable.split("=", 1))
    code, out, _ = rowrelay(*command.split()[1:])  # what it says comes next

    assert code == 0
    assert '{"id":1,"paid":true,"at":"2026-01-31"}' in out
    assert rowrelay("init", "orders.csv")[1] == (here / "orders.yaml").read_text()


def test_init_makes_a_column_of_each_field_and_keeps_what_was_said_of_the_file(
    rowrelay: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [{"id": 1, "address": {"city": "Oslo", "zip": "0150"}, "tags": {}}, {"id": 2, "address": None, "tags": {}}]
    (here / "people.json").write_text(json.dumps({"data": {"people": people}, "more": [{"x": 1}]}))

    code, _, err = rowrelay("init", "people.json", "--path", "data.people", "--out", "people.yaml")

    assert code == 0, err
    monkeypatch.setenv("ROWRELAY_PIPELINES", "people.yaml")
    made = load(here / "people.yaml", environ={})
    assert made.column_names == ("id", "tags", "address.city", "address.zip")
    assert made.source.stated == {"path": "data.people"}
    code, out, err = rowrelay("check", "people.json")
    assert code == 0, err
    assert "2 rows" in out


@pytest.mark.parametrize("name", examples())
def test_an_example_is_copied_to_be_edited_and_is_no_pipeline_before(
    here: Path, rowrelay: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert [each["name"] for each in json.loads(rowrelay("pipelines", "--json")[1])["pipelines"]] == ["posts"]

    code, _, err = rowrelay("init", "--example", name, "--out", "mine.yaml")
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(here))

    assert (code, "mine.yaml: edit it" in err) == (0, True)
    assert (here / "mine.yaml").read_bytes() == examples()[name].read_bytes()
    told = json.loads(rowrelay("pipelines", "--json")[1])
    assert [each["name"] for each in told["pipelines"]] == [name]
    assert told["advice"] == {}


def test_an_example_that_is_not_there_is_named_with_those_that_are(rowrelay: Run) -> None:
    code, _, err = rowrelay("init", "--example", "graphq")
    assert (code, err) == (2, "rowrelay: There is no example 'graphq'.\nDid you mean `graphql`?\n")
    assert "items207" in rowrelay("init", "--example", "zzz")[2]
    assert rowrelay("init")[0] == 2


def test_pipelines_and_schema_are_told(rowrelay: Run) -> None:
    assert "jsonplaceholder: 7 per second" in rowrelay("pipelines")[1]
    assert json.loads(rowrelay("pipelines", "--json")[1])["pipelines"][0]["name"] == "posts"
    assert json.loads(rowrelay("schema")[1])["properties"]["limit"]
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", rowrelay("version")[1])


@pytest.fixture
def ended(here: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """A run of six rows: done, rejected, failed, rejected, unknown, waiting. Nobody delivers it."""
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)
    monkeypatch.setenv("ROWRELAY_STORAGE", str(here))
    made = sent(redis_url, here)
    made.end(1, RowState.DONE, status=201, postId=101)
    made.end(3, RowState.FAILED, status=422, reason="the API refused it")
    made.end(5, RowState.UNKNOWN, reason="no answer within 2 s")
    made.ledger.end(made.id, made.epoch, RunState.STOPPED, "the API answered 500 all the time")
    return made


def test_an_empty_ledger_has_no_runs(rowrelay: Run, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)

    assert rowrelay("runs")[:2] == (0, "There are no runs yet. `rowrelay send FILE` makes one.\n")
    assert json.loads(rowrelay("runs", "--json")[1]) == {"runs": []}
    assert rowrelay("show", "last")[2] == "rowrelay: There are no runs yet.\n`rowrelay send FILE` makes one.\n"
    assert rowrelay("limits")[1] == "No limit has been used yet.\n"
    for args in (["show", "nope"], ["export", "nope"], ["cancel", "nope"], ["delete", "nope", "--yes"]):
        assert rowrelay(*args)[0] == 2
    code, _, err = rowrelay("limits", "open", "nope")
    assert (code, err) == (2, "rowrelay: There is no limit 'nope'.\nThere are: none yet.\n")


def test_runs_and_show_tell_counts_that_add_up(rowrelay: Run, ended: Sent) -> None:
    listed = json.loads(rowrelay("runs", "--json")[1])["runs"]
    shown = json.loads(rowrelay("show", "last", "--json")[1])
    _, table, _ = rowrelay("runs")
    _, text, _ = rowrelay("show", "run")

    assert listed[0]["counts"] == shown["counts"]
    assert shown["counts"] == {
        "rejected": 2,
        "waiting": 1,
        "sending": 0,
        "accepted": 0,
        "done": 1,
        "failed": 1,
        "unknown": 1,
    }
    assert sum(shown["counts"].values()) == shown["total"] == 6
    assert (shown["run"], shown["state"]) == ("run-1", "stopped")
    assert [trouble["row"] for trouble in shown["troubles"]] == [2, 4, 3, 5]
    assert "stopped" in table
    assert "the API answered 500 all the time" in text
    assert "rowrelay send --resume run-1" in text
    assert "rowrelay export run-1 --rows troubled" in text


def test_show_tells_of_one_row_what_it_was_and_what_the_api_said(rowrelay: Run, ended: Sent) -> None:
    _, failed, _ = rowrelay("show", "last", "--row", "3")
    _, rejected, _ = rowrelay("show", "last", "--row", "2")
    item = json.loads(rowrelay("show", "last", "--row", "3", "--json")[1])

    for words in (
        "row 3, line 4 of ",
        ": failed",
        "the API refused it",
        "422",
        "POST http://127.0.0.1:1/posts",
        '"userId":3',
    ):
        assert words in failed
    assert "=1+1" in rejected
    assert "userId: must be at least 1" in rejected
    assert "Its request" not in rejected
    assert (item["row"], item["state"], item["status"], item["values"]["userId"]) == (3, "failed", 422, 3)
    assert item["request"]["method"] == "POST"
    assert rowrelay("show", "last", "--row", "7") == (
        2, "", "rowrelay: The run has 6 rows, so there is no row 7.\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "numbers"),
    [
        ("all", [1, 2, 3, 4, 5, 6]), ("done", [1]), ("rejected", [2, 4]), ("failed", [3]), ("unknown", [5]),
        ("waiting", [6]), ("troubled", [2, 3, 4]),
    ],
)  # fmt: skip
def test_export_writes_the_rows_that_were_asked_for(rowrelay: Run, ended: Sent, rows: str, numbers: list[int]) -> None:
    code, out, _ = rowrelay("export", "last", "--rows", rows, "--format", "json")

    assert code == 0
    assert [row["row"] for row in json.loads(out)["result"]] == numbers


def test_export_writes_every_form_to_a_file_in_one_piece(here: Path, rowrelay: Run, ended: Sent) -> None:
    for form in ("json", "jsonl", "csv"):
        code, out, _ = rowrelay("export", "last", "--format", form, "--out", f"results.{form}")
        assert (code, out) == (0, "")
    _, text, _ = rowrelay("export", "last", "--rows", "troubled")

    assert len(json.loads((here / "results.json").read_text())["result"]) == 6
    assert len((here / "results.jsonl").read_text().splitlines()) == 6
    assert len(list(csv.reader((here / "results.csv").open(newline="")))) == 7
    assert next(iter(csv.reader(io.StringIO(text)))) == ["\ufeffreason (rowrelay)", "userId", "title", "price", "extra"]
    assert not list(here.glob(".results*"))
    assert rowrelay("export", "last", "--out", "/dev/null")[0] == 0
    assert not Path("/dev/null").is_file()
    assert rowrelay("export", "last", "--out", here)[0] == 2


def test_an_export_into_a_closed_pipe_ends_quietly(here: Path, ended: Sent) -> None:
    process = subprocess.Popen([*PROGRAM, "export", "last"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    process.stdout.close()

    assert process.wait(120) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_unknown_rows_can_be_called_done(rowrelay: Run, ended: Sent) -> None:
    code, out, err = rowrelay("mark-done", "last", "3", "5-6")

    assert (code, out) == (1, "1 of 3 rows are done now.\n")
    assert "The others are not unknown" in err
    assert ended.run.counts[RowState.DONE] == 2
    assert rowrelay("mark-done", "last", "5")[:2] == (1, "0 of 1 rows are done now.\n")


def test_after_a_restored_backup_nothing_that_waits_is_sent_by_itself(
    rowrelay: Run, ended: Sent, redis_url: str
) -> None:
    client = connect(redis_url)

    async def ask() -> tuple[bytes | None, bytes | None]:
        """Get a permit; since when the limit's record counts as whole, and why not longer."""
        async with Limiter(redis_url) as limiter:
            for permit in await limiter.limit(LimitTerms("kept", ((7, 1.0),), 7, 0.1, 0.1)).acquire(1):
                permit.unused()
        return client.hget(Keys.of("kept").state, "born"), client.hget(Keys.of("kept").state, "cause")

    since = asyncio.run(ask())
    assert asyncio.run(ask()) == since
    assert rowrelay("restored")[0] == 2  # it has to be confirmed

    code, out, _ = rowrelay("restored", "--yes")

    assert code == 0
    assert "1 waiting rows of 1 runs are unknown now" in out
    assert (ended.run.counts[RowState.WAITING], ended.run.counts[RowState.UNKNOWN]) == (0, 2)
    rows = json.loads(rowrelay("export", "last", "--rows", "unknown")[1])["result"]
    assert "restored from a backup" in rows[1]["reason"]
    assert asyncio.run(ask()) > since
    assert asyncio.run(ask())[1] == b"restart"
    assert rowrelay("restored", "--yes")[1].startswith("0 waiting rows of 0 runs")


def test_a_run_is_deleted_once_it_is_confirmed(rowrelay: Run, ended: Sent) -> None:
    code, _, err = rowrelay("delete", "last")
    assert (code, err) == (2, "rowrelay: This has to be confirmed.\nAdd --yes.\n")

    assert rowrelay("delete", "last", "--yes")[:2] == (0, "Run run-1 is deleted.\n")

    assert not ended.spool.exists()
    assert rowrelay("runs")[1].startswith("There are no runs yet")


def test_a_run_that_is_delivered_is_cancelled_and_not_deleted(rowrelay: Run, ended: Sent) -> None:
    assert "there is nothing to cancel" in rowrelay("cancel", "last")[1]

    ended.ledger.take(ended.id, "somebody", resume=True)
    code, out, _ = rowrelay("cancel", "last")

    assert code == 0
    assert "takes no new rows" in out
    assert ended.run.cancelling
    code, _, err = rowrelay("delete", "last", "--yes")
    assert (code, err) == (2, "rowrelay: Run run-1 is being delivered.\nCancel it first.\n")


@pytest.mark.parametrize(
    ("words", "rows"), [(["3"], [3]), (["3", "1"], [1, 3]), (["2-4", "3"], [2, 3, 4]), (["7-7"], [7])]
)
def test_row_numbers_are_read_with_spans(words: list[str], rows: list[int]) -> None:
    assert changing.row_numbers(words) == rows


@pytest.mark.parametrize("word", ["", "0", "-3", "3-", "a-b", "٣", "1-99999999999", "1.5"])
def test_what_is_no_row_number_is_refused(word: str) -> None:
    with pytest.raises(SettingError):
        changing.row_numbers([word])


def test_a_service_that_does_not_become_ready_is_not_announced(tmp_path: Path) -> None:
    log = tmp_path / "dashboard.log"
    log.write_text("still loading\n")
    process = subprocess.Popen(["sleep", "60"])
    try:
        child = starting.Child("dashboard", "its pages are gone", process, log, lambda: False)

        with pytest.raises(
            StackError, match=r"The dashboard did not become ready within 0 s: its pages.*\nstill"
        ) as no:
            starting._wait([child], seconds=0.3)

        assert str(log) in no.value.hint
    finally:
        process.kill()
        process.wait()


def test_check_follows_what_is_said_of_the_columns_and_tells_it(here: Path, rowrelay: Run) -> None:
    (here / "named.csv").write_text("userId,Titel,Text\n1,one,b\n")
    code, _, err = rowrelay("check", "named.csv")
    assert code == 2
    assert "title may be \"Titel\": --map 'Titel=title', or from: [Titel] in the definition" in err

    code, out, _ = rowrelay(
        "check", "named.csv", "--map", "Titel=title", "--map", "Text=body", "--rejects", "wrong.csv"
    )

    assert code == 0
    assert "the column 'Titel' of the file is taken for title, as was said" in out
    assert '{"userId":1,"title":"one","body":"b"}' in out
