"""The commands about pipelines: list them, their schema, and a definition inferred from a sample."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.table import Table
from rich.text import Text

from deployments.commands.inferring import definition_of
from deployments.commands.session import err, out
from deployments.commands.showing import print_json, replacing
from flows.errors import FileError, RowrelayError
from flows.pipeline.advice import advice
from flows.pipeline.definition import Definition, json_schema
from flows.pipeline.fault import suggestion
from flows.pipeline.file_form import FileForm
from flows.pipeline.infer import name_for
from flows.pipeline.open_secret import veiled
from flows.pipeline.pipelines import examples, present
from flows.pipeline.secret import missing_secrets, where_to_put
from flows.settings import Settings
from flows.words import limit_words


def pipelines(*, as_json: bool) -> int:
    """All pipelines: those of ROWRELAY_PIPELINES, and the shipped examples where they are offered."""
    settings = Settings.read()
    found = present(settings)
    for fault in found.refused.values():
        err.print(str(fault), style="red", markup=False)
    if found.withheld_notice:
        err.print(found.withheld_notice, markup=False)
    advices = {name: said for name, definition in found.items() if (said := advice(definition))}
    if as_json:
        told = {"pipelines": [veiled(definition.resolved()) for definition in found.values()]}
        print_json(told | {"advice": advices})
        return 0
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("pipeline", "columns", "sends to", "limit", "defined in"):
        table.add_column(name, overflow="fold")
    for definition in found.values():
        words = (definition.name, ", ".join(definition.column_names), _target(definition), _limit(definition))
        table.add_row(*map(Text, words), Text(str(found.files[definition.name])))
    out.print(table)
    for name, said in advices.items():
        for text in said:
            err.print(f"{name}: {text}", style="yellow", markup=False)
    for text in without_secrets(found, settings):
        err.print(text, style="yellow", markup=False)
    return 0


def without_secrets(definitions: Mapping[str, Definition], settings: Settings) -> Iterator[str]:
    """Which pipelines can send nothing, and where the secret that they lack belongs."""
    for definition in definitions.values():
        for name in missing_secrets(definition, settings):
            where = where_to_put(name, settings.secrets)
            yield f"Pipeline {definition.name} can send nothing: the secret {name} is missing. {where}"


def _target(definition: Definition) -> str:
    return f"{definition.main.method} {definition.main.url.split('?')[0]}"


def _limit(definition: Definition) -> str:
    if definition.limit is not None:
        return f"{definition.limit_name}: {limit_words(definition.terms.windows, definition.terms.in_flight)}"
    return "; ".join(f"{limit.name}: {limit.words}" for limit in definition.limits)


def schema() -> int:
    """The JSON Schema of a definition."""
    print_json(json_schema())
    return 0


def init(sample: Path, *, out: str, form: FileForm) -> int:
    """A definition inferred from a sample file."""
    text = definition_of(sample, form)
    words = f"rowrelay check {sample} --pipeline {name_for(sample.name)}"
    return _write(text.encode(), out, words)


def copy_example(name: str, *, sample: Path | None, out: str) -> int:
    """One of the example definitions as it stands."""
    if sample is not None:
        raise RowrelayError("--example goes without a SAMPLE file.", hint="Its columns are edited by hand.")
    found = examples()
    if name not in found:
        raise RowrelayError(f"There is no example {name!r}.", hint=suggestion(name, found, most=99).capitalize())
    return _write(found[name].read_bytes(), out, "rowrelay check FILE --pipeline NAME")


def _write(text: bytes, out: str, then: str) -> int:
    """Write a definition where it is wished, and say what comes next."""
    if out == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(text)  # UTF-8, whatever the terminal is
        return 0
    path = Path(out)
    if path.is_file():
        raise FileError("is there already, and may have been edited", file=out, hint="Give --out another name.")
    with replacing(path) as file:
        file.write(text)
    err.print(f"{out}: edit it, then ROWRELAY_PIPELINES={path.parent} {then}", markup=False)
    return 0
