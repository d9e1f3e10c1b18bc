"""What keeps a pipeline from its token, each with what to do about it."""

from __future__ import annotations

import logging

from flows.credentials.grant import place_of
from flows.credentials.store import Held
from flows.errors import RowrelayError, Stopped
from flows.masking import Masker
from flows.pipeline.auth import OAuth2
from flows.pipeline.fault import brief

logger = logging.getLogger(__name__)


def belongs_to(held: Held, oauth2: OAuth2, pipeline: str) -> Stopped:
    """A definition names a token that goes to another server, or is another client's."""
    return Stopped(
        f"The token {brief(oauth2.token_name(pipeline))} belongs to pipeline {held.pipeline}, "
        "which has another token_url or client_id.",
        hint="State another `name` under auth.oauth2. If the account itself has moved, "
        f"`rowrelay auth {pipeline} --forget` drops the old token.",
    )


def begun_elsewhere(held: Held, name: str, pipeline: str) -> Stopped:
    """Another definition names the same token, and began with another refresh token."""
    return Stopped(
        f"The token {brief(name)} began with another refresh token, that of pipeline {held.pipeline}.",
        hint="Two accounts need two tokens: state another `name` under auth.oauth2. If it is one account, "
        f"whose refresh token was replaced, `rowrelay auth {pipeline} --forget` drops the old one.",
    )


def sealed(pipeline: str) -> Stopped:
    """What is stored was sealed with another key."""
    return Stopped(
        f"The stored token of pipeline {pipeline} cannot be opened with this machine's key.",
        hint=f"Give every machine the same file rowrelay-token-key in its secrets folder, or {_connect(pipeline)}",
    )


def not_connected(pipeline: str) -> Stopped:
    """There is nothing to begin with."""
    return Stopped(f"Pipeline {pipeline} is not connected to its account.", hint=_capital(_connect(pipeline)))


def refusal(told: str, held: Held, oauth2: OAuth2, pipeline: str) -> Stopped:
    """The token server says no, for good."""
    where = place_of(oauth2)
    if oauth2.grant != "refresh_token":
        return Stopped(
            f"The token server {where} refuses us: {told}.",
            hint="Set the credentials right that auth.oauth2 names, then resume the run.",
        )
    lost = ", after a renewal whose answer was lost" if held.intent is not None else ""
    return Stopped(
        f"The token server {where} refuses to renew the token{lost}: {told}.", hint=_capital(_connect(pipeline))
    )


def stopped_of(exc: Exception, masker: Masker) -> Stopped:
    """What stops a run that has nothing to be let in by."""
    if isinstance(exc, Stopped):
        return exc
    if isinstance(exc, RowrelayError):
        return Stopped(masker.text(exc.message), hint=exc.hint)
    logger.error("what lets requests in failed inside: %s", masker.text(repr(exc)))
    return Stopped(
        masker.text(f"What lets requests in failed inside: {exc!r}."), hint="Resume the run; if that recurs, report it."
    )


def _connect(pipeline: str) -> str:
    return f"connect again: `rowrelay auth {pipeline}`. Then resume the run."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
