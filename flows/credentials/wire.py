"""A token request on the network: one attempt, bounded in time and length, with no redirects and no proxies."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from flows.client.breakage import words_for
from flows.client.certificate import Certified, tls_context
from flows.credentials.grant import MOST_BYTES, Answer, Asked, Flow, Pause, Token


def post(asked: Asked, certified: Certified | None = None) -> Answer:
    """What came of it. Raises SettingError for a certificate that cannot be used."""
    until = time.monotonic() + asked.timeout_seconds
    status, headers, body = None, {}, bytearray()
    try:
        with (
            httpx.Client(
                trust_env=False, verify=tls_context(certified), timeout=asked.timeout_seconds, follow_redirects=False
            ) as client,
            client.stream("POST", asked.url, headers=asked.headers, content=asked.body) as response,
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
        trouble = f"no answer within {asked.timeout_seconds:g} s" if slow else words_for(exc)
        return Answer(status, headers, bytes(body), trouble)
    return Answer(status, headers, bytes(body))


def driven(
    flow: Flow,
    *,
    certified: Certified | None = None,
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
                step = flow.send(post(step, certified))
        except StopIteration as end:
            token: Token = end.value
            return token
