"""What runs and what does not, in words, with what to do about it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from dashboard.connections import client, pipelines, settings
from dashboard.prefect_api import server
from deployments.embedded import addresses
from flows.credentials.account import Standing, standing
from flows.errors import LedgerError, RowrelayError, StackError
from flows.flow_runs.names import DELIVER


@dataclass(frozen=True, slots=True)
class Service:
    """One part of the whole. `does` is what it is for, `todo` what helps if it is not `well`.

    `page` is what a browser can open of it.
    """

    name: str
    well: bool
    says: str
    does: str
    todo: str = ""
    address: str = ""
    page: str = ""


def services() -> list[Service]:
    """Redis, Prefect and what serves the pipelines. Never raises for one that is away."""
    found = [_server(each) for each in addresses.status(settings())]
    prefect_well = all(each.well for each in found if each.name.startswith("Prefect"))
    return [*found, _runner(prefect_well)]


def accounts() -> list[Standing]:
    """How the tokens of the pipelines stand; none while Redis is away. Raises DefinitionError."""
    found = []
    for definition in pipelines().values():
        with suppress(StackError, LedgerError):
            if (each := standing(client(), definition)) is not None:
                found.append(each)
    return found


_DOES = {
    "Redis": "Keeps what became of every row, and the shared limit. Without it nothing is sent.",
    "Prefect server": "Starts runs and keeps schedules. Runs that are under way go on without it.",
}


def _server(each: addresses.ServiceStatus) -> Service:
    todo = ""
    if not each.reachable:
        todo = (
            "Start everything again with `rowrelay up`."
            if each.embedded
            else "It is not one that Rowrelay starts: ask whoever runs it, or check its address."
        )
    says = "answers" if each.reachable else f"does not answer: {each.detail}"
    return Service(each.name, each.reachable, says, _DOES.get(each.name, ""), todo, each.address, each.page)


def _runner(prefect_well: bool) -> Service:
    does = "Does the work: picks up runs and delivers them."
    if not prefect_well:
        return Service("Runner", False, "cannot be asked for while Prefect is away", does)
    try:
        places = server.deployments()
        wanted = set(pipelines())
    except RowrelayError as exc:
        return Service("Runner", False, exc.message, does, exc.hint)
    # Prefect keeps what was registered until the next start, also of a definition that is gone since.
    served = {place.name for place in places if place.flow == DELIVER and place.ready} & wanted
    if missing := sorted(wanted - served):
        says = f"nobody serves {', '.join(missing)}"
        return Service(
            "Runner", False, says, does, "Start `rowrelay up`, or a worker. It may take a minute to be seen."
        )
    return Service("Runner", True, f"serves {', '.join(sorted(served)) or 'nothing yet'}", does)
