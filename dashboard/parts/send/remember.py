"""What was said of a file, as lines for its pipeline, so that nobody has to say it again."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard.parts.theme import notice
from flows.pipeline.definition import Definition
from flows.pipeline.file_form import FileForm
from flows.pipeline.infer import quoted


def show(definition: Definition, said: FileForm, mapping: Mapping[str, str]) -> None:
    """The lines to put into the definition, which is a file that pages do not change; nothing where nothing was said.

    `mapping`: by column of the file the column that it is.
    """
    if lines := lines_of(definition, said, mapping):
        with st.expander(f"Remember it for {definition.name}"):
            st.write("Put these lines into the definition. Files are then read so without asking.")
            st.code(lines, language="yaml")
            if definition.schema_path and any(mapping.values()):
                st.html(notice("info", "The columns of this pipeline stand in its pandera model: name them there."))


def lines_of(definition: Definition, said: FileForm, mapping: Mapping[str, str]) -> str:
    """The same as YAML."""
    stated = {key: value for key, value in definition.source.but(said).stated.items() if (key, value) != _ASKS}
    lines = []
    if said.stated:
        keys = ", ".join(f"{key}: {_scalar(value)}" for key, value in stated.items())
        lines.append(f"source: {{{keys}}}")
    others = {column: _others(definition, column, name) for name, column in mapping.items() if column}
    if others and not definition.schema_path:
        lines += ["columns:", *(f"  {quoted(column)}: {{…, from: [{names}]}}" for column, names in others.items())]
    return "\n".join(lines)


_ASKS = ("apostrophes", "ask")


def _scalar(value: object) -> str:
    return quoted(value) if isinstance(value, str) else str(value)


def _others(definition: Definition, column: str, name: str) -> str:
    known = definition.columns[column].other_names if column in definition.columns else []
    return ", ".join(quoted(each) for each in (*known, name))
