"""What is known of a run beside its state and its counts. The names are those in the run's hash in Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from flows.origin import Origin
from flows.pipeline.file_form import FileForm
from flows.records import Apostrophes, Reading

FactValue = str | int | float | list[Any] | tuple[Any, ...] | dict[str, Any] | None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one run, and who writes them. Seconds are durations, and moments Unix times where they say `at`."""

    # Whoever enters the run: the flow, or an inbox
    name: str = ""  # of the file, as people know it
    limit: str = ""
    source: str | None = None  # the inbox that the file came from
    trusted: bool = False  # the file may lie anywhere
    definition_digest: str | None = None
    redefined: int = 0  # the epoch after which it went on by another definition; 0: it never did
    former: dict[str, dict[str, Any] | None] = {}  # by the last epoch that sent by it; None: it was not kept
    skip_delivered: bool = False
    asked_form: dict[str, Any] = {}  # how the file is to be read, as far as that was said
    asked_encoding: str = ""  # the same, of runs before there were more kinds of file
    asked_delimiter: str = ""
    asked_apostrophes: Apostrophes | None = None
    asked_map: dict[str, str] = {}  # by column of the file the column that it is said to be
    undoes: str = ""  # the run whose rows it takes back
    undone_by: dict[str, float] = {}  # the runs that undo this one, and since when
    undone_rows: dict[str, int] = {}  # how many rows of it those had undone that are deleted

    # The delivery, when it takes the run
    only_check: bool = False

    # The check, while it goes on
    checked_rows: int = 0
    checked_bytes: int = 0
    file_bytes: int = 0
    readings: tuple[Reading, ...] = ()  # where it does not know the encoding
    header: tuple[str, ...] = ()  # of a file whose columns are not those of the pipeline, and some of its rows
    header_rows: tuple[tuple[str, ...], ...] = ()

    # The check, at its end
    digest: str = ""  # of the file's content
    encoding: str | None = None
    delimiter: str | None = None
    apostrophes: Apostrophes = "keep"  # as it was before it was asked
    form: dict[str, Any] = {}  # how the file was read
    origin: dict[str, Any] = {}  # where its rows stand
    spool: str = ""  # digest of what it holds
    check_seconds: float = 0.0
    delivered: int = 0  # rows that earlier runs delivered, and by which runs
    delivered_in: dict[str, int] = {}
    delivered_unsure: int = 0
    skipped: int = 0
    notices: list[str] = []
    respools: bool = False  # the spool is being made anew

    # Whoever mends rows that the check rejected, before any is sent
    mended: str = ""  # digest of what the spool holds since; "": of nothing
    mends: int = 0  # how many documents are in effect
    mended_rows: int = 0  # how many rows were accepted for it

    # The sending
    steps: bool = False  # a row may take several requests, of which only those that write leave it in doubt
    polled_at: float = 0.0  # when accepted rows were last asked about
    looks: int = 0  # how often in a row that brought nothing
    kept_notice: str = ""
    halted: int | None = None  # the epoch whose other processes are to send no more
    sent: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    round_trip_seconds: float = 0.0
    used_of_limit: float = 0.0
    used_of_guaranteed: float = 0.0
    guaranteed_rate: float = 0.0
    held_by: dict[str, float] = {}
    permits: int = 0
    permits_unused: int = 0
    limit_visits: int = 0

    # Whoever takes it up again by itself: how often in a row, and the rows that were answered then
    resumed: int = 0
    resumed_rows: int = -1
    stops: int = 0  # how often in a row a stop cost rows and got none done, and the counts then
    stops_done: int = 0
    stops_lost: int = 0

    # The dashboard: the flow run that a person has asked for
    asked: str = ""
    asked_at: float = 0.0
    asked_epoch: int = -1  # the run's epoch then: a later one says that somebody has taken it since
    asked_key: str = ""

    # The script
    peak: int = 0  # the most requests in any window
    epoch: int = 0  # of who last took it; 0: nobody has
    begun: int = 0  # the epoch that ended the check
    serials: int = 0
    requests: int = 0

    @property
    def said(self) -> FileForm:
        """How the file is to be read, as far as that was said."""
        older = {"encoding": self.asked_encoding, "delimiter": self.asked_delimiter}
        older["apostrophes"] = self.asked_apostrophes or ""
        return FileForm.model_validate({key: value for key, value in older.items() if value} | self.asked_form)

    @property
    def as_read(self) -> FileForm:
        """How the file was read: whoever reads it so again gets the same rows."""
        older = {"kind": "csv", "encoding": self.encoding, "delimiter": self.delimiter, "apostrophes": self.apostrophes}
        return FileForm.model_validate(self.form or older)

    @property
    def places(self) -> Origin:
        """Where the rows stand in the file."""
        return msgspec.convert(self.origin, Origin)

    @property
    def rows_held(self) -> str:
        """What says which rows the spool has accepted, and what stands in them."""
        return self.mended or self.spool

    def former_of(self, epoch: int) -> dict[str, Any] | None:
        """The definition, as it was stored, by which an epoch sent that is not after `redefined`; None: not kept."""
        ended = min((int(last) for last in self.former if int(last) >= epoch), default=0)
        return self.former.get(str(ended))


_RUN = frozenset(("pipeline", "file", "state", "reason"))  # written like facts; read as what a run is
_NAMES = frozenset(Facts.__struct_fields__)
_JSON = (
    "former",
    "asked_form",
    "asked_map",
    "form",
    "origin",
    "header",
    "header_rows",
    "readings",
    "delivered_in",
    "notices",
    "held_by",
    "undone_by",
    "undone_rows",
)


def read(stored: Mapping[str, str]) -> Facts:
    """The facts in the fields of a run's hash; what else is there is left out."""
    found: dict[str, Any] = {name: value for name, value in stored.items() if value and name in _NAMES}
    for name in _JSON:
        if name in found:
            found[name] = msgspec.json.decode(found[name])
    return msgspec.convert(found, Facts, strict=False)


def written(facts: Mapping[str, FactValue]) -> dict[str, str | int | float]:
    """Facts as a run's hash has them; one that is None is left out. Raises TypeError for what is no fact."""
    if unknown := facts.keys() - _NAMES - _RUN:
        raise TypeError(f"no facts of a run: {', '.join(sorted(unknown))}")
    return {name: _written(value) for name, value in facts.items() if value is not None}


def _written(value: FactValue) -> str | int | float:
    if isinstance(value, list | tuple | dict):
        return msgspec.json.encode(value).decode()
    return int(value) if isinstance(value, bool) else value  # type: ignore[return-value]
