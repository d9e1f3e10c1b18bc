"""Leaving in order: a flow run whose process is asked to end gives way to another one, which goes on with it.

Our own workers ask by a signal of their own (`launch.HAND_OVER`). SIGTERM reaches a flow run for two reasons that
Prefect does not tell apart: somebody cancels the run, or whatever runs it is about to end. Only its server knows: a
run that is to be cancelled is `Cancelling` there. In the other case the flow run is scheduled anew, and whoever serves
its deployment takes it up.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import NoReturn
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import Abort, ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Scheduled

NAME = "HandedOver"
MESSAGE = "Its worker ended in good order; what is left is taken up by the next one."

logger = logging.getLogger(__name__)


def served() -> bool:
    """Whether the flow run of this thread is one of a deployment: another process can take it up then."""
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.deployment_id)


def wanted(own: str) -> bool:
    """Whether a flow run that was asked to end is to go on elsewhere, and not being cancelled.

    Where Prefect does not answer nobody can have cancelled it there.
    """
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(own)).state
    except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound) as exc:
        logger.warning("Prefect does not say why this run is to end: %s", exc)
        return True
    return not (state and (state.is_cancelling() or state.is_cancelled()))


def leave(own: str) -> NoReturn:
    """End this flow run here, scheduled anew. To be raised through the flow: Prefect then leaves its state alone."""
    with suppress(httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound), get_client(sync_client=True) as client:
        # Where this fails the run falls silent, is marked as crashed, and is resumed for that.
        client.set_flow_run_state(UUID(own), Scheduled(name=NAME, message=MESSAGE), force=True)
    raise Abort(MESSAGE)
