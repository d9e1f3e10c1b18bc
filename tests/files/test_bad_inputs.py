"""What people do wrong, and what they are told: one table, through the real command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.commands import cli
from tests.harness.bad_access import ACCESS, Access
from tests.harness.bad_auth import AUTHS
from tests.harness.bad_courses import COURSES
from tests.harness.bad_inputs import COMMANDS, DEFINITIONS, FILES, GOOD, MISTYPED
from tests.harness.bad_nested import NESTED_FILES
from tests.harness.bad_packed import PACKED_FILES
from tests.harness.bad_values import CELLS, COLUMNS

Content = bytes | Callable[[], bytes] | None
ALL_FILES: list[tuple[str, Content, str]] = [*FILES, *PACKED_FILES, *NESTED_FILES]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rowrelay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, in an empty folder: exit code, standard output, standard error."""
    for name in ("ROWRELAY_REDIS_URL", "PREFECT_API_URL", "ROWRELAY_PIPELINES", "POSTS_URL", "ROWS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROWRELAY_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.csv").write_text(GOOD)

    def run(*args: str) -> tuple[int, str, str]:
        code = cli.main(args)
        sys.stdout.flush()
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def refused(said: tuple[int, str, str], message: str) -> None:
    """Exit code 2, nothing on standard output, the message and not a word more, nothing begun."""
    assert said == (2, "", f"rowrelay: {message}\n")
    assert not Path("data").exists()


def test_the_table_is_long_enough() -> None:
    assert len(FILES) + len(DEFINITIONS) + len(COMMANDS) + len(MISTYPED) >= 80
    assert len(COURSES) >= 90
    assert len(ACCESS) >= 35
    assert len(AUTHS) >= 40
    assert len(COLUMNS) + len(CELLS) >= 80
    assert len(PACKED_FILES) + len(NESTED_FILES) >= 40


@pytest.mark.parametrize(("name", "content", "message"), ALL_FILES, ids=[name for name, *_ in ALL_FILES])
def test_a_bad_file(rowrelay: Run, tmp_path: Path, name: str, content: Content, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content() if callable(content) else content)

    refused(rowrelay("check", name), message)


@pytest.mark.parametrize(
    ("what", "text", "message"),
    [*DEFINITIONS, *COURSES, *AUTHS, *COLUMNS],
    ids=[what for what, *_ in (*DEFINITIONS, *COURSES, *AUTHS, *COLUMNS)],
)
def test_a_bad_definition(
    rowrelay: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, text: str, message: str
) -> None:
    (tmp_path / "own.yaml").write_text(text)
    monkeypatch.setenv("ROWRELAY_PIPELINES", "own.yaml")

    refused(rowrelay("check", "good.csv", "--pipeline", "own"), message)


@pytest.mark.parametrize("case", ACCESS, ids=[case.what for case in ACCESS])
def test_a_bad_access(rowrelay: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Access) -> None:
    (tmp_path / "own.yaml").write_text(case.text)
    (tmp_path / "secrets").mkdir()
    for name, text in case.files.items():
        (tmp_path / "secrets" / name).write_text(text)
    settings = {"ROWRELAY_PIPELINES": "own.yaml", "ROWRELAY_SECRETS": "secrets"}
    for variable, value in {**settings, **case.environ}.items():
        monkeypatch.setenv(variable, value)

    refused(rowrelay("check", "good.csv", "--pipeline", "own"), case.said)


@pytest.mark.parametrize(("column", "found", "message"), CELLS, ids=[f"{found} {column}" for column, found, _ in CELLS])
def test_a_bad_cell(
    rowrelay: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, found: str, message: str
) -> None:
    (tmp_path / "own.yaml").write_text(
        f"name: own\ncolumns: {{c: {column}}}\nrequest: {{url: 'https://api.example.com/rows'}}\n"
        "limit: {name: own, requests: 7, window_seconds: 1}\n"
    )
    (tmp_path / "own.csv").write_text(f'c\n"{found}"\n', encoding="utf-8")
    monkeypatch.setenv("ROWRELAY_PIPELINES", "own.yaml")

    code, out, _ = rowrelay("check", "own.csv", "--json")

    (rejection,) = json.loads(out)["first_rejections"]
    said = {"column": "c", "check": message, "value": found.replace('""', '"'), "place": "line 2"}
    assert (code, rejection["reasons"]) == (1, [said])


@pytest.mark.parametrize(("args", "message"), COMMANDS, ids=[" ".join(args) for args, _ in COMMANDS])
def test_a_misused_command(rowrelay: Run, args: list[str], message: str) -> None:
    refused(rowrelay(*args), message)


@pytest.mark.parametrize(("args", "message"), MISTYPED, ids=[" ".join(args) for args, _ in MISTYPED])
def test_a_mistyped_command_points_at_the_help(rowrelay: Run, args: list[str], message: str) -> None:
    code, out, err = rowrelay(*args)

    assert (code, out) == (2, "")
    assert message in err
    assert "Try 'rowrelay" in err
    assert "Traceback" not in err
