"""The first rows of a file over HTTP, before a run is started with it."""

from __future__ import annotations

from starlette.testclient import TestClient

from tests.dashboard.test_api import api, settings

__all__ = ["api", "settings"]


def test_a_program_finds_out_how_a_file_is_to_be_read(api: TestClient) -> None:
    content = "Отчёт\n\nuserId;title;body\n1;да;б\n".encode("cp1251")
    file = api.put("/files/report.csv", content=content).json()["file"]

    unclear = api.post("/look", json={"file": file}).json()
    assert unclear["problem"].startswith("report.csv:1: is not valid utf-8")  # and not the folder that it lies in
    assert unclear["readings"][0] == {"encoding": "cp1251", "lines": ["Отчёт", "1;да;б"]}
    above = api.post("/look", json={"file": file, "source": {"encoding": "cp1251"}}).json()
    assert [(line["number"], line["cells"][:1]) for line in above["top"]][2] == (3, ["userId;title;body"])
    found = api.post("/look", json={"file": file, "source": {"encoding": "cp1251", "header_row": 3}}).json()

    assert (found["columns"], found["rows"]) == (["userId", "title", "body"], [["1", "да", "б"]])
    assert found["source"] == {"kind": "csv", "encoding": "cp1251", "delimiter": ";", "header_row": 3}
    assert found["problem"] == ""


def test_a_look_at_what_is_not_there_or_cannot_be_is_refused(api: TestClient) -> None:
    assert api.post("/look", json={"file": "gone.csv"}).status_code == 404
    assert api.post("/look", json={"file": "../../etc/passwd"}).status_code == 404
    file = api.put("/files/a.csv", content=b"a,b\n1,2\n").json()["file"]
    assert api.post("/look", json={"file": file, "source": {"sheets": 1}}).status_code == 422
    assert api.post("/look", json={"file": file, "pipeline": "nobodys"}).status_code == 400
    workbook = api.post("/look", json={"file": file, "source": {"kind": "xlsx"}}).json()
    assert workbook["problem"] == "a.csv: is a text file, and was said to be an Excel workbook"


def test_the_lists_in_a_json_file_are_proposed(api: TestClient) -> None:
    file = api.put("/files/two.json", content=b'{"a": [{"x": 1}], "b": {"c": [{"x": 2}]}, "d": [').json()["file"]

    assert api.post("/look", json={"file": file}).json()["lists"] == ["a", "b.c"]
    there = api.post("/look", json={"file": file, "source": {"path": "b.c"}}).json()
    assert (there["rows"], there["problem"]) == ([["2"]], "")
