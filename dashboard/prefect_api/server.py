"""What the dashboard asks Prefect's server, over plain HTTP: its client takes a second to import."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import uuid4

import httpx

from dashboard.connections import prefect_api_url
from flows.errors import RowrelayError, StackError
from flows.flow_runs.names import LOOKS, THAT_DELIVER
from flows.flow_runs.outcome import in_words
from flows.intake.fate import Fate, Taken

TIMEOUT_SECONDS = 8.0
BUSY_SECONDS = 6.0
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class PrefectRefused(RowrelayError):
    """Prefect refused what it was asked."""


class NotInPrefect(PrefectRefused):
    """Prefect has no such thing, or has it no longer."""


@dataclass(frozen=True, slots=True)
class FlowRun:
    """A flow run as Prefect sees it. `type` is its kind of state in capitals, `state` what people are told."""

    id: str
    name: str
    type: str
    state: str
    message: str
    expected: float | None
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    flow: str = ""  # id of the flow
    created: float | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.type in ENDED


@dataclass(frozen=True, slots=True)
class Deployment:
    """What Prefect can start: `flow` is deliver or inbox, `name` the pipeline's."""

    id: str
    flow: str
    name: str
    ready: bool
    paused: bool
    parameters: dict[str, Any]
    accepts: tuple[str, ...]
    schedules: tuple[dict[str, Any], ...] = ()


def ask(method: str, path: str, json: Any = None) -> Any:
    """One request to Prefect's API.

    Raises:
        NotInPrefect: there is none of what the path names.
        PrefectRefused: it says no.
        StackError: it does not answer.
    """
    url = f"{prefect_api_url()}{path}"
    try:
        response = _request(method, url, json)
    except httpx.HTTPError as exc:
        raise StackError(
            "The Prefect server does not answer.",
            hint="Runs that are under way go on; new ones can start when it is back. `rowrelay up` starts it.",
        ) from exc
    if response.status_code in (400, 409, 422):
        raise PrefectRefused(f"Prefect refused: {_detail(response)}")
    if response.status_code == 404:
        raise NotInPrefect
    if response.is_error:
        raise StackError(f"The Prefect server answered {response.status_code}.", hint="Its log says more.")
    try:
        return response.json() if response.content else None
    except ValueError as exc:
        raise StackError(
            "What answers at the Prefect server's address is something else.", hint="Check PREFECT_API_URL."
        ) from exc


def flow_run(run: str) -> FlowRun | None:
    """A flow run by its id, None if there is none. Raises PrefectRefused, StackError."""
    try:
        return _flow_run(ask("GET", f"/flow_runs/{run}"))
    except NotInPrefect:
        return None


def with_key(key: str) -> FlowRun | None:
    """The flow run that was started with an idempotency key. Raises PrefectRefused, StackError."""
    found = ask("POST", "/flow_runs/filter", {"flow_runs": {"idempotency_key": {"any_": [key]}}, "limit": 1})
    return _flow_run(found[0]) if found else None


@lru_cache(maxsize=64)
def flow_name(flow: str) -> str:
    """The name of a flow by its id, "" if there is none. Raises PrefectRefused, StackError."""
    try:
        return str(ask("GET", f"/flows/{flow}").get("name") or "") if flow else ""
    except NotInPrefect:
        return ""


def upcoming(schedule: str, *, limit: int) -> list[FlowRun]:
    """The flow runs that are planned of a schedule, soonest first."""
    return _of_schedule(schedule, {"type": {"any_": ["SCHEDULED"]}}, sort="EXPECTED_START_TIME_ASC", limit=limit)


def latest(schedule: str) -> FlowRun | None:
    """The last flow run of a schedule that has begun, if there is one."""
    begun = {"type": {"not_any_": ["SCHEDULED"]}}
    return next(iter(_of_schedule(schedule, begun, sort="EXPECTED_START_TIME_DESC", limit=1)), None)


def taken_by(run: str) -> list[Taken]:
    """What a flow run of an inbox took and passed over; nothing of one that wrote no table of it. Raises StackError."""
    wanted = {"flow_run_id": {"any_": [run]}, "key": {"like_": f"{LOOKS}%"}}
    found = ask("POST", "/artifacts/filter", {"artifacts": wanted, "limit": 1})
    try:
        return [*map(_taken, json.loads(found[0]["data"]))] if found else []
    except (ValueError, KeyError, TypeError, AttributeError):  # another version's, with results that this one lacks
        return []


def _taken(row: Mapping[str, str]) -> Taken:
    name, fate = row.get("file", ""), row.get("result", "")
    return Taken(name, Fate(fate), row.get("run", ""), row.get("note", ""), row.get("where", ""))


def deployments() -> list[Deployment]:
    """Everything of ours that Prefect can start, by flow and name."""
    found = ask("POST", "/deployments/filter", {"flows": {"name": {"any_": list(THAT_DELIVER)}}, "limit": 200})
    flows = {
        flow["id"]: flow["name"]
        for flow in ask("POST", "/flows/filter", {"flows": {"name": {"any_": list(THAT_DELIVER)}}})
    }
    return sorted((_deployment(each, flows) for each in found), key=lambda each: (each.flow, each.name))


def cancel(run: str) -> None:
    """Take back a flow run that has not begun, or ask its runner to end it."""
    state = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False}
    ask("POST", f"/flow_runs/{run}/set_state", state)


def page_of(run: str) -> str:
    """The address of a flow run in Prefect's own pages."""
    public = os.environ.get("PREFECT_UI_URL", "").rstrip("/") or prefect_api_url().removesuffix("/api")
    return f"{public}/runs/flow-run/{run}"


def _of_schedule(schedule: str, state: Mapping[str, Any], *, sort: str, limit: int) -> list[FlowRun]:
    """Asked for each alone: among the runs of all of them, those of a rare one are soon out of sight."""
    where = {"created_by": {"id_": [schedule]}, "state": state}
    return [*map(_flow_run, ask("POST", "/flow_runs/filter", {"flow_runs": where, "sort": sort, "limit": limit}))]


def _flow_run(raw: Mapping[str, Any]) -> FlowRun:
    state = raw.get("state") or {}
    expected = raw.get("start_time") or raw.get("expected_start_time")
    kind, tags = state.get("type") or "PENDING", tuple(raw.get("tags") or ())
    return FlowRun(
        id=raw["id"],
        name=raw.get("name") or "",
        type=kind,
        state=in_words(kind, state.get("name") or "Pending", tags),
        message=state.get("message") or "",
        expected=moment(expected),
        parameters=raw.get("parameters") or {},
        tags=tags,
        flow=str(raw.get("flow_id") or ""),
        created=moment(raw.get("created")),
    )


def _deployment(raw: Mapping[str, Any], flows: Mapping[str, str]) -> Deployment:
    accepts = (raw.get("parameter_openapi_schema") or {}).get("properties") or {}
    return Deployment(
        id=raw["id"],
        flow=flows.get(raw["flow_id"], ""),
        name=raw["name"],
        ready=raw.get("status") == "READY",
        paused=bool(raw.get("paused")),
        parameters=raw.get("parameters") or {},
        accepts=tuple(accepts),
        schedules=tuple(raw.get("schedules") or ()),
    )


def moment(text: str | None) -> float | None:
    """Prefect's times as Unix seconds."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else None


def _detail(response: httpx.Response) -> str:
    try:
        detail = response.json().get("detail") or response.json().get("exception_detail")
    except ValueError:
        return response.text[:200]
    if isinstance(detail, list) and detail:
        return "; ".join(str(each.get("msg", each)) for each in detail)[:300]
    return str(detail or response.text)[:300]


@lru_cache(maxsize=1)
def _http() -> httpx.Client:
    """One client for all threads; no proxy, as the server is ours."""
    return httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False, headers=_credentials())


def _credentials() -> dict[str, str]:
    """What Prefect's own client would send to a server that asks who is there."""
    if key := os.environ.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    if auth := os.environ.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": "Basic " + base64.b64encode(auth.encode()).decode()}
    return {}


_csrf: dict[str, str] = {}


def _request(method: str, url: str, json: Any) -> httpx.Response:
    """A request, with the token against cross-site requests where the server wants one."""
    response = _answer(method, url, json)
    if response.status_code == 403 and method != "GET":
        name = str(uuid4())
        token = _http().get(f"{prefect_api_url()}/csrf-token", params={"client": name})
        if token.is_success:
            _csrf.update({"Prefect-Csrf-Token": token.json()["token"], "Prefect-Csrf-Client": name})
            response = _answer(method, url, json)
    return response


def _answer(method: str, url: str, json: Any) -> httpx.Response:
    """503 is what a server on SQLite says while another writes: nothing was done, and it is asked again."""
    until = time.monotonic() + BUSY_SECONDS
    while (response := _http().request(method, url, json=json, headers=_csrf)).status_code == 503:
        if time.monotonic() > until:
            break
        time.sleep(0.3)
    return response
