"""Runs that a person on a page, or a program over HTTP, starts or starts again; the same wish twice is one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dashboard.connections import client, ledger, pipelines, ready_prefect, settings, view
from dashboard.prefect_api import server
from dashboard.refusals import NotPossible
from flows.delivery.delivered import refuse_skipping
from flows.delivery.earlier_run import file_name
from flows.delivery.renewal import renew
from flows.delivery.undoing import Plan, plan
from flows.delivery.undone import CannotUndo
from flows.errors import RunBusy, StackError
from flows.flow_runs.start import start
from flows.ledger.backup_guard import BackupGuard
from flows.ledger.connection import translated
from flows.ledger.reasons import any_with_reason
from flows.ledger.run import Run
from flows.pipeline import file_form as form
from flows.pipeline.file_form import FileForm
from flows.pipeline.pipelines import pick
from flows.pipeline.reading import from_resolved
from flows.pipeline.secret_hosts import refuse_secrets
from flows.records import RowState, Wanted
from flows.storage.located import find

_SAME_WISH_SECONDS = 20  # two clicks within it are one wish
_ASKED_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class How:
    """How a file is to be read and sent, as far as somebody says so."""

    skip_delivered: bool = False
    said: FileForm = form.AS_FOUND
    mapping: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> How:
        """As was said of a run's file."""
        facts = run.facts
        return cls(facts.skip_delivered, facts.said, facts.asked_map)

    def as_parameters(self) -> dict[str, Any]:
        """As flows.flow_runs.start takes it."""
        return {"skip_delivered": self.skip_delivered, "said": self.said, "mapping": self.mapping}

    def but(self, **keys: Any) -> How:
        """The same, where nothing else is said: by the keys of `source` in a definition. Raises BadFile."""
        return replace(self, said=self.said.but(form.said(**keys)))


AS_FOUND = How()


def check(pipeline: str, file: str, *, by: str, how: How = AS_FOUND, key: str | None = None) -> str:
    """Check a file, send nothing; returns the new run's id. Raises FileError, DefinitionError, StackError."""
    return _begin(pipeline, file, dry_run=True, how=how, by=by, key=key)


def send(pipeline: str, file: str, *, by: str, how: How = AS_FOUND, key: str | None = None) -> str:
    """Check a file and send its good rows; returns the new run's id.

    Raises FileError, DefinitionError, SecretMissing, SecretAbroad, StackError.
    """
    return _begin(pipeline, file, dry_run=False, how=how, by=by, key=key)


def resume(run: Run, rows: Wanted, *, by: str, key: str | None = None, renewed: bool = False, reason: str = "") -> str:
    """Send what a run still has to send, or its failed or unknown rows again; returns the flow run's id.

    `renewed`: by the pipeline of today. `reason`: of failed or unknown rows only those with this one.

    A run that was only to be checked, and whose check did not end, is checked: nothing of it is sent unseen.

    Raises:
        RunBusy: it is being delivered, or about to be.
        NotPossible: there is nothing to send.
        KeyReused: the key stands for another request.
        LedgerOlder: Redis knows less than this machine has seen; a person has to say why.
        DefinitionError: the run may not go on by the pipeline of today.
        SecretMissing: its pipeline needs one that is not there.
        SecretAbroad: its pipeline would send one where it may not go.
        StackError: Prefect does not answer.
    """
    if run.total == 0 and only_check(run):
        return check_again(run, by=by, key=key)
    if not run.busy and not _asked_with(run, key) and not to_send(run, rows):
        raise NotPossible(f"The run has no {rows} rows." if rows != "unfinished" else "Everything was sent already.")
    if reason and not run.busy and not _asked_with(run, key):
        _refuse_reason(run, rows, reason)
    refuse_secrets(from_resolved(view().definition(run.id)), settings())
    BackupGuard(client(), settings().memory).ask(run.id)
    key = key or _wish(run, f"{rows}{_brief(reason)}")
    return _go_on(run, rows, dry_run=False, by=by, key=key, renewed=renewed, reason=reason)


def _refuse_reason(run: Run, rows: Wanted, reason: str) -> None:
    """Raises NotPossible where no such row has this reason."""
    if rows not in ("failed", "unknown"):
        raise NotPossible(f"Only failed or unknown rows have a reason, not {rows} ones.")
    if not any_with_reason(view(), run, RowState(rows), reason):
        raise NotPossible(f"The run has no {rows} rows with this reason.", hint="Its groups say which there are.")


def check_again(run: Run, *, by: str, key: str | None = None) -> str:
    """Check a run's file once more and send nothing; returns the flow run's id.

    Raises:
        RunBusy: it is being checked, or about to be.
        NotPossible: its check has ended: what it found stands.
        StackError: Prefect does not answer.
    """
    if not run.busy and not _asked_with(run, key) and run.total:
        raise NotPossible("The file was checked already.")
    return _go_on(run, "unfinished", dry_run=True, by=by, key=key or _wish(run, "check"))


def undo(run: Run, *, by: str, dry_run: bool = False, key: str | None = None) -> str:
    """Begin a run that undoes this one, as its pipeline said when it began; returns the new run's id.

    `dry_run`: it is only checked, and can be resumed to undo.

    Raises:
        RunBusy: it is being delivered, or about to be, or another run is about to undo it.
        NotPossible: its pipeline did not say how, or nothing is left to undo.
        KeyReused: the key stands for another request.
        StackError: Prefect does not answer.
    """
    # Who asks again with a key gets what was begun with it, which may have left nothing to undo.
    name = f"undo:{run.id}:{key}" if key else f"undo:{run.id}:{dry_run}:{int(time.time() / _SAME_WISH_SECONDS)}"
    if key is None or server.with_key(name) is None:
        planned_undo(run)
    ready_prefect()
    file = file_name(run, "undo of")
    return str(start(run.pipeline, file, from_run=run.id, undo=True, dry_run=dry_run, by=by, idempotency_key=name))


def planned_undo(run: Run) -> Plan:
    """What undoing a run would do. Raises RunBusy, NotPossible, FileError, StackError."""
    if asked(run):
        raise RunBusy("The run is about to be delivered.", hint="Cancel it first, or wait until it ends.")
    try:
        return plan(view(), settings(), run)
    except CannotUndo as exc:
        raise NotPossible(exc.message, hint=exc.hint) from exc


def only_check(run: Run) -> bool:
    """Whether nothing of the run may be sent before a person has said so."""
    return run.facts.only_check


def to_send(run: Run, rows: Wanted) -> int:
    """How many rows a resume would send; 1 where the file has to be checked first."""
    if rows == "failed":
        return run.counts[RowState.FAILED]
    if rows in ("unknown", "reconcile"):
        return run.counts[RowState.UNKNOWN]
    if rows == "accepted":
        return run.counts[RowState.ACCEPTED]
    return run.counts[RowState.WAITING] + run.counts[RowState.SENDING] if run.total else 1


def asked(run: Run) -> str:
    """The flow run that was asked for and has not taken the run yet, so that every tab can say so; "" if none."""
    flow = run.facts.asked
    if not flow or run.busy or run.facts.epoch > run.facts.asked_epoch:
        return ""
    try:
        found = server.flow_run(flow)
    except StackError:
        return flow if time.time() - run.facts.asked_at < _ASKED_SECONDS else ""
    return flow if found and not found.ended else ""


def _begin(pipeline: str, file: str, *, dry_run: bool, how: How, by: str, key: str | None) -> str:
    definition = pick(pipelines(), pipeline)
    refuse_skipping(definition, None, wished=how.skip_delivered)
    if not dry_run:
        refuse_secrets(definition, settings())
    find(file, settings(), pipeline)
    ready_prefect()
    name = _key_of(pipeline, key) if key else None
    return str(start(pipeline, file, dry_run=dry_run, by=by, idempotency_key=name, **how.as_parameters()))


def _key_of(pipeline: str, key: str) -> str:
    """What Prefect knows a client's key by: it has all pipelines in one flow, and would take their keys for one."""
    plain = f"api:{key}"  # how 0.1 wrote it: who asks again after an upgrade must not send the file again
    earlier = server.with_key(plain)
    return plain if earlier and earlier.parameters.get("pipeline") == pipeline else f"api:{pipeline}:{key}"


def _go_on(run: Run, rows: Wanted, *, dry_run: bool, by: str, key: str, renewed: bool = False, reason: str = "") -> str:
    """Ask Prefect to deliver a known run; the same wish twice is one, and gets the same answer at any time."""
    before = run.facts.asked if _asked_with(run, key) else ""
    if not before and run.busy:
        raise RunBusy("The run is being delivered already.", hint="Wait until it ends, or cancel it first.")
    if not before and asked(run):
        raise RunBusy("This was asked for already and waits for a runner.", hint="Wait, or cancel it first.")
    if renewed and not before:
        renew(run, rows, ledger(), view(), settings(), by=by)
    ready_prefect()
    asked_for: dict[str, Any] = {"resume": run.id, "rows": rows, "dry_run": dry_run, "reason": reason}
    flow = str(start(run.pipeline, **asked_for, by=by, idempotency_key=key))
    if flow != before:
        with translated():
            at, epoch = f"{time.time():.0f}", run.facts.epoch
            ledger().facts(run.id, asked=flow, asked_at=at, asked_key=key, asked_epoch=epoch)
    return flow


def _asked_with(run: Run, key: str | None) -> bool:
    """Whether what was last asked of the run was asked for with this key."""
    return key is not None and run.facts.asked_key == key


def _brief(reason: str) -> str:
    """A reason as a part of a key; "" for none."""
    return f":{hashlib.sha256(reason.encode()).hexdigest()[:16]}" if reason else ""


def _wish(run: Run, what: str) -> str:
    """The key of a wish: two clicks within some seconds are one."""
    return f"resume:{run.id}:{what}:{run.facts.epoch}:{int(time.time() / _SAME_WISH_SECONDS)}"
