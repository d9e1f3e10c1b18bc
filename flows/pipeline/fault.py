"""What is wrong with a definition, in words a person can act on: where it is, what was found, what would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flows.errors import DefinitionError

MOST_SHOWN = 50
Place = tuple[str | int, ...]  # the way from the top of a definition to one key, e.g. ("columns", "userId", "min")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. `line` overrides the line that the document knows for `place`."""

    place: Place
    message: str
    line: int | None = None

    @property
    def key(self) -> str:
        """The place as people write it: `limit.windows[0].seconds`."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.place).lstrip(".")


# Names that other tools use for what has another name here.
OTHER_WORDS = {
    "body": "json", "data": "form", "payload": "json", "uri": "url", "endpoint": "url", "verb": "method",
    "timeout": "timeout_seconds", "rate": "requests", "per": "window_seconds", "window": "window_seconds",
    "concurrency": "in_flight", "parallel": "in_flight", "retries": "retry", "fields": "columns", "regex": "pattern",
    "enum": "one_of", "choices": "one_of", "required": "optional", "nullable": "optional", "dtype": "type",
    "status": "success", "separator": "delimiter", "charset": "encoding", "interval": "interval_seconds",
    "ge": "min", "le": "max", "minimum": "min", "maximum": "max", "rate_limit": "limit", "schedule": "schedules",
}  # fmt: skip

_OAUTH = (
    "OAuth2 is a part of its own beside `request`: "
    'auth: {oauth2: {grant: client_credentials, token_url: …, client_id: …, client_secret: "${secret:NAME}"}}'
)
_AUTH = (
    'write it beside `request`, e.g. auth: {bearer: "${secret:NAME}"}; '
    'or as a header under request.headers, with "${secret:NAME}"'
)
_PROXY = "write it at the top of the definition: proxy: http://HOST:PORT, or proxy: environment"
_SHEET = "say how a workbook is read in source, e.g. source: {sheet: Orders, header_row: 3}"
_PARAMS = "write the query into request.url, e.g. https://api.example.com/rows?id={id}"
NOT_SUPPORTED = (
    dict.fromkeys(("oauth", "oauth2", "token_url", "client_id", "client_secret", "refresh_token"), _OAUTH)
    | dict.fromkeys(("auth", "authentication", "token", "bearer", "basic", "api_key", "login"), _AUTH)
    | dict.fromkeys(("proxy", "proxies", "http_proxy", "https_proxy", "socks", "socks_proxy", "all_proxy"), _PROXY)
    | dict.fromkeys(("xlsx", "xls", "excel", "sheet", "sheet_name", "worksheet"), _SHEET)
    | dict.fromkeys(("params", "query"), _PARAMS)
)


def nearest(word: str, options: Iterable[str]) -> str:
    """The option most like `word`, or an empty string if none is like it."""
    by_fold = {option.casefold(): option for option in options}
    other = OTHER_WORDS.get(word.casefold())
    if other in by_fold:
        return by_fold[other]
    found = difflib.get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.5)
    return by_fold[found[0]] if found else ""


def suggestion(word: str, options: Collection[str], *, most: int = 12) -> str:
    """`did you mean …?` where one option is near, otherwise the list of them (at most `most`)."""
    if near := nearest(word, options):
        return f"did you mean `{near}`?"
    shown = ", ".join(list(options)[:most]) + (", …" if len(options) > most else "")
    return f"possible: {shown}" if options else "there are none"


def unknown_key(place: Place, valid: Collection[str], elsewhere: Mapping[str, str]) -> Fault:
    """A key that means nothing at its place. `elsewhere` maps every other key to the section it belongs to."""
    word = str(place[-1])
    if word.casefold() in NOT_SUPPORTED:
        return Fault(place, NOT_SUPPORTED[word.casefold()])
    if word in elsewhere:
        return Fault(place, f"unknown key here; it belongs under `{elsewhere[word]}`")
    return Fault(place, f"unknown key; {suggestion(word, valid)}")


def in_words(error: Mapping[str, Any], place: Place) -> Fault:
    """One of pydantic's errors (other than an unknown key) as a fault at `place`."""
    kind, found, context = error["type"], error.get("input"), error.get("ctx", {})
    shown = f" (found {brief(found)})"
    if kind == "missing":
        return Fault(place, "is missing")
    if kind in _SHOULD:
        return Fault(place, f"must be {_SHOULD[kind].format(**context)}{shown}")
    if kind == "literal_error":
        options = [part.strip("' ") for part in context["expected"].replace(" or ", ", ").split(",")]
        return Fault(place, f"{brief(found)} is not possible; {suggestion(str(found), options)}")
    if kind == "value_error":
        return Fault(place, f"{context['error']}{shown}")
    return Fault(place, f"{error['msg']}{shown}")


_PLAIN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def plain_name_faults(place: Place, name: str) -> Iterator[Fault]:
    """What is wrong with a name that programs, addresses and files hold."""
    if not _PLAIN.fullmatch(name) or len(name) > 60:
        made = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:60]
        near = f"; did you mean `{made}`?" if made and made != name else ""
        yield Fault(place, f"must be small letters, digits and single hyphens (found {brief(name)}){near}")


def brief(value: object) -> str:
    """A value for a message, on one line and at most 60 characters."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…" + text[-1]


def refusal(faults: Iterable[Fault], *, file: str = "", lines: Mapping[Place, int] | None = None) -> DefinitionError:
    """One error that lists every fault once, in the order of the file."""
    known = lines or {}
    placed = sorted({(fault.line or line_of(fault.place, known) or 0, fault.key, fault.message) for fault in faults})
    (line, key, message), *others = placed
    if len(others) >= MOST_SHOWN:
        others[MOST_SHOWN - 1 :] = [(0, "", f"{len(others) - MOST_SHOWN + 1} more faults; mend these first")]
    rest = [f"{file}{f':{where}' if where else ''}: {at + ': ' if at else ''}{what}" for where, at, what in others]
    return DefinitionError("\n".join((message, *rest)), file=file, line=line or None, key=key)


def line_of(place: Place, lines: Mapping[Place, int]) -> int | None:
    """The line of a place, or of the nearest thing around it that stands in the file."""
    return next((lines[place[:size]] for size in range(len(place), -1, -1) if place[:size] in lines), None)


_SHOULD = {
    "int_type": "a whole number", "int_from_float": "a whole number", "int_parsing": "a whole number",
    "float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number",
    "bool_type": "true or false", "bool_parsing": "true or false", "string_type": "text; put it in quotes",
    "dict_type": "a mapping (key: value)", "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)", "list_type": "a list, e.g. [a, b]",
    "greater_than": "more than {gt}", "greater_than_equal": "at least {ge}", "less_than": "less than {lt}",
    "less_than_equal": "at most {le}", "too_short": "longer: at least {min_length} entries",
    "too_long": "shorter: at most {max_length} entries", "string_too_short": "longer: at least {min_length} characters",
    "string_too_long": "shorter: at most {max_length} characters",
}  # fmt: skip
