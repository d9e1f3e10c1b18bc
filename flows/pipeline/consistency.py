"""What is wrong with a definition beyond the shape of its keys: what contradicts itself, or names what is not there."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from flows.pipeline import proxy, slow_by
from flows.pipeline.auth_faults import auth_faults
from flows.pipeline.column import SchemaImportError, column_faults
from flows.pipeline.course_faults import course_faults
from flows.pipeline.definition import Definition, Response, Schedule
from flows.pipeline.example import example_faults
from flows.pipeline.expression import reads_body
from flows.pipeline.fault import Fault, Place, brief, nearest, plain_name_faults, suggestion
from flows.pipeline.file_form import FileForm, form_faults
from flows.pipeline.known import Known, sensible
from flows.pipeline.limit_faults import limit_faults
from flows.pipeline.request import HEADER_NAME, Request
from flows.pipeline.template import FromRow, Piece, TemplateError, pieces, texts
from flows.pipeline.timing import Rule, RuleRefused
from flows.pipeline.writing_faults import name_faults, writing_faults

_PASSWORD = re.compile(r"[a-z0-9+]+://(?:\$\{[^}]*\}|\$(?!\{)|[^/?#:@$])*:(?!\$\{secret:[^}]*\}@)[^/?#@]+@")  # as it is
_PARTS = {"filename", "content", "type"}
_OURS = {"content-length", "transfer-encoding", "connection", "host", "expect", "upgrade", "te"}
_RESULT_WORDS = {"row", "line", "result"}


def faults(definition: Definition) -> Iterator[Fault]:
    """Every fault of a definition whose shape is right."""
    yield from plain_name_faults(("name",), definition.name)
    yield from _columns(definition)
    columns = _column_names(definition)
    for place, request in definition.requests:
        yield from _request(request, place, sensible(definition, place, columns))
    yield from course_faults(definition, columns)
    yield from auth_faults(definition)
    yield from _response(definition.response, columns or ())
    yield from limit_faults(definition, columns)
    yield from _bans(definition)
    yield from proxy.faults(definition.proxy)
    yield from slow_by.faults(definition.slow_by)
    yield from _source(definition.source)
    for at, schedule in enumerate(definition.schedules):
        yield from _schedule(("schedules", at), schedule)
        if schedule.skip_delivered and not definition.key:
            what = "needs a `key`: without one nobody can tell which rows were delivered before; e.g. key: [id]"
            yield Fault(("schedules", at, "skip_delivered"), what)
    yield from _stray_secrets(definition)


def _column_names(definition: Definition) -> tuple[str, ...] | None:
    """The columns, or None where they cannot be known because of a fault that is named elsewhere."""
    try:
        return definition.column_names or None
    except SchemaImportError:
        return None


def model_faults(definition: Definition) -> Iterator[Fault]:
    """Why the pandera model that the definition names cannot be used on this machine."""
    try:
        _ = definition.pandera_model
    except SchemaImportError as exc:
        yield Fault(("schema",), str(exc))


def _columns(definition: Definition) -> Iterator[Fault]:
    if definition.schema_path and definition.columns:
        yield Fault(("schema",), "write either `columns` or `schema`, not both")
    if not definition.schema_path and not definition.columns:
        yield Fault(("columns",), "is missing; name at least one column, e.g. title: {type: str}")
    yield from model_faults(definition)
    folded: dict[str, str] = {}
    for name, column in definition.columns.items():
        wrong = list(column_faults(name, column))
        wrong = wrong or list(writing_faults(("columns", name), column))
        yield from wrong or example_faults(("columns", name, "example"), column)
        if first := folded.get(name.strip().casefold()):
            yield Fault(("columns", name), f"differs from `{first}` in case only; headers are matched without")
        folded[name.strip().casefold()] = name
    yield from name_faults(definition.columns)
    columns = _column_names(definition)
    for at, name in enumerate(definition.key):
        if columns and name not in columns:
            yield Fault(("key", at), f"there is no column {brief(name)}; {suggestion(name, columns)}")
    if len(set(definition.key)) < len(definition.key):
        yield Fault(("key",), "names a column twice")


def _request(request: Request, place: Place, known: Known | None) -> Iterator[Fault]:
    kinds = [kind for kind, _ in request.bodies]
    if len(kinds) > 1:
        yield Fault((*place, kinds[1]), f"write either `{kinds[0]}` or `{kinds[1]}`, not both")
    if not request.has_body:
        for kind in kinds:
            yield Fault((*place, kind), f"a {request.method} request has no body; put the values into the url")
    has_null = {"json", "ndjson", "graphql"}.issuperset(kinds) and request.has_body
    if request.empty == "null" and not has_null:
        yield Fault((*place, "empty"), "there is no null but in JSON; write omit, or text")
    if request.content_type is not None and request.text is None:
        yield Fault((*place, "content_type"), "is for a `text` body; the types of the others are known")
    yield from _url(request.url, (*place, "url"))
    yield from _headers(request.headers, (*place, "headers"), request.key_place.header or "")
    yield from _key_place(request, (*place, "idempotency_key"))
    for kind, value in request.bodies:
        yield from _numbers((*place, kind), value)
    for name, value in (request.form or {}).items():
        if isinstance(value, dict | list):
            yield Fault((*place, "form", name), "a form field is text or a number; write `json` for nested values")
    for name, value in (request.multipart or {}).items():
        if isinstance(value, list) or (isinstance(value, dict) and not {"content"} <= set(value) <= _PARTS):
            yield Fault(
                (*place, "multipart", name), "is text, or a part: {filename: a.txt, content: …, type: text/plain}"
            )
    for where, text in request.templates(place):
        if where[-1] != "method" or known is None or not known.why:
            yield from _placeholders(where, text, known)


def _key_place(request: Request, place: Place) -> Iterator[Fault]:
    key = request.idempotency_key
    if key is None or key.is_nowhere:
        return
    stated = [name for name, value in (("header", key.header), ("json", key.in_json), ("query", key.query)) if value]
    if len(stated) > 1:
        yield Fault(place, f"goes to one place; write either `{stated[0]}` or `{stated[1]}`")
    if key.header and not HEADER_NAME.fullmatch(key.header):
        yield Fault((*place, "header"), "is no header name; letters, digits and hyphens")
    if key.in_json and not ({"json", "graphql"}.issuperset(kind for kind, _ in request.bodies) and request.has_body):
        yield Fault((*place, "json"), "there is no JSON body that it could go into")
    elif key.in_json and isinstance(request.body, list):
        yield Fault((*place, "json"), "the body is a list, which has no names")
    elif key.in_json and not all(key.in_json.split(".")):
        yield Fault(
            (*place, "json"), f"is no place in a body; write names with dots between them (found {brief(key.in_json)})"
        )


def _numbers(place: Place, value: Any) -> Iterator[Fault]:
    if isinstance(value, float) and not abs(value) < float("inf"):
        yield Fault(place, "JSON has no such number")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _numbers((*place, key), inner)


def _placeholders(place: Place, text: str, known: Known | None) -> Iterator[Fault]:
    found = _pieces(text)
    if isinstance(found, TemplateError):
        yield Fault(place, f"{found} (found {brief(text)})")
        return
    for piece in found:
        if isinstance(piece, FromRow) and known is not None and piece.column not in known.names:
            yield Fault(place, known.words(piece.column))


def _pieces(text: str) -> tuple[Piece, ...] | TemplateError:
    try:
        return pieces(text)
    except TemplateError as exc:
        return exc


def _url(url: str, place: Place) -> Iterator[Fault]:
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url)
    if not scheme or scheme[1].casefold() not in ("http", "https"):
        near = f"did you mean {_with_scheme(url)}?"
        yield Fault(place, f"must begin with http:// or https:// (found {brief(url)}); {near}")
        return
    if re.search(r"[\s\x00-\x1f\x7f]", re.sub(r"\{[^{}]*\}", "", url)):
        yield Fault(place, f"holds a blank or a control character; write %20 for a blank (found {brief(url)})")
        return
    authority = re.split(r"[/?#]", url[scheme.end() :], maxsplit=1)[0]
    if "${secret:" in authority:
        yield Fault(place, "a secret may stand in the path, the query or a header, not in the host")
    elif "{" in authority:
        yield Fault(place, "the host must be fixed; placeholders may stand in the path and the query")
    elif fault := _host_fault(url):
        yield Fault(place, f"{fault} (found {brief(url)})")
    if "@" in authority:
        yield Fault(place, 'has a user or password in it; write headers: {Authorization: "… ${secret:NAME}"} instead')
    if "#" in re.sub(r"\{[^{}]*\}", "", url):
        yield Fault(place, "has a fragment (#…), which is never sent; write %23 for the character")


def _with_scheme(url: str) -> str:
    rest = re.sub(r"^[A-Za-z]*:?/*", "", url) if re.match(r"[A-Za-z]*:/", url) else url.lstrip("/")
    return f"https://{rest[:60] or 'api.example.com/'}"


def _host_fault(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as exc:
        return f"is no address: {exc}"
    return "" if parts.hostname else "has no host"


def _headers(headers: dict[str, str], where: Place, key_header: str) -> Iterator[Fault]:
    folded: set[str] = set()
    for name, text in headers.items():
        place: Place = (*where, name)
        if not HEADER_NAME.fullmatch(name):
            yield Fault(place, "is no header name; letters, digits and hyphens")
        if name.casefold() in _OURS or name.casefold() == key_header.casefold():
            yield Fault(place, "is set by Rowrelay itself; leave it out")
        if name.casefold() in folded:
            yield Fault(place, "stands here twice (case does not matter)")
        folded.add(name.casefold())
        fixed = re.sub(r"\{[^{}]*\}", "", text)
        if not (fixed.isascii() and fixed.isprintable()):
            yield Fault(place, "only printable ASCII can stand in a header, no line break")


def _response(response: Response, columns: tuple[str, ...]) -> Iterator[Fault]:
    for name in response.keep:
        if name in columns or name in _RESULT_WORDS:
            what = "the name of a column" if name in columns else "a word of the results"
            yield Fault(("response", "keep", name), f"is {what} already; keep it under another name")
        elif not name.strip() or not name.isprintable():
            yield Fault(("response", "keep", name), "must be a visible name")
    if not response.expects_json and any(map(reads_body, response.keep.values())):
        yield Fault(("response", "json"), "is false, but `keep` takes values out of JSON; leave one of the two out")
    for at, status in enumerate(response.success):
        if not 200 <= status <= 599 or 300 <= status <= 399 or status in (429, 503):
            why = "redirects are not followed" if 300 <= status <= 399 else "the API asks to slow down"
            why = why if 200 <= status <= 599 else "not a final HTTP status"
            yield Fault(("response", "success", at), f"{status} cannot mean success: {why}")


def _bans(definition: Definition) -> Iterator[Fault]:
    for at, status in enumerate(definition.ban.status):
        if status in definition.response.success:
            yield Fault(("ban", "status", at), f"{status} cannot mean both success and a ban")


def _source(source: FileForm) -> Iterator[Fault]:
    for key, why in form_faults(source):
        yield Fault(("source", key), why)


def _schedule(place: Place, schedule: Schedule) -> Iterator[Fault]:
    stated = [key for key in ("cron", "interval_seconds", "rrule") if getattr(schedule, key) is not None]
    if len(stated) != 1:
        yield Fault(place, "must have exactly one of cron, interval_seconds and rrule")
    if schedule.inbox is not None and _PASSWORD.match(schedule.inbox):
        yield Fault((*place, "inbox"), "has a password in it, which would be shown; write ${secret:NAME} in its place")
    zone = schedule.timezone
    for key in stated:
        yield from _rule(place, Rule(**{key: getattr(schedule, key)}))
    try:
        Rule(interval_seconds=60, timezone=zone).judge()
    except RuleRefused as exc:
        near = nearest(zone, sorted(zoneinfo.available_timezones())) or "Europe/Berlin"
        yield Fault((*place, "timezone"), f"{brief(zone)} {exc.fault}; did you mean `{near}`?")


def _rule(place: Place, rule: Rule) -> Iterator[Fault]:
    try:
        rule.judge()
    except RuleRefused as exc:
        if not exc.over:  # it was sound, and is done
            yield Fault((*place, exc.key), f"{exc.fault} (found {brief(getattr(rule, exc.key))})")


def _stray_secrets(definition: Definition) -> Iterator[Fault]:
    """Secrets outside of the request: they would be stored and shown."""
    data = definition.model_dump(by_alias=True)
    for place, text in texts(data):
        if "request" in place or place[0] == "auth" or place[:2] == ("batch", "each"):
            continue
        of_inbox = place[0] == "schedules" and place[-1] == "inbox" and "://" in text
        if "${secret:" in text and not of_inbox and place != ("proxy",):
            yield Fault(
                place,
                "a secret may only stand in a request: its headers, its url and its body; and in an inbox or a proxy",
            )
