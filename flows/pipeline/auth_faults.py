"""What is wrong with what lets requests in: what stands in the open, what is missing, what goes nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from flows.pipeline.auth import SECRET, Auth, Hmac, Login, OAuth2
from flows.pipeline.definition import Definition
from flows.pipeline.expression import columns_of
from flows.pipeline.fault import Fault, Place, brief, suggestion
from flows.pipeline.hosts import host_of, host_pattern
from flows.pipeline.open_secret import looks_secret
from flows.pipeline.request import HEADER_NAME

OF_HMAC = ("method", "host", "path", "query", "body", "body_hash", "timestamp", "nonce")
_BRACES = re.compile(r"(?<!\$)\{([^{}]*)\}")
_NEEDS = {
    "client_credentials": ("client_id",),
    "refresh_token": (),
    "jwt_bearer": ("private_key",),
    "password": ("user", "password"),
}
_ONLY = {
    "authorize_url": ("refresh_token",),
    "refresh_token": ("refresh_token",),
    "user": ("password", "jwt_bearer"),
    "password": ("password",),
    "private_key": ("jwt_bearer",),
    "key_id": ("jwt_bearer",),
    "issuer": ("jwt_bearer",),
    "audience": ("jwt_bearer",),
    "claims": ("jwt_bearer",),
}
_OF_OURS = ("client_id", "client_secret", "refresh_token", "username", "password", "assertion", "scope")
_HANDLED = ("host", "content-length", "transfer-encoding", "connection")


def auth_faults(definition: Definition) -> Iterator[Fault]:
    """Every fault of the part `auth`."""
    if (auth := definition.auth) is None:
        return
    yield from _together(auth)
    if auth.oauth2 is not None:
        yield from _oauth2(auth.oauth2)
        if auth.oauth2.grant == "client_credentials" and auth.oauth2.client_secret is None and auth.certificate is None:
            yield Fault(("auth", "oauth2", "client_secret"), "is missing; the grant client_credentials needs it")
    if auth.basic is not None:
        if auth.basic.password and not SECRET.search(auth.basic.user):  # an API key as user has any password
            yield from _only_a_secret(("auth", "basic", "password"), auth.basic.password)
        if ":" in SECRET.sub("", auth.basic.user):
            yield Fault(("auth", "basic", "user"), "holds a colon, which would end it")
    if auth.bearer is not None:
        yield from _only_a_secret(("auth", "bearer"), auth.bearer)
    if auth.login is not None:
        yield from _login(auth.login)
    if auth.certificate is not None:
        yield from _certificate(auth)
    if auth.hmac is not None:
        yield from _hmac(auth.hmac)
    yield from _hosts(definition, auth)
    yield from _twice(definition, auth)
    yield from _unread(auth)


def _together(auth: Auth) -> Iterator[Fault]:
    stated = [name for name in ("oauth2", "basic", "bearer") if getattr(auth, name) is not None]
    if len(stated) > 1:
        yield Fault(("auth", stated[1]), f"write either `{stated[0]}` or `{stated[1]}`, not both")
    if auth.oauth2 is not None and auth.login is not None:
        yield Fault(("auth", "login"), "goes beside basic, bearer, certificate or hmac, not beside oauth2")
    if not auth.words:
        yield Fault(("auth",), "is empty; write one of oauth2, basic, bearer, login, certificate and hmac")


def _hosts(definition: Definition, auth: Auth) -> Iterator[Fault]:
    """Hosts that get what lets requests in: others than that of the first request only where that is said."""
    for at, text in enumerate(auth.hosts or ()):
        try:
            host_pattern(text)
        except ValueError as exc:
            yield Fault(("auth", "hosts", at), str(exc))
            return
    if auth.hosts is not None or auth.words == "certificate":
        return
    for place, request in definition.requests:
        if (host := host_of(request.url)) and not definition.lets_in(host):
            yield Fault(
                ("auth", "hosts"),
                f"is missing, as {'.'.join(map(str, place))} goes to another host; write hosts: [{host}] if what lets"
                " requests in is meant for it too, else hosts: []",
            )
            return


def _only_a_secret(place: Place, text: str) -> Iterator[Fault]:
    """A place where nothing but a secret belongs: what stands there would be stored with every run, and shown."""
    if not SECRET.fullmatch(text.strip()):
        yield Fault(place, "must be ${secret:NAME}: what stands here is stored with every run, and shown")


def _oauth2(oauth2: OAuth2) -> Iterator[Fault]:
    place: Place = ("auth", "oauth2")
    for key in ("client_secret", "refresh_token", "password", "private_key"):
        if (text := getattr(oauth2, key)) is not None:
            yield from _only_a_secret((*place, key), text)
    for key in _NEEDS[oauth2.grant]:
        if getattr(oauth2, key) is None:
            yield Fault((*place, key), f"is missing; the grant {oauth2.grant} needs it")
    for key, grants in _ONLY.items():
        if getattr(oauth2, key) and oauth2.grant not in grants:
            yield Fault((*place, key), f"is for the grant {' or '.join(grants)}, not for {oauth2.grant}")
    if oauth2.client == "basic" and (oauth2.client_id is None or oauth2.client_secret is None):
        yield Fault((*place, "client"), "is basic, which needs client_id and client_secret")
    if oauth2.authorize_url is not None and oauth2.client_id is None:
        yield Fault((*place, "client_id"), "is missing; authorize_url needs it")
    for key, url in (("token_url", oauth2.token_url), ("authorize_url", oauth2.authorize_url)):
        if url is not None:
            yield from _address((*place, key), url)
    yield from _header_text((*place, "header"), oauth2.header_parts[1], ("token",))
    if "{token}" not in oauth2.header:
        yield Fault((*place, "header"), 'has no {token}, where the token would go; e.g. "Bearer {token}"')
    if oauth2.header_parts[0].casefold() in _HANDLED:
        yield Fault((*place, "header"), f"{oauth2.header_parts[0]} is set by Rowrelay itself")
    for key, fields in (("extra", oauth2.extra), ("claims", oauth2.claims)):
        yield from _fields((*place, key), fields, nested=key == "claims" or oauth2.body == "json")
    for name in oauth2.extra:
        if name in _OF_OURS:
            yield Fault((*place, "extra", name), "is written by Rowrelay itself; state it under oauth2")
    if oauth2.name is not None and not (oauth2.name.strip() and oauth2.name.isprintable()):
        yield Fault((*place, "name"), "must be a visible name")


def _address(place: Place, url: str) -> Iterator[Fault]:
    if not re.match(r"(?i)https?://[^/?#\s{}$@]+([/?#]|$)", url):
        what = "must be an address with http:// or https:// and a fixed host"
        yield Fault(place, f"{what}, without user and password (found {brief(url)})")
    elif "#" in url or re.search(r"\s", url):
        yield Fault(place, f"holds a blank or a fragment (found {brief(url)})")
    elif _BRACES.search(url):
        yield Fault(place, "belongs to no row, so that it has no placeholders but secrets")


def _fields(place: Place, fields: Mapping[str, Any], *, nested: bool) -> Iterator[Fault]:
    for name, value in fields.items():
        if isinstance(value, dict | list) and not nested:
            yield Fault((*place, name), "a form field is text or a number; write body: json for nested values")
        if isinstance(value, str) and looks_secret(name) and not SECRET.search(value):
            yield Fault(
                (*place, name), "looks like a secret, and would be stored and shown as it is; write ${secret:NAME}"
            )


def _header_text(place: Place, text: str, names: tuple[str, ...]) -> Iterator[Fault]:
    for name in _BRACES.findall(text):
        if name not in names:
            yield Fault(place, f"{brief(name)} has no value here; {suggestion(name, names)}")
    plain = _BRACES.sub("", SECRET.sub("", text))
    if not (plain.isascii() and plain.isprintable()):
        yield Fault(place, "only printable ASCII can stand in a header, no line break")


def _login(login: Login) -> Iterator[Fault]:
    place: Place = ("auth", "login")
    if login.request.method_column:
        yield Fault((*place, "request", "method"), "must be written out: no row is sent yet")
    for name, text in login.headers.items():
        if not HEADER_NAME.fullmatch(name) or name.casefold() in _HANDLED:
            yield Fault((*place, "headers", name), "is no name of a header that can be set here")
        yield from _header_text((*place, "headers", name), text, tuple(login.keep))
    for name, text in login.keep.items():
        if columns_of(text):
            yield Fault((*place, "keep", name), "is read before the first row, so that it can name no column")
        if not any(f"{{{name}}}" in text for text in login.headers.values()):
            yield Fault((*place, "keep", name), f"goes nowhere; write {{{name}}} under auth.login.headers")
    if not login.cookies and not login.headers:
        yield Fault(place, "changes nothing: it has neither cookies nor headers")
    if (expired := login.expired_when) is not None and expired.status is None and not expired.headers:
        yield Fault((*place, "expired_when"), "fits every answer; write a status, headers, or both")


def _certificate(auth: Auth) -> Iterator[Fault]:
    assert auth.certificate is not None
    for key in ("cert", "key"):
        text = getattr(auth.certificate, key)
        if text is not None and not SECRET.fullmatch(text):
            what = "must be the name of a file in ROWRELAY_SECRETS, without folders"
            yield Fault(("auth", "certificate", key), f"{what} (found {brief(text)})")
    if auth.certificate.password is not None:
        yield from _only_a_secret(("auth", "certificate", "password"), auth.certificate.password)


def _hmac(hmac: Hmac) -> Iterator[Fault]:
    place: Place = ("auth", "hmac")
    yield from _only_a_secret((*place, "key"), hmac.key)
    if (hmac.header is None) == (hmac.query is None):
        yield Fault(place, "must say where the signature goes: either `header` or `query`")
    for name in _BRACES.findall(hmac.sign):
        if name not in OF_HMAC:
            yield Fault((*place, "sign"), f"{brief(name)} has no value here; {suggestion(name, OF_HMAC)}")
    if not _BRACES.search(hmac.sign):
        yield Fault((*place, "sign"), "is the same for every request; sign at least {body} or {path}")
    yield from _header_text((*place, "value"), hmac.value, ("signature", "timestamp", "nonce"))
    if "{signature}" not in hmac.value:
        yield Fault((*place, "value"), "has no {signature}, where the signature would go")
    if "{timestamp}" in hmac.sign and not (
        "{timestamp}" in hmac.value or hmac.timestamp_header or hmac.timestamp_query
    ):
        yield Fault((*place, "sign"), "has a timestamp that nobody is told; write timestamp_header or timestamp_query")
    if "{nonce}" in hmac.sign and not ("{nonce}" in hmac.value or hmac.nonce_header):
        yield Fault((*place, "sign"), "has a nonce that nobody is told; write nonce_header")
    for key in ("header", "timestamp_header", "nonce_header"):
        name = getattr(hmac, key)
        if name is not None and (not HEADER_NAME.fullmatch(name) or name.casefold() in _HANDLED):
            yield Fault((*place, key), f"is no name of a header that can be set here (found {brief(name)})")


def _twice(definition: Definition, auth: Auth) -> Iterator[Fault]:
    """Headers that are stated by requests and by `auth`: nobody could say which counts."""
    made: dict[str, str] = {}
    if auth.oauth2 is not None:
        made[auth.oauth2.header_parts[0].casefold()] = "auth.oauth2"
    made |= dict.fromkeys(["authorization"] * (auth.basic is not None), "auth.basic")
    made |= dict.fromkeys(["authorization"] * (auth.bearer is not None), "auth.bearer")
    if auth.login is not None:
        made |= {name.casefold(): "auth.login" for name in auth.login.headers}
        made |= dict.fromkeys(["cookie"] * auth.login.cookies, "auth.login")
    if auth.hmac is not None:
        names = (auth.hmac.header, auth.hmac.timestamp_header, auth.hmac.nonce_header)
        made |= {name.casefold(): "auth.hmac" for name in names if name}
    for place, request in definition.requests:
        of_login = place[0] == "auth"
        for name in request.headers:
            whose = made.get(name.casefold(), "")
            if whose and not (of_login and whose == "auth.login"):
                yield Fault((*place, "headers", name), f"is set by {whose} already; leave one of the two out")


def _unread(auth: Auth) -> Iterator[Fault]:
    """Braces and `${secret:…}` where they are not filled in: they would go out as they stand."""
    filled = {("oauth2", "header"), ("hmac", "sign"), ("hmac", "value")}
    for place, text in auth.texts():
        inner = tuple(map(str, place[1:]))
        if inner[:2] == ("login", "headers") or inner[:2] in filled or inner[:2] == ("login", "keep"):
            continue
        if inner[:2] not in (("oauth2", "token_url"), ("oauth2", "authorize_url")) and _BRACES.search(text):
            yield Fault(place, f"belongs to no row, so that it has no placeholders but secrets (found {brief(text)})")
    oauth2 = auth.oauth2
    for key in ("name", "authorize_url", "client_id"):
        text = getattr(oauth2, key, None) or ""
        if key != "client_id" and SECRET.search(text):
            yield Fault(("auth", "oauth2", key), "is shown to people, so that no secret can stand in it")
