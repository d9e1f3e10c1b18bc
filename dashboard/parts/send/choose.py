"""The first half of the Send page: which pipeline, and which file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePath

import pandas as pd
import streamlit as st

from dashboard import starting, target
from dashboard.connections import settings
from dashboard.files.template import rule_of, template_csv
from dashboard.parts import answer, cached
from dashboard.parts.address import ask, query
from dashboard.parts.cached import known_pipelines, locale, show_errors, who
from dashboard.parts.html import tag
from dashboard.parts.locale import size
from dashboard.parts.send.uploader import uploader
from dashboard.parts.theme import empty, facts, notice
from dashboard.words import visible
from flows.client.meaning_words import lines_of
from flows.errors import DefinitionError, RowrelayError
from flows.pipeline.definition import Definition
from flows.pipeline.fault import Place
from flows.pipeline.pipelines import Pipelines
from flows.storage.located import find


def show() -> None:
    """Choose, then check."""
    st.html(tag("div", tag("h1", "Send a file"), cls="rr-head"))
    with show_errors():
        found = known_pipelines()
        if not found:
            st.html(
                empty(
                    "There is no pipeline yet.",
                    "Describe your API in a YAML file: `rowrelay init` writes one from a sample of your rows.",
                    "Then name the file, or its folder, in ROWRELAY_PIPELINES.",
                )
            )
            return
        _way_back()
        file = query("file")
        name = _choose(found, file)
        if name:
            _describe(found[name])
        _file(found[name] if name else None, file)


def _way_back() -> None:
    """To the check that is still open."""
    if still := st.session_state.get("open_check"):
        run, name = still
        link = tag("a", "Go back to it", href=f"check?run={run}", target="_self")
        st.html(notice("info", f"The check of {name or 'your file'} is kept.", link))


def _choose(found: dict[str, Definition], file: str) -> str:
    """The pipeline: the only one, the one that was chosen or used last, the one that the file fits; else "", asked for.

    A pipeline that stands there although nobody chose it would be taken for the right one.
    """
    names = list(found)
    if len(names) == 1:
        return names[0]
    if not query("pipeline") and not st.session_state.get("pipeline"):
        fits = cached.pipelines_of(file) if file else []
        last = st.session_state.get("used", "")
        if guess := fits[0] if len(fits) == 1 else last if last in found and not file else "":
            st.session_state["pipeline"] = guess
    placeholder = "Choose a pipeline" if file else "Choose one, or drop the file: its columns say which"
    chosen = st.selectbox("Pipeline", names, key="pipeline", bind="query-params", index=None, placeholder=placeholder)
    return chosen or ""


def _describe(definition: Definition) -> None:
    terms = definition.terms
    with st.container(border=True):
        st.html(
            facts(
                ("Pipeline", definition.name),
                ("What it does", definition.description or "–"),
                ("Goes to", target.in_words(definition)),
                ("How fast", cached.pace(terms)),
            )
        )
        with st.expander("Columns that the file needs"):
            names = definition.column_names
            rules = [rule_of(definition.columns.get(name)) for name in names]
            st.dataframe(
                pd.DataFrame({"column": names, "what may stand in it": rules}),
                hide_index=True,
                alt=f"Columns of the pipeline {definition.name}",
            )
            st.download_button(
                "Download a template",
                template_csv(definition),
                file_name=f"{definition.name}-template.csv",
                mime="text/csv",
                icon=":material/download:",
                on_click="ignore",
            )
        answer.show(definition, lines=_lines(definition.name))


def _lines(name: str) -> Mapping[Place, int]:
    """Where the keys of a definition stand in its file; nothing where it cannot be read just now."""
    found = known_pipelines()
    with suppress(DefinitionError):
        if isinstance(found, Pipelines) and name in found.files:
            return lines_of(found.files[name])
    return {}


def _file(definition: Definition | None, file: str) -> None:
    if file:
        try:
            find(file, settings(), definition.name if definition else "")
        except RowrelayError as exc:
            st.html(notice("warn", "That file is not here.", exc.message, "Choose one below."))
        else:
            _arrived(definition, file)
            return
    done = uploader(key="uploader")
    if done:
        st.session_state["arrived"] = done
        ask(file=done["file"])
        st.rerun()
    if definition:
        _inbox(definition)


def _arrived(definition: Definition | None, file: str) -> None:
    """The file is here. Without a doubt it is checked at once; a name in the address keeps it over a reload."""
    done = st.session_state.get("arrived") or {}
    known = done.get("file") == file
    name = PurePath(file).name
    here = f"{size(done['bytes'])} are here." if known else "The file is here."
    st.html(notice("good", name, here) if definition else notice("info", name, here, _which(file)))
    if definition and known and st.session_state.get("checked") != file:
        st.session_state["checked"] = file
        _check(definition, file)
    left, right = st.columns(2)
    ready = definition is not None
    if left.button(
        "Check this file", type="primary", width="stretch", icon=":material/fact_check:", disabled=not ready
    ):
        assert definition
        _check(definition, file)
    if right.button("Take another file", width="stretch"):
        ask(file="")
        st.rerun()


def _which(file: str) -> str:
    """What its columns say of the pipeline that it is for, where they leave a choice."""
    fits = cached.pipelines_of(file)
    if len(fits) == 1:
        return f"It fits {fits[0]}. Choose a pipeline above."
    named = f"It fits {', '.join(fits[:-1])} and {fits[-1]}" if fits else "It has the columns of no pipeline"
    return f"{named}: choose one above."


def _check(definition: Definition, file: str) -> None:
    """Let the check begin and go to it. Comes back only where something is in the way: it is said, the file stays."""
    try:
        with st.spinner("Starting the check …"):
            run = starting.check(definition.name, file, by=who())
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint, "The file is kept: try again when that is mended."))
        return
    st.session_state["used"] = definition.name
    st.switch_page("check.py", query_params={"run": run})


def _inbox(definition: Definition) -> None:
    folder = st.expander("Or take one from the inbox", on_change="rerun", key="inbox")
    if not folder.open:  # looking through a large one takes a moment
        return
    with folder:
        found = cached.lying()
        lying = found.files
        st.caption("Schedules send the files in this folder. You can also choose one here.")
        st.code(str(settings().inbox / definition.name), language=None)
        if not lying:
            st.text("Nothing lies there.")
            return
        if found.more:
            st.caption(f"The newest {len(lying)} are shown.")
        at = locale()
        chosen = st.selectbox(
            "File",
            lying,
            format_func=lambda each: f"{visible(each.name)} · {size(each.bytes)} · {at.time(each.modified)}",
            index=None,
            placeholder="Choose a file",
        )
        if st.button("Check this file", key="check_inbox", disabled=chosen is None) and chosen:
            _check(definition, chosen.name)
