"""What a delivery is asked for: stored with the run when it begins, and the same for whoever resumes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flows.delivery.undoing import with_limit_of_today
from flows.errors import DefinitionError, LedgerError
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition, digest_of
from flows.pipeline.file_form import AS_FOUND, FileForm
from flows.pipeline.pipelines import present
from flows.pipeline.reading import from_resolved
from flows.settings import Settings


@dataclass(frozen=True, slots=True)
class Order:
    """Which file goes through which pipeline, and how the file is to be read, as far as that was said."""

    definition: Definition
    file: str
    digest: str = ""  # of the definition, as it was noted of a run that has begun
    trusted: bool = False  # the file may lie anywhere
    skip_delivered: bool = False
    said: FileForm = AS_FOUND
    mapping: Mapping[str, str] = field(default_factory=dict)  # by column of the file the column that it is
    undoes: str = ""  # the run whose rows it takes back

    @classmethod
    def stored(cls, run: Run, view: View, settings: Settings) -> Order:
        """The order of a run that has begun. Its limit is read afresh. Raises LedgerError, DefinitionError."""
        facts = run.facts
        return cls(
            _definition(run, view, settings),
            run.file,
            digest=facts.definition_digest or "",
            trusted=facts.trusted,
            skip_delivered=facts.skip_delivered,
            said=facts.said,
            mapping=facts.asked_map,
            undoes=facts.undoes,
        )

    def store(self, ledger: Ledger, run: str, *, by: str, only_check: bool) -> None:
        """Begin a run with it."""
        definition = self.definition
        ledger.create(
            run,
            definition=definition.resolved(),
            by=by,
            pipeline=definition.name,
            file=self.file,
            name=Path(self.file).name,
            limit=definition.limit_name,
            trusted=self.trusted,
            definition_digest=definition.digest(),
            skip_delivered=self.skip_delivered,
            only_check=only_check,
            asked_form=self.said.stated or None,
            asked_map=dict(self.mapping) or None,
            undoes=self.undoes or None,
        )
        if self.undoes:
            ledger.event(self.undoes, f"{by} undoes this run, by run {run}")


def _definition(run: Run, view: View, settings: Settings) -> Definition:
    kept = view.definition(run.id)
    if (run.facts.definition_digest or digest_of(kept)) != digest_of(kept):
        raise LedgerError(
            f"The definition that is kept of run {run.id} is not the one it began with, so its rows could become"
            " others.",
            hint="Send the file as a new run.",
        )
    return with_limit_of_today(from_resolved(kept), settings)


def changes(definition: Definition, settings: Settings) -> Iterator[str]:
    """What a resumed run is not affected by, in words."""
    try:
        present_one = present(settings).get(definition.name)
    except DefinitionError:
        return
    if present_one is not None and present_one.digest() != definition.digest():
        yield f"The definition of {definition.name} is not the one that this run began with; the run keeps to its own."
