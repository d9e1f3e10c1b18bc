"""A token request on the network: one attempt, bounded in time and length, with no redirects.

It goes through the proxy that the definition states, and no other.
"""

from __future__ import annotations

import queue
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from flows.client.breakage import words_for
from flows.client.certificate import Certified, tls_context
from flows.client.proxies import Proxies, Proxy
from flows.credentials.grant import MOST_BYTES, Answer, Asked, Flow, Pause, Token
from flows.credentials.signing import text_of
from flows.errors import SettingError
from flows.pipeline.auth import SECRET, Auth
from flows.pipeline.definition import Definition
from flows.pipeline.template import Secrets


class Wire(msgspec.Struct, frozen=True):
    """How token requests go: the certificate that is shown, and the proxy, its password in its address."""

    certified: Certified | None = None
    proxy: str = ""


def wire_of(definition: Definition, secrets: Secrets, folder: Path | None) -> Wire:
    """As a definition says; `folder` is that of the secrets. Raises SettingError."""
    auth = definition.auth
    oauth2 = auth.oauth2 if auth is not None else None
    url = urlsplit(oauth2.token_url if oauth2 is not None else "")
    found = Proxies.of(definition, secrets).to(url.scheme.lower(), url.hostname or "")
    return Wire(certified(auth, secrets, folder), _address(found) if found is not None else "")


def _address(proxy: Proxy) -> str:
    who = f"{quote(proxy.user, safe='')}:{quote(proxy.password, safe='')}@" if proxy.user else ""
    return f"http://{who}{proxy.host}:{proxy.port}"


DIRECTLY = Wire()


def post(asked: Asked, wire: Wire = DIRECTLY) -> Answer:
    """What came of it, within its time on the clock. Raises SettingError for a certificate that cannot be used.

    A thread asks, since a name that is looked up, or an answer of a byte a second, obeys no time-out of a read. One
    that is given up writes nothing more.
    """
    until = time.monotonic() + asked.timeout_seconds
    context = tls_context(wire.certified)
    came: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    threading.Thread(target=lambda: came.put(_posted(asked, wire, context, until)), daemon=True).start()
    try:
        return came.get(timeout=asked.timeout_seconds)
    except queue.Empty:
        return Answer(None, trouble=_slow(asked))


def _slow(asked: Asked) -> str:
    return f"no answer within {asked.timeout_seconds:g} s"


def _posted(asked: Asked, wire: Wire, context: ssl.SSLContext, until: float) -> Answer:
    status, headers, body = None, {}, bytearray()

    def bound(_: str, __: object) -> None:
        if time.monotonic() > until:
            raise TimeoutError

    try:
        with (
            httpx.Client(
                trust_env=False,
                proxy=wire.proxy or None,
                verify=context,
                timeout=asked.timeout_seconds,
                follow_redirects=False,
            ) as client,
            client.stream(
                "POST", asked.url, headers=asked.headers, content=asked.body, extensions={"trace": bound}
            ) as response,
        ):
            status, headers = response.status_code, dict(response.headers.items())
            for part in response.iter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    return Answer(status, headers, b"", "its answer is too long")
                if time.monotonic() > until:
                    raise TimeoutError
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
        slow = isinstance(exc, httpx.TimeoutException | TimeoutError)
        return Answer(status, headers, bytes(body), _slow(asked) if slow else words_for(exc))
    except Exception as exc:  # it would die with its thread
        return Answer(status, headers, bytes(body), f"it cannot be asked ({type(exc).__name__})")
    return Answer(status, headers, bytes(body))


def driven(
    flow: Flow,
    *,
    wire: Wire = DIRECTLY,
    before: Callable[[Asked], None] = lambda asked: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Token:
    """Drive a flow to its token. `before` is called before each request. Raises what the flow raises."""
    step = next(flow)
    while True:
        try:
            if isinstance(step, Pause):
                sleep(step.seconds)
                step = flow.send(None)
            else:
                before(step)
                step = flow.send(post(step, wire))
        except StopIteration as end:
            token: Token = end.value
            return token


def certified(auth: Auth | None, secrets: Secrets, folder: Path | None) -> Certified | None:
    """The files of the client certificate. Raises SettingError where they are not in the secrets folder."""
    if auth is None or (stated := auth.certificate) is None:
        return None
    found = []
    for text in (stated.cert, stated.key):
        name = (SECRET.fullmatch(text or "") or [""])[1] if text else ""
        if name and (folder is None or not (folder / name).is_file()):
            where = f"in {folder}" if folder is not None else "as ROWRELAY_SECRETS names no folder"
            raise SettingError(
                f"There is no file {name} {where}.",
                hint="auth.certificate names PEM files in the folder of secrets; put them there.",
            )
        found.append(str(folder / name) if name and folder is not None else "")
    return Certified(found[0], found[1], text_of(stated.password or "", secrets))
