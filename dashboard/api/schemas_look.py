"""What the HTTP API takes and gives of the beginning of a file, as pydantic models."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import Field

from dashboard.api.envelope import Answer, Body
from dashboard.api.schemas import Reading
from dashboard.words import by_name
from flows.pipeline.file_form import AS_FOUND, FileForm
from flows.source import preview


class LookAt(Body):
    """A file to look at, and how it is to be read."""

    file: str = Field(description="`file` of an upload, or a name below the inbox", examples=["posts.csv"])
    pipeline: str = Field("", description="Whose columns its header may hold, and whose `source` counts; empty: none's")
    source: FileForm = Field(
        AS_FOUND,
        description="How the file is to be read: the keys of `source` in a definition",
        examples=[{"encoding": "cp1251", "header_row": 3}],
    )


class Line(Answer):
    """A row as it stands in the file."""

    number: int = Field(description="Counted from 1")
    cells: list[str]


class Sheet(Answer):
    """A visible sheet of a workbook."""

    name: str
    top: list[Line] = Field(description="Its first rows")


class Look(Answer):
    """The beginning of a file, read so. What is long is cut."""

    source: dict[str, Any] = Field(description="How it was read, with what was found")
    columns: list[str] = Field(description="Its header")
    rows: list[list[str]] = Field(description="Rows below the header")
    top: list[Line] = Field(description="The first rows as they stand, those above the header too")
    sheets: list[Sheet] = Field(description="Of a workbook: its visible sheets")
    readings: list[Reading] = Field(
        description="The encodings that fit, where nobody can tell which; the likeliest first"
    )
    lists: list[str] = Field(description="Of a JSON file: where lists of objects begin in it, for `source.path`")
    problem: str = Field(description="Why it cannot be read so; empty if it can")
    hint: str

    @classmethod
    def of(cls, found: preview.Look) -> Look:
        """From what was found."""
        told = asdict(found) | {"source": found.form.stated, "problem": by_name(found.problem)}
        del told["form"]
        return cls.model_validate(told)
