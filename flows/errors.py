"""What stops a run, as one small tree.

RowrelayError                      anything a person can mend; carries a message to show as it is
├── DefinitionError                a pipeline definition is wrong: file, line, key
├── FileError                      the file of rows cannot be read
│   ├── BadFile                    because of what it is: nothing but another file helps
│   │   ├── UnclearEncoding        or to be told what encoding it is in
│   │   └── ColumnsDiffer          or which of its columns is which
│   ├── StorageError               because of where it lies, or should be put: no fault of the file
│   ├── SpoolGone                  what was kept of a run's rows is not there any more
│   └── SpoolDamaged               or is not as it was written
├── SettingError                   an environment setting is missing or impossible
│   ├── SecretMissing              a pipeline can send nothing without it
│   └── SecretAbroad               a secret would go to a host that its owner does not allow
├── StackError                     Redis or Prefect is not there, or cannot be started
├── LedgerError                    Redis holds something this version must not touch, or refuses to keep it
│   ├── RunNotFound
│   │   └── RunDeleted             there was one
│   └── RunBusy                    somebody else is delivering the run
└── Stopped                        sending has to end: what is finished stays, the rest can be resumed
    ├── LimitLatched               the API has banned us; a person has to open the limit again
    ├── LimitLost                  the shared limit could not be asked for too long
    ├── LedgerOlder                Redis knows less than this machine has seen: a person has to say why
    ├── Superseded                 another process has taken the run over
    ├── Interrupted                a person, or the machine, wished it to end
    └── Broken                     an error in Rowrelay itself

A bad row is no exception (it is a rejection), nor is a failed call (it is an outcome).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from flows.records import Reading


class RowrelayError(Exception):
    """Something went wrong that a person can mend."""

    hint: str = ""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())
        self.hint = hint or self.hint

    @property
    def message(self) -> str:
        """What happened, without what to do."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class DefinitionError(RowrelayError):
    """The pipeline definition is not valid."""

    def __init__(self, message: str, *, file: str = "", line: int | None = None, key: str = "", hint: str = "") -> None:
        where = file + (f":{line}" if line else "")
        super().__init__(": ".join(part for part in (where, key, message) if part), hint=hint)
        self.file, self.line, self.key = file, line, key


class FileError(RowrelayError):
    """The file cannot be read."""

    def __init__(self, message: str, *, file: str = "", line: int | None = None, hint: str = "") -> None:
        where = file + (f":{line}" if line else "")
        super().__init__(f"{where}: {message}" if where else message, hint=hint)
        self.file, self.line = file, line


class BadFile(FileError):
    """The file will not do as it is: wrong kind, columns, size or content. Trying again does not help."""


class UnclearEncoding(BadFile):
    """The file is not in the encoding taken for it; `readings` are the ones that would fit, the likeliest first."""

    def __init__(
        self, message: str, *, file: str = "", line: int | None = None, hint: str = "", readings: Sequence[Reading] = ()
    ) -> None:
        super().__init__(message, file=file, line=line, hint=hint)
        self.readings = tuple(readings)


class ColumnsDiffer(BadFile):
    """The columns of the file are not those of the pipeline; `names` are the file's, `samples` some of its rows."""

    names: tuple[str, ...] = ()
    samples: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, error: FileError, names: Sequence[str], samples: Sequence[Sequence[str]]) -> ColumnsDiffer:
        """The same error, with what the file has."""
        made = cls(error.message, hint=error.hint)
        made.file, made.line = error.file, error.line
        made.names, made.samples = tuple(names), tuple(tuple(row) for row in samples)
        return made


class StorageError(FileError):
    """A folder, a disk or an object store cannot be read or written at the moment. No fault of the file."""


class SpoolGone(FileError):
    """What was kept of a run's rows is not there any more."""


class SpoolDamaged(FileError):
    """What was kept of a run's rows is not as it was written."""


class SettingError(RowrelayError):
    """A setting is missing or impossible."""


class SecretMissing(SettingError):
    """The pipeline needs a secret that is not there."""


class SecretAbroad(SettingError):
    """A secret would go to a host that its owner does not allow."""


class StackError(RowrelayError):
    """Redis or Prefect cannot be reached."""


class LedgerError(RowrelayError):
    """The ledger in Redis cannot be used."""


class RunNotFound(LedgerError):
    """There is no such run."""


class RunDeleted(RunNotFound):
    """The run was deleted. `at` is when, in Unix seconds, and `by` who did it; both only where that is known."""

    def __init__(self, run: str, *, at: float | None = None, by: str = "", hint: str = "") -> None:
        when = "" if at is None else f" on {datetime.fromtimestamp(at, UTC):%Y-%m-%d at %H:%M} UTC"
        who = f" by {by}" if by else ""
        super().__init__(
            f"Run {run} was deleted{when}{who}." if when or who else f"Run {run} is not kept any more.",
            hint=hint or "What the API has received stays there. To send the file again, start a new run.",
        )
        self.run, self.at, self.by = run, at, by


class RunBusy(LedgerError):
    """Another process is delivering this run."""


class Stopped(RowrelayError):
    """Sending had to stop. What is finished is kept."""


class LimitLatched(Stopped):
    """The API has shut us out. Nothing is sent under this limit until a person opens it."""

    @classmethod
    def of(cls, limit: str, reason: str) -> LimitLatched:
        """The error for a limit that was latched for this reason."""
        return cls(
            f"The API has shut us out ({reason}). Nothing is sent under the limit {limit!r} until a person opens it.",
            hint=f"Settle it with whoever runs the API, then `rowrelay limits open {limit}` and resume the run.",
        )


class LimitLost(Stopped):
    """The shared limit could not be asked for too long, so nothing may be sent."""


class LedgerOlder(Stopped):
    """Redis has forgotten what this machine has seen of it."""


class Superseded(Stopped):
    """Another process has taken over this run."""


class Interrupted(Stopped):
    """The run was wished to end while nothing of it was being sent."""


class Broken(Stopped):
    """An error in Rowrelay itself."""

    @classmethod
    def of(cls, exc: BaseException | None) -> Broken:
        """The error for an exception that nobody foresaw, and that has been logged."""
        return cls(
            f"Internal error: {exc!r}",
            hint="The log of the process that delivered the run has the details. Resume the run; if it happens again,"
            " report it.",
        )
