"""Secrets: named in a definition as `${secret:NAME}`, looked up when a program starts, stored and shown nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.errors import SecretMissing, SettingError
from flows.pipeline.auth import SECRET
from flows.pipeline.definition import Definition
from flows.pipeline.fault import Place
from flows.pipeline.hosts import host_of
from flows.pipeline.request import all_texts
from flows.pipeline.template import FromSecret, TemplateError, pieces
from flows.settings import Settings


def secret(name: str, folder: Path | None) -> str:
    """The secret of that name: the file `folder/name` if it is there, otherwise the environment variable.

    A line break at the end of a file is no part of the secret. Raises SettingError if there is none.
    """
    value = _find(name, folder)
    if not value:
        raise SettingError(f"the secret {name} is missing", hint=where_to_put(name, folder))
    return value


def where_to_put(name: str, folder: Path | None) -> str:
    """What helps where a secret is missing. A file is read by the next run, an environment only by a new process."""
    anew = f"set the environment variable {name}; where `rowrelay up` or a worker runs, start that again"
    return f"Put it into the file {name} in {folder}, or {anew}." if folder else f"To mend it, {anew}."


@dataclass(frozen=True, slots=True)
class Use:
    """A secret in a definition: where it stands, and the address that it goes to."""

    place: Place
    secret: str
    url: str


def uses(definition: Definition) -> Iterator[Use]:
    """Every secret of every request that a definition makes, of its proxy and its inboxes.

    What cannot be read holds none.
    """
    for place, request in definition.requests:
        for where, text in request.templates(place):
            yield from (Use(where, name, request.url) for name in named(text))
    if definition.batch is not None and definition.request is not None:
        for where, text in all_texts(definition.batch.each, ("batch", "each")):
            yield from (Use(where, name, definition.request.url) for name in named(text))
    yield from _of_auth(definition)
    for name in named(definition.proxy or ""):
        yield Use(("proxy",), name, definition.proxy or "")
    for at, schedule in enumerate(definition.schedules):
        for name in named(schedule.inbox or ""):
            yield Use(("schedules", at, "inbox"), name, schedule.inbox or "")


def _of_auth(definition: Definition) -> Iterator[Use]:
    """Those of `auth`: to the token server, and to every host that gets what is made of them."""
    if (auth := definition.auth) is None:
        return
    every = dict.fromkeys(request.url for _, request in definition.requests)
    urls = [url for url in every if definition.lets_in(host_of(url))]
    for place, text in auth.texts():
        to_server = place[1] == "oauth2" and place[2] != "header"
        for name in SECRET.findall(text):
            for url in [auth.oauth2.token_url, *urls] if to_server and auth.oauth2 is not None else urls:
                yield Use(place, name, url)
    if auth.login is not None:
        for place, text in auth.login.request.templates(("auth", "login", "request")):
            yield from (Use(place, name, url) for name in named(text) for url in urls)


def named(text: str) -> list[str]:
    """The secrets in a text; none where it is no template."""
    try:
        return [piece.name for piece in pieces(text) if isinstance(piece, FromSecret)]
    except TemplateError:
        return []


def secret_names(definition: Definition) -> tuple[str, ...]:
    """The secrets that the definition's requests need, and its proxy, sorted."""
    texts = (*(text for _, text in definition.templates()), definition.proxy or "")
    return tuple(sorted({name for text in texts for name in named(text)}))


def secrets_of(definition: Definition, folder: Path | None) -> dict[str, str]:
    """Every secret that the definition names, with its value. Raises SettingError for the first that is missing."""
    return {name: secret(name, folder) for name in secret_names(definition)}


def missing_secrets(definition: Definition, settings: Settings) -> list[str]:
    """Names of the secrets that the definition needs and that are not there, sorted."""
    return [name for name in secret_names(definition) if not _find(name, settings.secrets)]


def refuse_missing_secrets(definition: Definition, settings: Settings) -> None:
    """Raises SecretMissing for the first secret that the definition needs and that is not there."""
    if missing := missing_secrets(definition, settings):
        raise SecretMissing(
            f"Pipeline {definition.name} needs the secret {missing[0]}, which is not there.",
            hint=where_to_put(missing[0], settings.secrets),
        )


def _find(name: str, folder: Path | None) -> str:
    if folder and (folder / name).is_file():
        return (folder / name).read_text(encoding="utf-8").rstrip("\r\n")
    return os.environ.get(name, "")
