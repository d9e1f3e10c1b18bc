"""Token requests as they go out, what answers to them mean, and signatures: all without a network."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from flows.credentials.connecting import Consent, NotAllowed
from flows.credentials.grant import Answer, Asked, Pause, Token, TokenAway, TokenRefused, ask, fetching, read
from flows.credentials.signing import sign
from flows.credentials.standing import Standing
from flows.credentials.tokens import margin
from flows.errors import SettingError
from flows.pipeline.auth import Hmac, OAuth2

SECRETS = {"CS": "s3/cr&et", "P": "pass word", "R": "refresh-1"}
BASE: dict[str, Any] = {
    "token_url": "https://login.example.com/token",
    "client_id": "app",
    "client_secret": "${secret:CS}",
}


def made(grant: str, **more: Any) -> OAuth2:
    return OAuth2.model_validate({**BASE, "grant": grant, **more})


def fields(asked: Asked) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}


def asked_for(oauth2: OAuth2, secrets: dict[str, str] = SECRETS, refresh: str = "") -> Asked:
    return ask(oauth2, secrets, refresh=refresh, now=1_000_000.0, unique="u-1")


def test_client_credentials_go_in_the_body_as_a_form() -> None:
    asked = asked_for(made("client_credentials", scope="a b", extra={"audience": "https://api", "n": 1, "yes": True}))

    assert asked.url == "https://login.example.com/token"
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert fields(asked) == {
        "grant_type": "client_credentials", "scope": "a b", "client_id": "app", "client_secret": "s3/cr&et",
        "audience": "https://api", "n": "1", "yes": "true",
    }  # fmt: skip


def test_client_credentials_go_by_basic_percent_encoded_and_not_in_the_body() -> None:
    asked = asked_for(made("client_credentials", client="basic"))

    assert base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")) == b"app:s3%2Fcr%26et"
    assert fields(asked) == {"grant_type": "client_credentials"}


def test_a_body_may_be_json_and_keeps_the_types_of_its_fields() -> None:
    asked = asked_for(made("client_credentials", body="json", extra={"n": 1, "deep": {"key": "${secret:P}"}}))

    assert asked.headers["Content-Type"] == "application/json"
    assert json.loads(asked.body) == {
        "grant_type": "client_credentials", "client_id": "app", "client_secret": "s3/cr&et", "n": 1,
        "deep": {"key": "pass word"},
    }  # fmt: skip


def test_a_grant_type_of_its_own_replaces_the_usual_one() -> None:
    assert fields(asked_for(made("client_credentials", extra={"grant_type": "account_credentials"})))["grant_type"] == (
        "account_credentials"
    )


def test_a_refresh_token_and_a_password_are_sent_as_the_standard_says() -> None:
    renewal = fields(asked_for(made("refresh_token"), refresh="refresh-2"))
    password = fields(asked_for(made("password", user="anna", password="${secret:P}")))

    assert (renewal["grant_type"], renewal["refresh_token"]) == ("refresh_token", "refresh-2")
    assert (password["grant_type"], password["username"], password["password"]) == ("password", "anna", "pass word")


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem_of(key: rsa.RSAPrivateKey) -> str:
    kinds = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, *kinds).decode()


def _part(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_a_service_account_signs_its_claims_with_its_key(key: rsa.RSAPrivateKey) -> None:
    stated = {"grant": "jwt_bearer", "token_url": BASE["token_url"], "private_key": "${secret:K}"}
    oauth2 = OAuth2.model_validate(
        {**stated, "issuer": "robot", "user": "anna", "scope": "s", "claims": {"team": "x"}, "key_id": "k1"}
    )
    sent = fields(asked_for(oauth2, {"K": pem_of(key)}))

    head, claims, signature = sent.pop("assertion").split(".")
    assert sent == {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "scope": "s"}
    assert _part(head) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert _part(claims) == {
        "iss": "robot", "sub": "anna", "aud": BASE["token_url"], "iat": 1_000_000, "exp": 1_000_180, "jti": "u-1",
        "scope": "s", "team": "x",
    }  # fmt: skip
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    key.public_key().verify(raw, f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())


def test_the_json_file_of_a_service_account_says_who_signs(key: rsa.RSAPrivateKey) -> None:
    file = json.dumps({"private_key": pem_of(key), "client_email": "robot@x", "private_key_id": "k9"})
    oauth2 = OAuth2.model_validate(
        {"grant": "jwt_bearer", "token_url": BASE["token_url"], "private_key": "${secret:K}"}
    )
    head, claims, _ = fields(asked_for(oauth2, {"K": file}))["assertion"].split(".")

    assert _part(head)["kid"] == "k9"
    assert (_part(claims)["iss"], _part(claims)["sub"]) == ("robot@x", "robot@x")


@pytest.mark.parametrize("text", ["", "no key", "{}", '{"private_key": "x"}', "-----BEGIN PRIVATE KEY-----\nx\n"])
def test_a_key_that_is_none_is_refused_without_a_word_of_it(text: str) -> None:
    oauth2 = OAuth2.model_validate(
        {"grant": "jwt_bearer", "token_url": BASE["token_url"], "private_key": "${secret:K}", "issuer": "me"}
    )
    with pytest.raises(SettingError, match=r"^The secret of auth.oauth2.private_key is no RSA key\.\n"):
        asked_for(oauth2, {"K": text})


def answer(status: int, body: Any, **headers: str) -> Answer:
    return Answer(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_the_token_of_an_answer() -> None:
    found = read(answer(200, {"access_token": "a", "refresh_token": "r", "expires_in": "3600", "scope": "s"}))

    assert found == Token("a", "r", 3600.0, "s")
    assert read(answer(200, {"access_token": "a"})) == Token("a")
    assert read(answer(200, {"access_token": "a", "expires_in": -5})).seconds is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (answer(400, {"error": "invalid_grant", "error_description": "gone"}), "invalid_grant: gone"),
        (answer(200, {"error": "invalid_code"}), "invalid_code"),
        (answer(200, {"token": "a"}), "it says 200, but its answer holds no access_token"),
        (answer(200, b"[1]"), "it says 200, but its answer holds no access_token"),
        (answer(401, {"message": "who?"}), "who?"),
        (answer(200, {"access_token": "a\r\nX: y"}), "its token has characters that cannot stand in a header"),
        (answer(403, {"error": {"message": "no", "code": 7}}), "no"),
    ],
)
def test_what_a_refusal_says(said: Answer, words: str) -> None:
    with pytest.raises(TokenRefused) as caught:
        read(said)
    assert caught.value.message == words


@pytest.mark.parametrize(
    "said",
    [
        answer(408, {"error": "x"}),
        answer(425, {"error": "x"}),
        answer(429, {"error": "x"}),
        answer(400, {"error": "temporarily_unavailable"}),
        answer(400, {"error": "server_error"}),
        answer(403, b"<html>blocked"),
        answer(401, b"<html>"),
        answer(404, b""),
        answer(302, b""),
    ],
)
def test_what_may_be_another_answer_next_time_is_no_refusal(said: Answer) -> None:
    good = answer(200, {"access_token": "a"})

    assert driven(iter([said, good])) == (Token("a"), [0.5])


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ('{"access_token": "a", "refresh_token": "R2", "user": "José"}'.encode("latin-1"), None),
        (b'\xef\xbb\xbf{"access_token": "a", "refresh_token": "R2"}', None),
        (b'{"access_token": "a", "refresh_token": "R2", "note": "a\tb", "expires_in": 60}', 60.0),
        (b'{"access_token": "a", "refresh_token": "R2", "expires_in": ' + b"9" * 400 + b"}", None),
        (b'{"access_token": "a", "refresh_token": "R2", "expires_in": ' + b"9" * 5000 + b"}", None),
        (b'{"access_token": "a", "refresh_token": "R2", "expires_in": true}', None),
        (b'{"access_token": "a", "refresh_token": "R2", "expires_in": NaN}', None),
    ],
)
def test_a_good_answer_is_not_lost_for_what_stands_beside_the_token(body: bytes, seconds: float | None) -> None:
    assert read(answer(200, body)) == Token("a", "R2", seconds)


def test_an_answer_that_is_nested_too_deep_is_no_crash() -> None:
    with pytest.raises(TokenRefused):
        read(answer(200, b"[" * 200_000))


def driven(answers: Iterator[Answer]) -> tuple[Token | str, list[float]]:
    """What a flow comes to that is answered like this, and its pauses."""
    flow = fetching(made("client_credentials"), SECRETS, now=lambda: 0.0, unique=lambda: "u")
    step, pauses = next(flow), []
    try:
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                step = flow.send(None)
            else:
                step = flow.send(next(answers))
    except StopIteration as end:
        return end.value, pauses
    except TokenAway as exc:
        return exc.message, pauses


def test_what_need_not_be_final_is_asked_again_after_a_pause() -> None:
    good = answer(200, {"access_token": "a"})

    assert driven(iter([answer(503, b""), Answer(None, trouble="no answer within 10 s"), good])) == (
        Token("a"),
        [0.5, 1.0],
    )
    assert driven(iter([answer(429, b"", **{"retry-after": "7"}), good])) == (Token("a"), [7.0])
    assert driven(iter([answer(429, b"", **{"retry-after": "700"}), good])) == (Token("a"), [30.0])
    assert driven(iter([answer(500, b"")] * 3)) == (
        "No token came from https://login.example.com/token: it says 500.", [0.5, 1.0]
    )  # fmt: skip


def test_a_token_is_renewed_when_a_fifth_of_its_life_is_left_at_most_a_minute() -> None:
    assert (margin(2.0), margin(100.0), margin(3600.0)) == (0.4, 20.0, 60.0)


def test_one_that_was_renewed_because_it_was_refused_and_never_worked_is_no_good() -> None:
    standing = Standing()
    standing.begin(1, since=0.0, after_refusal=False)
    assert standing.refused(1, 1.0)
    assert not standing.holds
    assert standing.refused(1, 1.1)  # others of the same flight
    standing.begin(2, since=2.0, after_refusal=True)
    assert standing.holds
    assert standing.refused(1, 2.1)  # one that left before
    assert standing.holds
    assert not standing.refused(2, 2.2)


def test_one_that_has_worked_may_be_renewed_again() -> None:
    standing = Standing()
    standing.begin(2, since=0.0, after_refusal=True)
    standing.worked(2)
    assert standing.refused(2, 1.0)
    standing.begin(3, since=0.0, after_refusal=True)
    assert standing.refused(3, 500.0)  # nobody says that it was void when it came


def test_the_address_to_open_asks_for_a_code_that_nobody_else_can_use() -> None:
    oauth2 = made("refresh_token", authorize_url="https://login.example.com/auth?x=1", scope="a offline")
    consent = Consent("http://127.0.0.1:8400/callback", "state-1", "verifier-1")
    address = httpx.URL(consent.address(oauth2, SECRETS))

    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"verifier-1").digest()).rstrip(b"=").decode()
    assert dict(address.params) == {
        "x": "1", "response_type": "code", "client_id": "app", "redirect_uri": "http://127.0.0.1:8400/callback",
        "state": "state-1", "code_challenge": challenge, "code_challenge_method": "S256", "scope": "a offline",
    }  # fmt: skip
    assert consent.code("http://127.0.0.1:8400/callback?code=c%2F1&state=state-1\n") == "c/1"
    assert consent.code(" c-2 ") == "c-2"
    assert consent.code("code=c-3&state=state-1") == "c-3"


@pytest.mark.parametrize(
    ("came", "words"),
    [
        ("http://127.0.0.1:8400/callback?code=c&state=other", "The address belongs to another try."),
        (
            "http://x/?error=access_denied&error_description=no&state=state-1",
            "The account was not connected: access_denied: no.",
        ),
        ("http://x/?error=access_denied", "The address belongs to another try."),
        ("code=c&state=other", "The address belongs to another try."),
        ("http://x/?state=state-1", "The address holds no code."),
        ("http://x/", "That is no code."),
        ("two words", "That is no code."),
        ("", "That is no code."),
    ],
)
def test_what_is_no_code_is_refused(came: str, words: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        Consent("http://x/", "state-1", "v").code(came)
    assert caught.value.message == words


def signed(**stated: Any) -> tuple[httpx.Request, str]:
    request = httpx.Request("POST", "https://api.example.com/a/b%20c?x=1&y=%2F", content='{"é": 1}'.encode())
    given = Hmac.model_validate({"key": "${secret:K}", **stated})
    return request, sign(request, given, {"K": "k3y"}, now=1_700_000_000.5, nonce="n-1")


def mac(text: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(b"k3y", text, algorithm).digest()


def test_a_signature_is_over_what_goes_out() -> None:
    request, made_ = signed(
        sign="{method}\n{host}\n{path}\n{query}\n{timestamp}\n{nonce}\n{body}",
        header="X-Sign", value="sha256={signature}", timestamp_header="X-Time", nonce_header="X-Nonce",
    )  # fmt: skip

    whole = b"POST\napi.example.com\n/a/b%20c\nx=1&y=%2F\n1700000000\nn-1\n" + '{"é": 1}'.encode()
    assert made_ == mac(whole).hex()
    assert request.headers["X-Sign"] == f"sha256={made_}"
    assert (request.headers["X-Time"], request.headers["X-Nonce"]) == ("1700000000", "n-1")


def test_a_signature_may_go_into_the_address_with_its_moment() -> None:
    request, made_ = signed(
        sign="{path}?{query}{body_hash}", query="sig", timestamp_query="ts", timestamp="milliseconds",
        algorithm="sha512", encoding="base64",
    )  # fmt: skip

    digest = base64.b64encode(hashlib.sha512('{"é": 1}'.encode()).digest())
    whole = b"/a/b%20c?x=1&y=%2F&ts=1700000000500" + digest
    assert made_ == base64.b64encode(mac(whole, "sha512")).decode()
    assert request.url.params["sig"] == made_
    assert request.url.params["ts"] == "1700000000500"


def test_a_key_of_a_signature_that_is_not_written_as_stated_is_refused() -> None:
    with pytest.raises(SettingError, match=r"is not written in hex"):
        signed(sign="{body}", header="X", key_encoding="hex")


def test_a_request_that_goes_again_is_signed_anew_and_once() -> None:
    stated = Hmac.model_validate(
        {"key": "${secret:K}", "sign": "{path}?{query}", "query": "sig", "timestamp_query": "ts"}
    )
    again = httpx.Request("GET", "https://api.example.com/jobs/1?x=1")
    for now in (1000.0, 1001.0):
        sign(again, stated, {"K": "k"}, now=now, nonce="n")
    once = httpx.Request("GET", "https://api.example.com/jobs/1?x=1")
    sign(once, stated, {"K": "k"}, now=1001.0, nonce="n")

    assert str(again.url) == str(once.url)
    assert [name for name, _ in again.url.params.multi_items()] == ["x", "ts", "sig"]
