"""The one way in which others start a run: a flow run of the pipeline's deployment, in Prefect."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx

from flows.errors import RowrelayError, StackError
from flows.flow_runs.names import source_name, title
from flows.pipeline.file_form import AS_FOUND, FileForm
from flows.records import Wanted

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun


class KeyReused(RowrelayError):
    """The idempotency key stands for another request already."""

    hint = "Send the very request that it was used for, or take a key of its own for each request."


def start(
    pipeline: str,
    file: str = "",
    *,
    rows: Wanted = "unfinished",
    resume: str = "",
    dry_run: bool = False,
    skip_delivered: bool = False,
    said: FileForm = AS_FOUND,
    mapping: Mapping[str, str] | None = None,
    from_run: str = "",
    undo: bool = False,
    reason: str = "",
    by: str,
    idempotency_key: str | None = None,
    after_seconds: float = 0.0,
) -> UUID:
    """Ask Prefect for a run of `deliver/<pipeline>` and return the flow run's id, which is a new run's id.

    `reason`: of failed or unknown rows only those with this one. `said`: how the file is to be read. `from_run`: the
    run whose done rows are sent; with `undo` it is undone. The same `idempotency_key` gives the same flow run. It
    begins now, or `after_seconds`.

    Raises:
        KeyReused: the key has started something else.
        StackError: Prefect does not answer, refuses the parameters, or has no such deployment.
    """
    if from_run and not file:
        file = source_name(from_run, undo=undo)
    parameters: dict[str, Any] = {
        "pipeline": pipeline,
        "file": file or f"of run {resume}",  # the form wants one; who resumes, reads it from the ledger
        "rows": rows,
        "resume": resume,
        "dry_run": dry_run,
        "skip_delivered": skip_delivered,
    }
    # Left out where nothing is said of it: a deployment that an earlier version serves does not know them.
    form = said.stated
    told = {
        "encoding": form.pop("encoding", ""),
        "apostrophes": form.pop("apostrophes", ""),
        "source": form,
        "map": mapping and dict(mapping),
        "from_run": from_run,
        "undo": undo,
        "reason": reason,
    }
    parameters |= {name: said for name, said in told.items() if said}
    name = title(pipeline, file, resume=resume, rows=rows, dry_run=dry_run)
    run = _scheduled(pipeline, name, parameters, by=by, key=idempotency_key, after_seconds=after_seconds)
    if idempotency_key and (other := [name for name in parameters if run.parameters.get(name) != parameters[name]]):
        raise KeyReused(f"The idempotency key was used for a request with another {' and '.join(other)}.")
    return UUID(str(run.id))


def _scheduled(
    pipeline: str, name: str, parameters: dict[str, Any], *, by: str, key: str | None, after_seconds: float
) -> FlowRun:
    """A flow run of `deliver/<pipeline>`, the one that there is if the key is known. Raises StackError."""
    # Importing Prefect takes a second, which the pages that start nothing should not pay.
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
    from prefect.states import Scheduled

    try:
        with get_client(sync_client=True) as client:
            deployment = client.read_deployment_by_name(f"deliver/{pipeline}")
            return client.create_flow_run_from_deployment(
                deployment.id,
                parameters=parameters,
                name=name,
                tags=[f"by:{by}"],
                idempotency_key=key,
                state=Scheduled(scheduled_time=datetime.now(UTC) + timedelta(seconds=after_seconds)),
            )
    except ObjectNotFound as exc:
        raise StackError(
            f"Prefect has no deployment deliver/{pipeline}.",
            hint="`rowrelay up` serves one for each pipeline; for workers, `prefect deploy` does.",
        ) from exc
    except PrefectHTTPStatusError as exc:
        raise StackError(f"Prefect refused the run: {exc.response.text[:300]}") from exc
    except httpx.HTTPError as exc:
        raise StackError(f"Prefect does not answer: {exc}", hint="Start it with `rowrelay up`.") from exc
