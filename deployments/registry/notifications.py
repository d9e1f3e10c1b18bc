"""Tells people when a run stops or ends with errors: `rowrelay notify`.

Sets up a Prefect automation that writes to ROWRELAY_NOTIFY_URL, or takes it away where that is empty. It goes to the
server in PREFECT_API_URL, else to the embedded one, which has to run. May be run again and again. With `--test` it
sends one message at once.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from deployments.embedded import addresses
from flows.errors import StackError
from flows.flow_runs.outcome import FORMER, SAYS_WITH_ERRORS, WITH_ERRORS
from flows.ledger.connection import masked
from flows.settings import Settings

if TYPE_CHECKING:
    from prefect.automations import Automation
    from prefect.client.orchestration import PrefectClient
    from prefect.events.actions import SendNotification

AUTOMATION = "Rowrelay: tell of runs that stopped or ended with errors"
BLOCK = "rowrelay-notify"
STATES = ("Failed", "Crashed", "TimedOut", *(name for name, said in FORMER.items() if said == WITH_ERRORS))
_HOW = "{% if flow_run.state.type == 'COMPLETED' %}ended with errors{% else %}is {{ flow_run.state.name }}{% endif %}"
SUBJECT = "Rowrelay: {{ flow_run.name }} " + _HOW


_WHAT = "{{ flow_run.name }}: {{ flow_run.state.message or 'no reason was given' }}"
_IN_PREFECT = "{% if flow_run|ui_url %}\nIn Prefect: {{ flow_run|ui_url }}{% endif %}"


def text(settings: Settings) -> str:
    """The message, as a template that Prefect fills in. A flow run's name has the pipeline and the file."""
    dashboard = addresses.dashboard_url(settings)
    # A look through an inbox is no run, so the dashboard has no page of it.
    run = "{% if 'file' in flow_run.parameters %}\nRun: " + dashboard + "/run?id={{ flow_run.id }}{% endif %}"
    return _WHAT + (run if dashboard else "") + _IN_PREFECT


def block(url: str) -> Any:
    """The Prefect block that writes to this address. Raises StackError for an address that is none."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock, MicrosoftTeamsWebhook, SlackWebhook

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StackError(
            "ROWRELAY_NOTIFY_URL is no address that can be written to.",
            hint="Give a webhook's address, beginning with https://. What it holds is not shown here: it is a secret.",
        )
    if parts.hostname == "hooks.slack.com":
        return SlackWebhook(url=url)  # type: ignore[arg-type]  # the address becomes a secret by itself
    if parts.hostname.endswith((".webhook.office.com", ".logic.azure.com")):
        return MicrosoftTeamsWebhook(url=url)  # type: ignore[arg-type]
    return CustomWebhookNotificationBlock(
        name="rowrelay",
        url="{{address}}",  # kept among the secrets, because addresses of webhooks are passwords
        json_data={"subject": "{{subject}}", "text": "{{body}}"},
        secrets={"address": url},  # type: ignore[arg-type]
        headers=None,
        cookies=None,
    )


def set_up(settings: Settings) -> str:
    """Make Prefect tell; returns what was done, in words. Raises StackError, or what Prefect's client raises."""
    from prefect.events.actions import SendNotification

    if settings.notify_url is None:
        asyncio.run(_keep(None))
        return "Nobody is told of runs that stop: ROWRELAY_NOTIFY_URL is not set."
    saved = block(settings.notify_url.get_secret_value()).save(BLOCK, overwrite=True)
    asyncio.run(_keep(SendNotification(block_document_id=saved, subject=SUBJECT, body=text(settings))))
    return "Runs that stop or end with errors are told to the address in ROWRELAY_NOTIFY_URL."


async def _keep(action: SendNotification | None) -> None:
    """Have one automation that does this, or none."""
    from prefect.client.orchestration import get_client

    from deployments.registry import automations

    async with get_client() as client:
        if action is None:
            await automations.remove(client, AUTOMATION)
        else:
            await automations.put(client, _automation(action))


async def renew(client: PrefectClient, settings: Settings) -> None:
    """Bring the automation up to date where there is one: an earlier version waits for states that are no more."""
    from prefect.events.actions import SendNotification

    from deployments.registry import automations

    for there in await client.read_automations_by_name(AUTOMATION):
        for action in there.actions:
            if isinstance(action, SendNotification):
                again = SendNotification(
                    block_document_id=action.block_document_id, subject=SUBJECT, body=text(settings)
                )
                await automations.put(client, _automation(again))


def _automation(action: SendNotification) -> Automation:
    from prefect.automations import Automation
    from prefect.events.schemas.automations import CompoundTrigger

    from deployments.registry import automations

    return Automation(
        name=AUTOMATION,
        description="Set up by Rowrelay: changes but switching it off are overwritten at its next set-up.",
        trigger=CompoundTrigger(
            triggers=[
                automations.on_state(STATES),
                automations.on_state({"Completed"}, saying=SAYS_WITH_ERRORS),
            ],
            require="any",
            within=None,
        ),
        actions=[action],
    )


def try_out(settings: Settings) -> str:
    """Send a message. Returns why it did not arrive, without the address, which is a secret; nothing if it did."""
    from prefect.blocks.abstract import NotificationError

    if settings.notify_url is None:
        return ""
    there = block(settings.notify_url.get_secret_value())
    try:
        with there.raise_on_failure():
            there.notify("This is how Rowrelay will tell.", subject="Rowrelay")
    except httpx.HTTPStatusError as exc:
        return f"{exc.request.url.host} answered {exc.response.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL, NotificationError, RuntimeError) as exc:
        return f"the address does not answer ({type(exc).__name__})"
    return ""


def run(*, test: bool) -> int:
    """Set it up. Returns 2 if that was not possible; 1 if it was, and the message of `test` did not arrive.

    Raises SettingError, StackError.
    """
    settings = Settings.read()
    addresses.ready_prefect(settings)
    try:
        sys.stdout.write(set_up(settings) + "\n")
    except httpx.HTTPStatusError as exc:
        sys.stderr.write(f"Nothing was set up: Prefect answered {exc.response.status_code}.\n")
        return 2
    except (httpx.HTTPError, RuntimeError) as exc:
        server = masked(addresses.prefect_api_url(settings))
        sys.stderr.write(f"Nothing was set up: Prefect at {server} does not answer: {type(exc).__name__}\n")
        return 2
    if test and (why := try_out(settings)):
        sys.stderr.write(f"The test message did not arrive: {why}.\n")
        return 1
    return 0
