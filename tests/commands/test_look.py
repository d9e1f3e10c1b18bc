"""`rowrelay check FILE --look`: how the first rows of a file read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployments.commands import cli


def test_the_first_rows_are_shown_as_they_are_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.csv"
    file.write_text("Report\n\nnumber;city\n1;Berlin\n2;B\x1b[31monn\n")

    assert cli.main(["check", str(file), "--look", "--header-row", "3"]) == 0
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert lines[:4] == [
        ["A", "text", "file:", "encoding", "'utf-8',", "delimiter", "';',", "header_row", "3"],
        ["number", "city"], ["1", "Berlin"], ["2", "B·[31monn"],
    ]  # fmt: skip
    assert ["3", "number", "city"] in lines
    assert cli.main(["check", str(file), "--look", "--header-row", "3", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["columns"], told["top"][0]) == (["number", "city"], {"number": 1, "cells": ["Report"]})


def test_what_cannot_be_read_so_ends_with_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.csv"
    file.write_bytes("a,b\n1,Москва\n".encode("cp1251"))

    assert cli.main(["check", str(file), "--look"]) == 2
    assert "Encodings that would fit there: cp1251" in capfd.readouterr().err
