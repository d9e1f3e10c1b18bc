"""What an answer means: pure, from status, headers and body to a reply, and from a reply to the outcomes of its rows.

| answer                                             | state   |                                                      |
|----------------------------------------------------|---------|------------------------------------------------------|
| a success status, JSON as promised (or no body)    | done    | kept fields taken                                    |
| the same, but the JSON is broken, cut off, too long| done    | nothing kept; the reason says so                     |
| the same, behind a warning that the server printed | done    | kept fields taken; the reason says so                |
| a success status with something else than JSON     | unknown | it need not have been the API that spoke             |
| an HTML page where JSON was due; `ban.status`      | unknown; failed | ban: the limit is latched                    |
| 429; 403, 503 or `ban.status` with Retry-After     | waiting | everybody pauses; of the second where it comes again |
|                                                    |         | after the wait the limit is latched                  |
| 408, 425                                           | waiting | the server says that it did not act                  |
| 301, 307, 308; every other 4xx                     | failed  |                                                      |
| other redirects                                    | unknown | some APIs redirect after they have acted             |
| 409 about an Idempotency-Key (or, if `idempotent`, | unknown | an earlier attempt may be under way                  |
| without a body)                                    |         |                                                      |
| 500, 502, 503 alone, 504, …                        | unknown | sent again only if the definition is `idempotent`    |

A `done` row is never sent again, so that a success status with a broken body is `done`: the API said that it acted.
How a body is read is in flows.client.reading, what a wait is written as in flows.client.pause.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import jmespath
from msgspec import UNSET
from msgspec.structs import replace

from flows.client.message import message_of
from flows.client.pause import MAX_PAUSE_SECONDS, Headers, pause_of, retry_after
from flows.client.reading import after_warning, as_text, is_html, parsed, says_json, unpacked
from flows.masking import Masker
from flows.pipeline.definition import Definition
from flows.records import Outcome, Parcel, Reply, RowState

EXCERPT_CHARACTERS = 2000  # of an answer that is no success
MESSAGE_CHARACTERS = 300  # of what the API says, where it stands in a reason
KEPT_CHARACTERS = 2000  # of one kept value, as JSON
GATEWAY_STATUSES = frozenset((502, 503, 504))
_EMPTY = frozenset((204, 205))
_NOT_ACTED = frozenset((408, 425))
_MOVED = frozenset((301, 307, 308))
# Web servers answer a single odd request with an HTML page of their own under these; no sign of a ban.
_HTML_OF_SERVERS = frozenset((400, 404, 405, 408, 411, 413, 414, 421, 425, 429, 431))
_OF_THE_ROW = frozenset((400, 409, 422))  # of these the API's own words say more than ours
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


def understood(
    status: int,
    headers: Headers,
    body: bytes,
    definition: Definition,
    *,
    trouble: str = "",
    mask: Mask = str,
    took_seconds: float = 0.0,
) -> Reply:
    """What an answer means as a whole. `headers` must find names in any case (httpx.Headers does).

    `trouble` says in words why `body` is not all of the body, if it is not. `mask` hides secrets in a text.
    """
    try:
        body = unpacked(body, headers, definition.response.max_bytes)
    except ValueError as exc:
        trouble = trouble or str(exc)
    if status in definition.response.success:
        reply = _success(status, headers, body, definition, trouble=trouble, mask=mask)
    else:
        message = _message(body, headers, mask)
        reply = _refusal(status, headers, body, definition, message, mask)
        reply = replace(reply, excerpt=_excerpt(body, headers, mask, message))
    return replace(reply, status=status, headers=headers, body=body, took_seconds=took_seconds)


def outcomes(reply: Reply, parcel: Parcel, definition: Definition, masker: Masker) -> list[Outcome]:
    """What a reply means for each row of the parcel that it answers."""
    kept, missing = _keep(reply.value, definition) if reply.value is not UNSET else ({}, "")
    reason = f"{reply.reason}; {missing}" if reply.reason and missing else reply.reason or _but(reply.status, missing)
    kept = masker.value(kept)
    return [Outcome(row.row, reply.means, reason, kept, reply.excerpt, reply.again) for row in parcel.rows]


def _success(status: int, headers: Headers, body: bytes, definition: Definition, *, trouble: str, mask: Mask) -> Reply:
    if not definition.response.expects_json:
        return Reply(RowState.DONE, _but(status, trouble))
    if status in _EMPTY or not (body or trouble):
        missing = "the answer is empty: nothing kept" if definition.response.keep and status not in _EMPTY else ""
        return Reply(RowState.DONE, _but(status, missing))
    whole = not trouble
    if whole:
        with suppress(ValueError):
            return Reply(RowState.DONE, value=parsed(body, headers))
        trouble = "the answer is no valid JSON"
    excerpt = _excerpt(body, headers, mask)  # not before: most answers need none, and masking takes its time
    brief = excerpt[:MESSAGE_CHARACTERS]  # of rows that are done: there may be a million of them
    if whole:
        with suppress(ValueError):
            value = after_warning(body, headers)
            return Reply(RowState.DONE, _but(status, "other text stands before its JSON"), value=value, excerpt=brief)
    if is_html(headers, body):
        reason = f"an HTML page came with {status} where JSON was due"
        return Reply(RowState.UNKNOWN, reason, excerpt=excerpt, ban=definition.ban.html)
    if says_json(headers):
        return Reply(RowState.DONE, _but(status, f"{trouble}: nothing kept"), excerpt=brief)
    kind = _shown(headers.get("content-type", ""), mask) or "no content type"
    reason = f"the API said {status}, but with {kind} where JSON was due"
    return Reply(RowState.UNKNOWN, reason, excerpt=excerpt, again=definition.idempotent)


def _but(status: int | None, trouble: str) -> str:
    return f"the API said {status}, but {trouble}" if trouble else ""


def _refusal(status: int, headers: Headers, body: bytes, definition: Definition, message: str, mask: Mask) -> Reply:
    """State, reason and consequences of a status that is no success. `message`: what the API says to it."""
    said = _said(status, message)
    bans = status in definition.ban.status
    if (bans or status in (403, 503)) and status != 429 and (asked := retry_after(headers)):
        reason = f"the API says {status}: come back later"
        return Reply(RowState.WAITING, reason, again=True, pause_seconds=asked, bans_if_again=bans)
    if bans:
        return Reply(RowState.FAILED, f"{said}; this counts as a ban", ban=True)
    if status == 429:
        wait = pause_of(headers) or _window_seconds(definition)
        return Reply(RowState.WAITING, "the API says 429: too many requests", again=True, pause_seconds=wait)
    if definition.ban.html and definition.response.expects_json and _bans_by_html(status) and is_html(headers, body):
        return Reply(RowState.FAILED, f"an HTML page came with {status} where JSON was due", ban=True)
    if status in _NOT_ACTED:
        return Reply(RowState.WAITING, f"the server says {status}: it has not taken the request", again=True)
    if 300 <= status < 400:
        return _redirect(status, _shown(headers.get("location", ""), mask))
    if status == 409 and (b"idempoten" in body[:4096].lower() or (definition.idempotent and not body.strip())):
        reason = "the API says 409: an earlier attempt with the same Idempotency-Key is under way"
        return Reply(RowState.UNKNOWN, reason, again=definition.idempotent)
    if 400 <= status < 500:
        return Reply(RowState.FAILED, said)
    if 200 <= status < 300:
        reason = f"the API said {status}, which is not among the definition's response.success"
        return Reply(RowState.UNKNOWN, reason)
    return Reply(RowState.UNKNOWN, f"{said}; it may have acted all the same", again=definition.idempotent)


def _bans_by_html(status: int) -> bool:
    return 400 <= status < 500 and status not in _HTML_OF_SERVERS


def _redirect(status: int, target: str) -> Reply:
    reason = f"the API says {status}: go to {target or 'nowhere'}. Redirects are not followed"
    if status in _MOVED:
        return Reply(RowState.FAILED, f"{reason}; put the final address into request.url")
    return Reply(RowState.UNKNOWN, f"{reason}; the API may have acted before it said so")


def _said(status: int, message: str) -> str:
    """A status in words: the API's own, and ours where they say what to look at."""
    meaning = "" if message and status in _OF_THE_ROW else _MEANINGS.get(status, "")
    if meaning and message:
        return f"status {status}: {meaning}. It says: {message}"
    return f"status {status}: {meaning or message}" if meaning or message else f"status {status}"


def _window_seconds(definition: Definition) -> float:
    """How long to wait where the API does not say: the shortest window of the limit, at least a second."""
    windows = definition.terms.windows
    return min(max(1.0, min((seconds for _, seconds in windows), default=1.0)), MAX_PAUSE_SECONDS)


def _keep(answer: Any, definition: Definition) -> tuple[dict[str, Any], str]:
    """The kept fields, and what there was not, or not whole, in words."""
    paths = definition.response.keep
    found = {name: _search(path, answer) for name, path in paths.items()}
    missing = [paths[name] for name, value in found.items() if value is None]
    kept = {name: _capped(value) for name, value in found.items()}
    cut = [paths[name] for name, value in found.items() if kept[name] is not value]
    said = [f"the answer has no {', '.join(missing)}"] if missing else []
    said += [f"of {', '.join(cut)} the first {KEPT_CHARACTERS:,} characters are kept"] if cut else []
    return kept, "; ".join(said)


def _capped(value: Any) -> Any:
    """The value, or where it is too long the beginning of its text."""
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() <= 64):
        return value
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists in lists
        return None
    return value if len(text) <= KEPT_CHARACTERS else text[:KEPT_CHARACTERS] + "…"


def _search(path: str, answer: Any) -> Any:
    if path.isidentifier() and isinstance(answer, dict):  # 2.5 µs less than by JMESPath, which says the same
        return answer.get(path)
    try:
        return _compiled(path).search(answer)
    except jmespath.exceptions.JMESPathError:  # a function of the path does not fit what the answer holds
        return None


@lru_cache(maxsize=256)
def _compiled(path: str) -> Any:
    return jmespath.compile(path)


def _message(body: bytes, headers: Headers, mask: Mask) -> str:
    """What the API says is wrong, in one line: else the beginning of the body, or nothing where it is a page."""
    if not body.strip() or is_html(headers, body) or body.lstrip().startswith(b"<"):  # XML says nothing in a line
        return ""
    found = ""
    with suppress(ValueError):
        if not (value := parsed(body, headers)):
            return ""
        found = message_of(value, mask)
    return _shown(found or as_text(body[:8192], headers), mask)


def _excerpt(body: bytes, headers: Headers, mask: Mask, message: str = "") -> str:
    """The beginning of a body as one line of text, behind the message where that comes too late to be in it."""
    text = _shown(as_text(body[:8192], headers), mask, EXCERPT_CHARACTERS)
    if all(part in text for part in message.rstrip("…").split("; ")) or len(text) < EXCERPT_CHARACTERS:
        return text
    return f"{message} … {text}"[:EXCERPT_CHARACTERS]


def _shown(text: str, mask: Mask, most: int = MESSAGE_CHARACTERS) -> str:
    """A text of the API as it may be shown: secrets hidden before it is cut, which could leave half of one."""
    text = clean(mask(text))
    return text if len(text) <= most else text[: most - 1] + "…"


def clean(text: str) -> str:
    """The text without control and other invisible characters, its blanks and line breaks as single blanks."""
    return " ".join("".join([char if char.isprintable() else " " for char in text]).split())
