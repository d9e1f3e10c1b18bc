"""What it means for a row when no answer came: pure, from an exception to a verdict."""

from __future__ import annotations

import ssl

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError

from flows.client.answer import EXCERPT_CHARACTERS, Mask, clean
from flows.records import RowState, Verdict

# The most specific first. The words say what happened on the network; whether the request had left is known otherwise.
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLCertVerificationError, "the API's certificate could not be verified"),
    (aiohttp.ClientConnectorCertificateError, "the API's certificate could not be verified"),
    (aiohttp.ServerFingerprintMismatch, "the API's certificate is not the expected one"),
    (aiohttp.ClientSSLError, "no encrypted connection could be made"),
    (aiohttp.ClientConnectorDNSError, "the API's name could not be resolved"),
    (aiohttp.ClientProxyConnectionError, "the proxy could not be reached"),
    (aiohttp.ClientConnectorError, "no connection could be made"),
    (aiohttp.ConnectionTimeoutError, "no connection could be made in time"),
    (aiohttp.ServerTimeoutError, "no answer came in time"),
    (aiohttp.ServerDisconnectedError, "the connection was closed without an answer"),
    (aiohttp.ClientConnectionError, "the connection broke"),
    (aiohttp.ClientPayloadError, "the answer broke off"),
    (aiohttp.UploadAbortedError, "the connection broke"),
    (aiohttp.InvalidURL, "the address is no valid URL"),
    (aiohttp.NonHttpUrlClientError, "the address is no http or https URL"),
    (aiohttp.RedirectClientError, "the API redirects to an address that is none"),
    (aiohttp.TooManyRedirects, "the API redirects in circles"),
    (aiohttp.ContentTypeError, "the answer is of another type than was due"),
    (aiohttp.ClientHttpProxyError, "the proxy refused"),
    (aiohttp.ClientResponseError, "the answer is no valid HTTP"),
    (aiohttp.ClientError, "the request failed"),
    (HttpProcessingError, "the answer is no valid HTTP"),
    (httpx.ConnectError, "no connection could be made"),
    (httpx.ConnectTimeout, "no connection could be made in time"),
    (httpx.PoolTimeout, "no connection became free in time"),
    (httpx.TimeoutException, "no answer came in time"),
    (httpx.UnsupportedProtocol, "the address is no http or https URL"),
    (httpx.InvalidURL, "the address is no valid URL"),
    (httpx.LocalProtocolError, "the request is no valid HTTP"),
    (httpx.RemoteProtocolError, "the answer is no valid HTTP"),
    (httpx.ProxyError, "the proxy refused"),
    (httpx.NetworkError, "the connection broke"),
    (httpx.DecodingError, "the answer could not be unpacked"),
    (httpx.TooManyRedirects, "the API redirects in circles"),
    (httpx.HTTPError, "the request failed"),
    (httpx.StreamError, "the answer broke off"),
    (httpx.CookieConflict, "the answer holds cookies that contradict each other"),
    (TimeoutError, "no answer came in time"),
    (ConnectionResetError, "the connection was reset"),
    (OSError, "the connection broke"),
)
# Nothing that waiting would mend: the row, or the definition, makes a request that cannot be written.
_HOPELESS = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError)


def words_for(exc: BaseException) -> str:
    """What happened, in plain words; the exception's own text follows in brackets where it says more."""
    plain = next((words for kind, words in _WORDS if isinstance(exc, kind)), "the request failed")
    detail = clean(str(exc) or type(exc).__name__) if not isinstance(exc, TimeoutError) else ""
    return f"{plain} ({detail})" if detail else plain


def broken(exc: BaseException, *, wrote: bool, idempotent: bool, within_seconds: float, mask: Mask = str) -> Verdict:
    """The verdict on an attempt that ended in an exception before the head of an answer.

    `wrote` says whether anything of the request may have left this machine, and decides: nothing written is
    `waiting`, everything else `unknown`.
    """
    words = mask(words_for(exc))[:EXCERPT_CHARACTERS]
    if isinstance(exc, TimeoutError):
        words = f"no answer within {within_seconds:g} s" if wrote else f"no connection within {within_seconds:g} s"
    if wrote:
        return Verdict(RowState.UNKNOWN, f"{words}; the API may have acted", again=idempotent)
    hopeless = isinstance(exc, _HOPELESS) and not isinstance(exc, OSError)  # a bad certificate is both
    if hopeless:
        return Verdict(RowState.FAILED, f"{words}; nothing was sent", wrote=False)
    return Verdict(RowState.WAITING, f"{words}; nothing was sent", wrote=False, again=True)
