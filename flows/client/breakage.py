"""What it means when no answer came: pure, from an exception to a reply."""

from __future__ import annotations

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError

from flows.client.answer import MESSAGE_CHARACTERS, Mask, clean
from flows.client.proxies import Proxy
from flows.client.proxy_trouble import detail, is_unknown_name, trouble_of
from flows.records import Reply, RowState

# The most specific first. The words say what happened on the network; whether the request had left is known otherwise.
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ServerDisconnectedError, "the connection was closed without an answer"),
    (aiohttp.ClientConnectionError, "the connection broke"),
    (aiohttp.ClientPayloadError, "the answer broke off"),
    (aiohttp.InvalidURL, "the address is no valid URL"),
    (HttpProcessingError, "the answer is no valid HTTP"),
    (httpx.DecodingError, "the answer could not be unpacked"),
    (TimeoutError, "no answer came in time"),
    (ConnectionResetError, "the connection was reset"),
    (OSError, "the connection broke"),
)
# What OpenSSL says of the other side if it speaks no TLS, or none that we could agree on.
_NO_TLS = frozenset(("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"))
_OTHER_TLS = frozenset(("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"))
_TOO_SLOW = {
    "name": "the name {host} was not resolved within {seconds:g} s",
    "connect": "{host} did not take the connection within {seconds:g} s",
    "tls": "{host} took the connection, but the TLS handshake was not over within {seconds:g} s",
}


class NotReady(Exception):
    """No connection could be set up, so nothing was written. The text says why.

    `began` is when the set-up did, by the loop's clock; `final` that waiting cannot mend it.
    """

    def __init__(self, words: str, *, began: float, final: bool) -> None:
        super().__init__(words)
        self.began, self.final = began, final


def unreachable(
    exc: Exception, host: str, *, step: str, seconds: float, began: float, known: bool, proxy: Proxy | None = None
) -> NotReady:
    """Why no connection to `host` came about. `step`: what it was at; `known`: there have been connections before."""
    if proxy is not None and (at_proxy := trouble_of(proxy, exc, host, step=step, seconds=seconds)):
        return NotReady(at_proxy.words, began=began, final=at_proxy.final and not known)
    name, final = host.rpartition(":")[0], False
    if isinstance(exc, TimeoutError):
        words = _TOO_SLOW[step].format(host=name if step == "name" else host, seconds=seconds)
    elif isinstance(exc, aiohttp.ClientConnectorCertificateError):
        found = exc.certificate_error
        words = f"the certificate of {host} could not be verified: {getattr(found, 'verify_message', '') or found}"
        final = True
    elif isinstance(exc, aiohttp.ClientConnectorDNSError):
        final = is_unknown_name(exc)
        words = f"there is no host with the name {name}" if final else f"the name {name} could not be resolved"
        words += f" ({clean(exc.os_error.strerror or str(exc.os_error))})"
    elif isinstance(exc, aiohttp.ClientConnectorSSLError) and _reason(exc) in _NO_TLS:
        words, final = f"{host} does not speak TLS; should the address begin with http://?", True
    else:
        plain = f"{host} could not be reached"
        words, final = f"{plain} ({detail(exc)})", _reason(exc) in _OTHER_TLS
    return NotReady(words, began=began, final=final and not known)


def _reason(exc: Exception) -> str:
    return str(getattr(getattr(exc, "os_error", None), "reason", ""))


def words_for(exc: BaseException) -> str:
    """What happened, in plain words; the exception's own text follows in brackets where it says more."""
    plain = next((words for kind, words in _WORDS if isinstance(exc, kind)), "the request failed")
    said = exc.__cause__ if isinstance(exc, aiohttp.ClientPayloadError) and exc.__cause__ is not None else exc
    # aiohttp gives its own errors a status, 400, which would read as if the API had said so.
    text = said.message if isinstance(said, HttpProcessingError) else str(exc)
    detail = clean(text or type(exc).__name__) if not isinstance(exc, TimeoutError) else ""
    return f"{plain} ({detail})" if detail else plain


def broken(exc: BaseException, *, wrote: bool, idempotent: bool, within_seconds: float, mask: Mask = str) -> Reply:
    """The reply of an attempt that ended in an exception before the head of an answer.

    `wrote` says whether anything of the request may have left this machine, and decides: nothing written is
    `waiting`, everything else `unknown`.
    """
    words = mask(words_for(exc))[:MESSAGE_CHARACTERS]
    too_slow = isinstance(exc, TimeoutError) and not wrote  # the one that was ready had died, and another took too long
    if isinstance(exc, NotReady) or too_slow:
        words = f"{f'no connection within {within_seconds:g} s' if too_slow else exc}; nothing was sent"
        return Reply(RowState.WAITING, words, wrote=False, attempted=False, again=True, no_connection=True)
    if isinstance(exc, TimeoutError):
        words = f"no answer within {within_seconds:g} s"
    if wrote:
        return Reply(RowState.UNKNOWN, f"{words}; the API may have acted", again=idempotent)
    if isinstance(exc, ValueError) and not isinstance(exc, OSError):  # waiting would mend no request of this row
        return Reply(RowState.FAILED, f"{words}; nothing was sent", wrote=False)
    return Reply(RowState.WAITING, f"{words}; nothing was sent", wrote=False, again=True)
