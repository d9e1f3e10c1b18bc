"""What pages and the HTTP API say of files and of options, in the words of those who read it there."""

from __future__ import annotations

import pytest

from dashboard.words import CONTROLS, by_name, on_page
from flows.pipeline.file_form import option


@pytest.mark.parametrize("value", ["Orders", "First one", "It's (so})", 3])
@pytest.mark.parametrize("key", list(CONTROLS))
def test_a_page_names_its_control_where_a_message_names_an_option(key: str, value: object) -> None:
    said = on_page(f"Say which one: {option(key, value)}. Then go on.")

    assert "--" not in said
    assert f"“{CONTROLS[key]}: " in said
    assert said.endswith("under “Read it otherwise”. Then go on.")


def test_an_option_without_a_control_is_left_as_it_is() -> None:
    assert on_page("Say --apply (in a definition source: x).") == "Say --apply (in a definition source: x)."


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("/data/uploads/ab12/My file.csv:3: is no text", "My file.csv:3: is no text"),
        ("/home/Jo Doe/inbox/a.csv: is empty", "a.csv: is empty"),
        ("s3://bucket/uploads/ab12/a.csv: is empty", "a.csv: is empty"),
        ("Not to be told: /data/spool/0af3: the spool is gone", "Not to be told: 0af3: the spool is gone"),
        ("An error: [Errno 28] No space left: '/data/spool/0af3/part'", "An error: [Errno 28] No space left: 'part'"),
        ("GET /v1/rows/7 was answered 404", "GET /v1/rows/7 was answered 404"),
        ("see https://api.example.com/docs/a: there", "see https://api.example.com/docs/a: there"),
        ("Orders!D17: is empty", "Orders!D17: is empty"),
    ],
)  # fmt: skip
def test_files_are_told_of_by_their_names_alone(message: str, told: str) -> None:
    assert by_name(message) == told
