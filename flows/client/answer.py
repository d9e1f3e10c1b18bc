"""What an answer means for its row: pure, from status, headers and body to a verdict.

| answer                                             | state   |                                                      |
|----------------------------------------------------|---------|------------------------------------------------------|
| a success status, JSON as promised (or no body)    | done    | kept fields taken                                    |
| the same, but the JSON is broken, cut off, too long| done    | nothing kept; the reason says so                     |
| a success status with something else than JSON     | unknown | it need not have been the API that spoke             |
| an HTML page where JSON was due; `ban.status`      | unknown; failed | ban: the limit is latched                    |
| 429; 503 with Retry-After                          | waiting | everybody pauses                                     |
| 408, 425                                           | waiting | the server says that it did not act                  |
| 301, 307, 308; every other 4xx                     | failed  |                                                      |
| other redirects                                    | unknown | some APIs redirect after they have acted             |
| 409 about an Idempotency-Key                       | unknown | an earlier attempt is under way                      |
| 500, 502, 503 alone, 504, …                        | unknown | sent again only if the definition is `idempotent`    |

A `done` row is never sent again, so that a success status with a broken body is `done`: the API said that it acted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jmespath
import msgspec

from flows.client.pause import MAX_PAUSE_SECONDS, Headers, pause_of, retry_after
from flows.pipeline.definition import Definition
from flows.records import RowState, Verdict

EXCERPT_CHARACTERS = 300
GATEWAY_STATUSES = frozenset((502, 503, 504))
_EMPTY = frozenset((204, 205))
_NOT_ACTED = frozenset((408, 425))
_MOVED = frozenset((301, 307, 308))
# Web servers answer a single odd request with an HTML page of their own under these; no sign of a ban.
_HTML_OF_SERVERS = frozenset((400, 404, 405, 408, 411, 413, 414, 421, 425, 429, 431))
_MEANINGS = {
    400: "the API finds the request wrong",
    401: "the API does not know us: the token may be missing, wrong or expired",
    403: "the API refuses us",
    404: "there is nothing at this address",
    405: "the address does not take this method",
    409: "the API says that this conflicts with what it has",
    413: "the row is too large for the API",
    415: "the API does not take this kind of body",
    422: "the API finds the row wrong",
    500: "the API failed",
    502: "a gateway before the API failed",
    503: "the API is not available",
    504: "a gateway before the API got no answer in time",
}

Mask = Callable[[str], str]


def classify(
    status: int, headers: Headers, body: bytes, definition: Definition, *, trouble: str = "", mask: Mask = str
) -> Verdict:
    """The verdict on an answer. `headers` must find names in any case (httpx.Headers does).

    `trouble` says in words why `body` is not all of the body, if it is not. `mask` hides secrets in a text.
    """
    if status in definition.response.success:
        return _success(status, headers, body, definition, trouble=trouble, mask=mask)
    verdict = _refusal(status, headers, body, definition, mask)
    return replace(verdict, status=status, excerpt=_excerpt(body, headers, mask))


def _success(
    status: int, headers: Headers, body: bytes, definition: Definition, *, trouble: str, mask: Mask
) -> Verdict:
    if not definition.response.expects_json:
        return Verdict(RowState.DONE, _but(status, trouble), status=status)
    if status in _EMPTY or not (body or trouble):
        missing = "the answer is empty: nothing kept" if definition.response.keep and status not in _EMPTY else ""
        return Verdict(RowState.DONE, _but(status, missing), status=status)
    kept: dict[str, Any] = {}
    if not trouble:
        try:
            kept, missing = _keep(_parse(body, headers), definition)
            return Verdict(RowState.DONE, _but(status, missing), status=status, kept=kept)
        except ValueError:
            trouble = "the answer is no valid JSON"
    excerpt = _excerpt(body, headers, mask)
    if _is_html(headers, body):
        reason = f"an HTML page came with {status} where JSON was due"
        return Verdict(RowState.UNKNOWN, reason, status=status, excerpt=excerpt, ban=definition.ban.html)
    if _says_json(headers):
        return Verdict(RowState.DONE, _but(status, f"{trouble}: nothing kept"), status=status, excerpt=excerpt)
    kind = _shown(headers.get("content-type", ""), mask) or "no content type"
    reason = f"the API said {status}, but with {kind} where JSON was due"
    return Verdict(RowState.UNKNOWN, reason, status=status, excerpt=excerpt, again=definition.idempotent)


def _but(status: int, trouble: str) -> str:
    return f"the API said {status}, but {trouble}" if trouble else ""


def _refusal(status: int, headers: Headers, body: bytes, definition: Definition, mask: Mask) -> Verdict:
    """State, reason and consequences of a status that is no success."""
    if status in definition.ban.status:
        return Verdict(RowState.FAILED, f"{_said(status)}; this counts as a ban", ban=True)
    if status == 429:
        wait = pause_of(headers) or _window_seconds(definition)
        return Verdict(RowState.WAITING, "the API says 429: too many requests", again=True, pause_seconds=wait)
    if status == 503 and (asked := retry_after(headers)):
        return Verdict(RowState.WAITING, "the API says 503: come back later", again=True, pause_seconds=asked)
    if definition.ban.html and definition.response.expects_json and _bans_by_html(status) and _is_html(headers, body):
        return Verdict(RowState.FAILED, f"an HTML page came with {status} where JSON was due", ban=True)
    if status in _NOT_ACTED:
        return Verdict(RowState.WAITING, f"the server says {status}: it has not taken the request", again=True)
    if 300 <= status < 400:
        return _redirect(status, _shown(headers.get("location", ""), mask))
    if status == 409 and (definition.idempotent or b"idempotency" in body[:4096].lower()):
        reason = "the API says 409: an earlier attempt with the same Idempotency-Key is under way"
        return Verdict(RowState.UNKNOWN, reason, again=definition.idempotent)
    if 400 <= status < 500:
        return Verdict(RowState.FAILED, _said(status))
    if 200 <= status < 300:
        reason = f"the API said {status}, which is not among the definition's response.success"
        return Verdict(RowState.UNKNOWN, reason)
    return Verdict(RowState.UNKNOWN, f"{_said(status)}; it may have acted all the same", again=definition.idempotent)


def _bans_by_html(status: int) -> bool:
    return 400 <= status < 500 and status not in _HTML_OF_SERVERS


def _redirect(status: int, target: str) -> Verdict:
    reason = f"the API says {status}: go to {target or 'nowhere'}. Redirects are not followed"
    if status in _MOVED:
        return Verdict(RowState.FAILED, f"{reason}; put the final address into request.url")
    return Verdict(RowState.UNKNOWN, f"{reason}; the API may have acted before it said so")


def _said(status: int) -> str:
    meaning = _MEANINGS.get(status)
    return f"status {status}: {meaning}" if meaning else f"status {status}"


def _window_seconds(definition: Definition) -> float:
    """How long to wait where the API does not say: the shortest window of the limit, at least a second."""
    windows = definition.limit.terms(definition).windows
    return min(max(1.0, min((seconds for _, seconds in windows), default=1.0)), MAX_PAUSE_SECONDS)


def _says_json(headers: Headers) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _is_html(headers: Headers, body: bytes) -> bool:
    kind = headers.get("content-type", "").lower()
    start = body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return "html" in kind or start.startswith((b"<!doctype html", b"<html"))


def _parse(body: bytes, headers: Headers) -> Any:
    """The JSON value. Raises ValueError."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        encoding = _charset(headers) or ("utf-8-sig" if body.startswith(b"\xef\xbb\xbf") else "")
        if not encoding:
            raise ValueError(str(exc)) from exc
    try:
        return json.loads(body.decode(encoding), parse_constant=_no_constant)
    except (LookupError, UnicodeError, RecursionError) as exc:
        raise ValueError(str(exc)) from exc


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _charset(headers: Headers) -> str:
    _, _, given = headers.get("content-type", "").lower().partition("charset=")
    name = given.partition(";")[0].strip(" \"'")
    return "" if name in ("utf-8", "utf8") else name


def _keep(answer: Any, definition: Definition) -> tuple[dict[str, Any], str]:
    """The kept fields, and what there was not, in words."""
    kept = {name: _search(path, answer) for name, path in definition.response.keep.items()}
    missing = [definition.response.keep[name] for name, value in kept.items() if value is None]
    return kept, f"the answer has no {', '.join(missing)}" if missing else ""


def _search(path: str, answer: Any) -> Any:
    try:
        return _compiled(path).search(answer)
    except jmespath.exceptions.JMESPathError:  # a function of the path does not fit what the answer holds
        return None


@lru_cache(maxsize=256)
def _compiled(path: str) -> Any:
    return jmespath.compile(path)


def _excerpt(body: bytes, headers: Headers, mask: Mask) -> str:
    """The beginning of a body as one line of text."""
    start = body[:8192]
    try:
        text = start.decode(_charset(headers) or "utf-8", errors="replace")
    except LookupError:
        text = start.decode("utf-8", errors="replace")
    return _shown(text, mask)


def _shown(text: str, mask: Mask) -> str:
    """A text of the API as it may be shown: secrets hidden before it is cut, which could leave half of one."""
    return clean(mask(text))[:EXCERPT_CHARACTERS]


def clean(text: str) -> str:
    """The text without control and other invisible characters, its blanks and line breaks as single blanks."""
    return " ".join("".join([char if char.isprintable() else " " for char in text]).split())
