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

The rules of a definition come first (flows.pipeline.rules): this table is for answers that none of them fits, and for
429, 503 with Retry-After and bans, unless a rule names that very status. An HTML page where JSON was due is never
`done` by a rule. Of a read, rules say nothing of such a page, nor of a 5xx that they do not name.

A `done` row is never sent again, so that a success status with a broken body is `done`: the API said that it acted.
How a body is read is in flows.client.reading, what a wait is written as in flows.client.pause.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from flows.client.kept import without_body
from flows.client.message import message_of
from flows.client.pause import MAX_PAUSE_SECONDS, Headers, pause_of, retry_after
from flows.client.question import Question
from flows.client.reading import after_warning, as_text, is_html, parsed, says_json, unpacked
from flows.pipeline.definition import Definition
from flows.pipeline.expression import search
from flows.pipeline.rules import NO_JSON, Rule, Said, Unreadable, wait_of
from flows.records import Reply, RowState

EXCERPT_CHARACTERS = 2000  # of an answer that is no success
MESSAGE_CHARACTERS = 300  # of what the API says, where it stands in a reason
GATEWAY_STATUSES = frozenset((502, 503, 504))
EMPTY = frozenset((204, 205))
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


_ANY = Question()
_NOTHING: Mapping[str, Any] = {}
_STATES = {
    "done": RowState.DONE,
    "items": RowState.DONE,
    "accepted": RowState.ACCEPTED,
    "failed": RowState.FAILED,
    "unknown": RowState.UNKNOWN,
    "retry": RowState.WAITING,
    "wait": RowState.WAITING,
    "waiting": RowState.WAITING,
    "stop": RowState.WAITING,
    "ban": RowState.FAILED,
}


def understood(
    status: int,
    headers: Headers,
    body: bytes,
    definition: Definition,
    *,
    question: Question = _ANY,
    trouble: str = "",
    mask: Mask = str,
    took_seconds: float = 0.0,
) -> Reply:
    """What an answer means as a whole. `headers` must find names in any case (httpx.Headers does).

    `trouble` says in words why `body` is not all of the body, if it is not. `mask` hides secrets in a text.
    """
    try:
        body = unpacked(body, headers, definition.most_bytes)
    except ValueError as exc:
        trouble = trouble or str(exc)
    reply = None
    if question.rules.rules:
        reply = _by_rules(status, headers, body, definition, question, trouble=trouble, mask=mask)
    if reply is None:
        reply = _built_in(status, headers, body, definition, trouble=trouble, mask=mask)
    if question.reads:
        reply = _of_a_read(status, headers, body, reply, trouble)
    return replace(reply, status=status, headers=headers, body=body, took_seconds=took_seconds)


def _of_a_read(status: int, headers: Headers, body: bytes, reply: Reply, trouble: str) -> Reply:
    """A read changes nothing: where its answer says nothing, or cannot be read whole, it is asked again."""
    if reply.means is RowState.DONE and reply.value is UNSET and (trouble or (body and says_json(headers))):
        why = but(status, f"{trouble or 'the answer is no valid JSON'}: what it says cannot be read")
        return replace(reply, means=RowState.WAITING, reason=why, again=True)
    if reply.by_rule is None and (status >= 500 or reply.means is RowState.UNKNOWN):
        return replace(reply, means=RowState.WAITING, again=True)
    return reply


def _built_in(status: int, headers: Headers, body: bytes, definition: Definition, *, trouble: str, mask: Mask) -> Reply:
    """What the table says."""
    if status in definition.response.success:
        return _success(status, headers, body, definition, trouble=trouble, mask=mask)
    message = message_in(body, headers, mask)
    reply = _refusal(status, headers, body, definition, message, mask)
    return replace(reply, excerpt=_excerpt(body, headers, mask, message))


def _by_rules(
    status: int, headers: Headers, body: bytes, definition: Definition, question: Question, *, trouble: str, mask: Mask
) -> Reply | None:
    """What the first rule that fits says; None where none does."""
    said = Said(status, headers, *_read(body, headers, trouble))
    html = definition.response.expects_json and is_html(headers, body)
    page = html and definition.ban.html
    guarded = (
        status == 429
        or (question.reads and status >= 500)
        or status in definition.ban.status
        or (status == 503 and retry_after(headers) is not None)
        or (page and (200 <= status < 300 or _bans_by_html(status)))
    )
    values = question.values or _NOTHING
    try:
        rule = question.rules.first(said, values, guarded=guarded)
    except Unreadable:
        reply = _built_in(status, headers, body, definition, trouble=trouble, mask=mask)
        why = f"the API said {status}, but {trouble or 'the answer is no valid JSON'}: what it says cannot be read"
        reply = replace(reply, means=RowState.UNKNOWN, reason=why, again=definition.idempotent, value=UNSET)
        if reply.ban:  # it may have been no ban, as the rule would say: everybody waits, and a second one is one
            reply = replace(reply, ban=False, bans_if_again=True, pause_seconds=_window_seconds(definition))
        return reply
    if rule is None:
        return None
    if 200 <= status < 300:
        if page and _STATES[rule.means] in (RowState.DONE, RowState.ACCEPTED):
            return None
        if question.reads and (html or (rule.means == "waiting" and _says_nothing(said, rule, definition))):
            return None
    return by_rule(rule, said, body, definition, values=values, mask=mask)


def _says_nothing(said: Said, rule: Rule, definition: Definition) -> bool:
    """Whether an answer without the JSON that was due cannot show that a row is not there."""
    no_body = said.status in EMPTY and rule.names(said.status)
    return definition.response.expects_json and said.value is NO_JSON and not no_body


def _read(body: bytes, headers: Headers, trouble: str) -> tuple[Any, bool]:
    """(the JSON of a body or NO_JSON, whether the body is whole)."""
    if trouble or not body:
        return NO_JSON, not trouble
    for read in (parsed, after_warning):
        with suppress(ValueError):
            return read(body, headers), True
    return NO_JSON, not says_json(headers)


def by_rule(
    rule: Rule, said: Said, body: bytes, definition: Definition, *, values: Mapping[str, Any], mask: Mask
) -> Reply:
    """What an answer, or one item of it, means by the rule that fits."""
    state = _STATES[rule.means]
    message = reason_by(rule, said, values, mask)
    if state in (RowState.DONE, RowState.ACCEPTED):
        value = UNSET if said.value is NO_JSON else said.value
        return Reply(state, message if rule.reason is not None else "", value=value, by_rule=rule)
    message = message or message_in(body, said.headers, mask)
    words = message or f"the definition takes this answer ({said.status}) for {rule.means}"
    pause = None
    if rule.means == "wait":
        asked = wait_of(rule, said, values, now=time.time())
        pause = asked if asked is not None else pause_of(said.headers) or _window_seconds(definition)
        words = message or f"the API says {said.status}: wait"
    if rule.means == "ban":
        words = f"{message or f'status {said.status}'}; this counts as a ban"
        state = RowState.UNKNOWN if 200 <= said.status < 300 else state
    again = rule.means in ("retry", "wait") or (state is RowState.UNKNOWN and definition.idempotent)
    return Reply(
        state,
        words,
        excerpt=_excerpt(body, said.headers, mask, message),
        again=again,
        pause_seconds=pause,
        ban=rule.means == "ban",
        stop=rule.means == "stop",
        by_rule=rule,
    )


def reason_by(rule: Rule, said: Said, values: Mapping[str, Any], mask: Mask) -> str:
    """The API's own words where a rule says that they stand, or where they mostly do; "" where there are none."""
    if said.value is NO_JSON and not (rule.reason or "").startswith("header:"):
        return ""
    found = search(rule.reason, said.value, said.headers, values) if rule.reason is not None else None
    if found is None:
        return shown(message_of(said.value, mask), mask) if said.value is not NO_JSON else ""
    if isinstance(found, dict | list):
        found = message_of(found, mask) or json.dumps(found, ensure_ascii=False)
    return shown(found if isinstance(found, str) else json.dumps(found), mask)


def _success(status: int, headers: Headers, body: bytes, definition: Definition, *, trouble: str, mask: Mask) -> Reply:
    if not definition.response.expects_json:
        return Reply(RowState.DONE, but(status, trouble))
    lost = without_body(definition.response.keep)
    if status in EMPTY or not (body or trouble):
        missing = f"the answer is empty: {lost}" if lost and status not in EMPTY else ""
        return Reply(RowState.DONE, but(status, missing))
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
            return Reply(RowState.DONE, but(status, "other text stands before its JSON"), value=value, excerpt=brief)
    if is_html(headers, body):
        reason = f"an HTML page came with {status} where JSON was due"
        return Reply(RowState.UNKNOWN, reason, excerpt=excerpt, ban=definition.ban.html)
    if says_json(headers):
        return Reply(RowState.DONE, but(status, f"{trouble}: {lost or 'nothing was kept'}"), excerpt=brief)
    kind = shown(headers.get("content-type", ""), mask) or "no content type"
    reason = f"the API said {status}, but with {kind} where JSON was due"
    return Reply(RowState.UNKNOWN, reason, excerpt=excerpt, again=definition.idempotent)


def but(status: int | None, trouble: str) -> str:
    """A success that is not what it should be, in words; "" where there is no trouble."""
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
        return _redirect(status, shown(headers.get("location", ""), mask))
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


def message_in(body: bytes, headers: Headers, mask: Mask) -> str:
    """What the API says is wrong, in one line: else the beginning of the body, or nothing where it is a page."""
    if not body.strip() or is_html(headers, body) or body.lstrip().startswith(b"<"):  # XML says nothing in a line
        return ""
    found = ""
    with suppress(ValueError):
        if not (value := parsed(body, headers)):
            return ""
        found = message_of(value, mask)
    return shown(found or as_text(body[:8192], headers), mask)


def _excerpt(body: bytes, headers: Headers, mask: Mask, message: str = "") -> str:
    """The beginning of a body as one line of text, behind the message where that comes too late to be in it."""
    text = shown(as_text(body[:8192], headers), mask, EXCERPT_CHARACTERS)
    if all(part in text for part in message.rstrip("…").split("; ")) or len(text) < EXCERPT_CHARACTERS:
        return text
    return f"{message} … {text}"[:EXCERPT_CHARACTERS]


def shown(text: str, mask: Mask, most: int = MESSAGE_CHARACTERS) -> str:
    """A text of the API as it may be shown: secrets hidden before it is cut, which could leave half of one."""
    text = clean(mask(text))
    return text if len(text) <= most else text[: most - 1] + "…"


def clean(text: str) -> str:
    """The text without control and other invisible characters, its blanks and line breaks as single blanks."""
    return " ".join("".join([char if char.isprintable() else " " for char in text]).split())
