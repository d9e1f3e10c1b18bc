"""Runs that are checked and not sent, to be mended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from flows.delivery.changes import read
from flows.delivery.delivery import Delivery
from flows.delivery.mending import mend
from flows.ledger.ledger import Ledger
from flows.ledger.mends import Mend
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.reading import load
from flows.records import Rejection, Row
from flows.settings import Settings
from flows.spool.spool import Spool

PEOPLE = """
name: people
columns:
  id:      {type: int, min: 1}
  email:   {type: str, unique: true, blank: false}
  country: {type: str, one_of: [DE, FR]}
  age:     {type: int, min: 0, optional: true}
request: {url: "http://127.0.0.1:9/people", json: {email: "{email}", country: "{country}"}}
limit: {name: people, requests: 7, window_seconds: 1}
"""
HEADER = "id,email,country,age,extra"
ROWS = (
    "1,a@x,DE,30,one",
    "2,b@x,Germany,31,two",
    "3,c@x,FR,n/a,three",
    "4,d@x,Germany,old,four",
    "5,a@x,DE,35,five",  # holds what row 1 holds
    "6,f@x,Spain,36,six",
    "7,g@x",
    "8,h@x,FR,38,eight",
)


@dataclass
class Checked:
    """A run that was checked, and who may mend it."""

    id: str
    settings: Settings
    view: View
    ledger: Ledger

    @property
    def run(self) -> Run:
        return self.view.run(self.id)

    @property
    def spool(self) -> Spool:
        return Spool(self.settings.spool_url, self.id, self.run.facts.mended)

    def mend(self, *changes: Mapping[str, Any], undo: int | None = None, by: str = "ada") -> Mend:
        document = {"undo": undo} if undo is not None else {"changes": list(changes)}
        return mend(self.run, read(document), ledger=self.ledger, view=self.view, settings=self.settings, by=by)

    def accepted(self) -> list[Row]:
        return self.spool.read(0, self.run.total)

    def rejected(self) -> list[Rejection]:
        return list(self.spool.rejections())

    def numbers(self) -> tuple[list[int], list[int]]:
        """The accepted and the rejected rows, as spool and ledger agree on them."""
        accepted, rejected = [row.row for row in self.accepted()], [row.row for row in self.rejected()]
        assert rejected == self.view.rejected(self.id).tolist()
        assert sorted(accepted + rejected) == list(range(1, self.run.total + 1))
        counts = self.run.counts
        assert sum(counts.values()) == self.run.total
        assert (counts["waiting"], counts["rejected"]) == (len(accepted), len(rejected))
        return accepted, rejected


def checked(
    settings: Settings, lines: Sequence[str] = ROWS, *, yaml: str = PEOPLE, header: str = HEADER, **wish: Any
) -> Checked:
    """Check a file of these lines, and leave it so."""
    folder = settings.data.parent
    path = folder / "people.yaml"
    path.write_text(yaml)
    definition: Definition = load(path)
    file = folder / "people.csv"
    file.write_text("\n".join((header, *lines)) + "\n")
    delivery = Delivery(str(uuid4()), definition, settings, settings.redis_address)
    delivery.ledger.create(
        delivery.run, definition=definition.resolved(), by="test", pipeline=definition.name, file=str(file),
        name=file.name, limit=definition.limit.name, definition_digest=definition.digest(), trusted=True,
    )  # fmt: skip
    delivery.take(resume=False, only_check=True)
    delivery.spooling.check(file, **wish)
    delivery.put_down("checked; nothing sent yet")
    delivery.release()
    client = delivery.ledger.client
    return Checked(delivery.run, settings, View(client), Ledger(client))


def people(path: Path) -> Path:
    """The file of these rows."""
    path.write_text("\n".join((HEADER, *ROWS)) + "\n")
    return path
