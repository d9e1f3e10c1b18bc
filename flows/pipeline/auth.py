"""The shape of what lets requests in: a token, a password, a session, a certificate, a signature."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from flows.pipeline.column import Bool, Float, Part, left_out
from flows.pipeline.expression import Expression
from flows.pipeline.fault import Place
from flows.pipeline.request import Json, Request
from flows.pipeline.rules import Statuses
from flows.pipeline.template import texts

Grant = Literal["client_credentials", "refresh_token", "jwt_bearer", "password"]
Algorithm = Literal["sha256", "sha512", "sha384", "sha1"]
SECRET = re.compile(r"\$\{secret:([A-Za-z_][A-Za-z0-9_.-]*)\}")
_FILE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def _file(value: Any) -> Any:
    """The name of a file in the secrets folder, as a secret."""
    return f"${{secret:{value}}}" if isinstance(value, str) and _FILE.fullmatch(value) else value


SecretFile = Annotated[str, BeforeValidator(_file)]


class OAuth2(Part):
    """A token of an OAuth2 server: fetched once for all processes, renewed before it runs out."""

    grant: Grant
    """client_credentials, refresh_token, jwt_bearer (a service account) or password"""
    token_url: str
    """Where tokens are fetched"""
    authorize_url: str | None = Field(default=None, exclude_if=left_out)
    """Where a person allows it, for `rowrelay auth`; with refresh_token"""
    client_id: str | None = Field(default=None, exclude_if=left_out)
    """The client, as the API's owner registered it"""
    client_secret: str | None = Field(default=None, exclude_if=left_out)
    """Its secret: "${secret:NAME}\""""
    scope: str | None = Field(default=None, exclude_if=left_out)
    """What the token is to allow, with blanks between"""
    refresh_token: str | None = Field(default=None, exclude_if=left_out)
    """The first refresh token, "${secret:NAME}"; later ones are kept. Without it: `rowrelay auth`"""
    user: str | None = Field(default=None, exclude_if=left_out)
    """Who, with password; on whose behalf, with jwt_bearer"""
    password: str | None = Field(default=None, exclude_if=left_out)
    """The password of the user: "${secret:NAME}\""""
    private_key: str | None = Field(default=None, exclude_if=left_out)
    """With jwt_bearer: an RSA key as PEM, or the JSON file of a service account: "${secret:NAME}\""""
    key_id: str | None = Field(default=None, exclude_if=left_out)
    """With jwt_bearer: the `kid` of the key"""
    issuer: str | None = Field(default=None, exclude_if=left_out)
    """With jwt_bearer: `iss`. Default: client_id, or the client_email of the JSON file"""
    audience: str | None = Field(default=None, exclude_if=left_out)
    """With jwt_bearer: `aud`. Default: token_url"""
    claims: dict[str, Json] = Field(default={}, exclude_if=operator.not_)
    """With jwt_bearer: further claims"""
    client: Literal["body", "basic"] = Field(default="body")
    """Where client_id and client_secret go: body, or basic (the header Authorization)"""
    body: Literal["form", "json"] = Field(default="form")
    """How the token request is written"""
    extra: dict[str, Json] = Field(default={}, exclude_if=operator.not_)
    """Further fields of the token request, e.g. audience"""
    header: str = Field(default="Bearer {token}")
    """The Authorization header; of another header its name and a colon before: "X-Access-Token: {token}\""""
    counts: Bool = Field(default=False)
    """true: token requests count for the API's limit, so they take permits"""
    name: str | None = Field(default=None, exclude_if=left_out)
    """One token a name, for everything that uses it. Default: token_url and client_id together,
    with the user, or with the name of the secret refresh_token, or else of the pipeline"""
    timeout_seconds: Annotated[Float, Field(gt=0, le=120)] = Field(default=10.0)
    """Longest wait for a token"""

    def token_name(self, pipeline: str) -> str:
        """What its one token is called: of a refresh token by its secret, else by the pipeline that is connected."""
        if self.name or self.grant != "refresh_token":
            return self.former_name
        stated = SECRET.search(self.refresh_token or "")
        return f"{self.former_name} {stated[1] if stated else pipeline}"

    @property
    def former_name(self) -> str:
        """What it was called by default before its account was a part of its name."""
        return self.name or " ".join(part for part in (self.token_url, self.client_id, self.user) if part)

    @property
    def header_parts(self) -> tuple[str, str]:
        """(name, value) of the header, `{token}` still in it."""
        found = re.fullmatch(r"([A-Za-z0-9-]+):\s*(.*)", self.header)
        return (found[1], found[2]) if found else ("Authorization", self.header)


class Basic(Part):
    """User and password with every request."""

    user: str
    """The user"""
    password: str
    """The password: "${secret:NAME}", or nothing"""


class Expired(Part):
    """How the API says that a session is over."""

    status: Statuses | None = Field(default=None, exclude_if=left_out)
    """A status, a class (4xx), any, or a list. Default: any"""
    headers: dict[str, str] = Field(default={}, exclude_if=operator.not_)
    """Header → text that it must have, in any case of its letters"""


class Login(Part):
    """A request before the first one, and again when its session is over; it pays the limits as any other."""

    request: Request
    """The request that opens the session; its placeholders are secrets"""
    keep: dict[str, Expression] = Field(default={}, exclude_if=operator.not_)
    """Name → expression into its answer, or header:NAME"""
    headers: dict[str, str] = Field(default={}, exclude_if=operator.not_)
    """Headers of every request from then on; {name} stands for what `keep` has kept"""
    cookies: Bool = True
    """Whether its cookies go with every request"""
    expired_when: Expired | None = Field(default=None, exclude_if=left_out)
    """What says, beside a 401, that the session is over: status and headers"""

    @property
    def opening(self) -> Request:
        """The request as it goes out: where no body is stated it has none, as there are no columns yet."""
        empty = self.request.has_body and not self.request.bodies
        return self.request.model_copy(update={"form": {}}) if empty else self.request


class Certificate(Part):
    """A client certificate, as PEM files in the folder ROWRELAY_SECRETS."""

    cert: SecretFile
    """Name of the file with the certificate, and those that vouch for it"""
    key: SecretFile | None = Field(default=None, exclude_if=left_out)
    """Name of the file with its key. Default: it stands in `cert`"""
    password: str | None = Field(default=None, exclude_if=left_out)
    """What opens the key: "${secret:NAME}\""""


class Hmac(Part):
    """A signature over each request, made with a key that both sides know."""

    key: str
    """The key: "${secret:NAME}\""""
    key_encoding: Literal["text", "hex", "base64"] = Field(default="text")
    """How the key is written"""
    algorithm: Algorithm = Field(default="sha256")
    """sha256, sha512, sha384 or sha1"""
    sign: str
    """What is signed: {method} {host} {path} {query} {body} {body_hash} {timestamp} {nonce} and \\n between them"""
    header: str | None = Field(default=None, exclude_if=left_out)
    """Name of the header that has the signature"""
    query: str | None = Field(default=None, exclude_if=left_out)
    """Or of the parameter of the address"""
    value: str = Field(default="{signature}")
    """What goes there: e.g. "sha256={signature}", or "{key_id}:{signature}" with the name written out"""
    encoding: Literal["hex", "base64"] = Field(default="hex")
    """How the signature, and {body_hash}, is written"""
    timestamp: Literal["seconds", "milliseconds", "iso"] = Field(default="seconds")
    """How {timestamp} is written"""
    timestamp_header: str | None = Field(default=None, exclude_if=left_out)
    """Name of a header that has the timestamp"""
    timestamp_query: str | None = Field(default=None, exclude_if=left_out)
    """Name of a parameter of the address that has it"""
    nonce_header: str | None = Field(default=None, exclude_if=left_out)
    """Name of a header that has {nonce}, another one for each request"""


class Auth(Part):
    """What lets requests in: one of oauth2, basic and bearer; login, certificate and hmac may stand beside them."""

    oauth2: OAuth2 | None = Field(default=None, exclude_if=left_out)
    """A token that is fetched and renewed"""
    basic: Basic | None = Field(default=None, exclude_if=left_out)
    """User and password"""
    bearer: str | None = Field(default=None, exclude_if=left_out)
    """A token that lasts: "${secret:NAME}\""""
    login: Login | None = Field(default=None, exclude_if=left_out)
    """A session: a request before the first one, whose cookies and values go with all others"""
    certificate: Certificate | None = Field(default=None, exclude_if=left_out)
    """A client certificate"""
    hmac: Hmac | None = Field(default=None, exclude_if=left_out)
    """A signature over each request"""
    hosts: list[str] | None = Field(default=None, exclude_if=left_out)
    """Further hosts that get it, beside those of the first request and the login"""

    @property
    def can_renew(self) -> bool:
        """Whether something can be done about a 401."""
        return self.oauth2 is not None or self.login is not None

    @property
    def words(self) -> str:
        """What is used, for people: `oauth2 (client_credentials), login`."""
        kinds = (name for name in type(self).model_fields if name != "hosts")
        stated = [name for name in kinds if getattr(self, name) is not None]
        grant = f" ({self.oauth2.grant})" if self.oauth2 is not None else ""
        return ", ".join(f"{name}{grant}" if name == "oauth2" else name for name in stated)

    def texts(self, place: Place = ("auth",)) -> Iterator[tuple[Place, str]]:
        """Every text but those of the request that logs in, with its place."""
        yield from texts(self.model_dump(by_alias=True, exclude={"login": {"request"}}), place)
