"""Deliveries to APIs that want a session, a signature or a certificate; the receiver judges each request."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from flows.records import RowState
from tests.harness import tls
from tests.harness.guarded import Guarded
from tests.harness.token_runs import definition, deliver, file_of, keep_secrets
from tests.harness.traces import in_files, in_redis

DONE = RowState.DONE


def session(url: str, **more: Any) -> dict[str, Any]:
    """`auth` for an API as SAP has it."""
    return {
        "login": {
            "request": {"method": "GET", "url": url + "/login", "headers": {"X-CSRF-Token": "Fetch"}},
            "keep": {"csrf": "header:X-CSRF-Token"},
            "headers": {"X-CSRF-Token": "{csrf}"},
            "expired_when": {"status": 403, "headers": {"X-CSRF-Token": "Required"}},
            **more,
        }
    }


def test_a_session_that_expires_is_opened_again_and_no_row_is_lost_or_a_ban(redis_url: str, tmp_path: Path) -> None:
    with Guarded(lasts=15) as api:
        path = definition(tmp_path, api.url + "/rows", session(api.url), limit={"in_flight": 3})
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 40))

    assert stopped == ""
    assert ended.counts[DONE] == 40
    assert max(api.rows.values()) == 1
    assert api.logins == 3
    assert 2 <= api.refused <= 2 * 3


def test_a_401_opens_a_session_again_too(redis_url: str, tmp_path: Path) -> None:
    with Guarded(lasts=15, ends_with=401) as api:
        path = definition(tmp_path, api.url + "/rows", session(api.url), limit={"in_flight": 3})
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 40))

    assert stopped == ""
    assert ended.counts[DONE] == 40
    assert api.logins == 3


def test_a_session_that_never_holds_stops_the_run(redis_url: str, tmp_path: Path) -> None:
    with Guarded(lasts=0) as api:
        path = definition(tmp_path, api.url + "/rows", session(api.url), limit={"in_flight": 2})
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 20))

    assert stopped.startswith("The API says 403 to a session that was just opened.\n")
    assert ended.counts[RowState.WAITING] == 20
    assert api.logins == 2


def test_a_login_that_is_refused_stops_the_run_before_a_row_is_sent(redis_url: str, tmp_path: Path) -> None:
    with Guarded() as api:
        request = {"method": "GET", "url": api.url + "/login"}
        path = definition(tmp_path, api.url + "/rows", session(api.url, request=request))
        _, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 5))

    assert stopped.startswith("The login was refused: status 400: what for?")
    assert not api.rows


def test_a_login_that_fails_for_a_while_is_tried_again(redis_url: str, tmp_path: Path) -> None:
    with Guarded(refuses_logins=2) as api:
        path = definition(tmp_path, api.url + "/rows", session(api.url))
        ended, _ = deliver(redis_url, tmp_path, path, file_of(tmp_path, 5))

    assert ended.counts[DONE] == 5
    assert api.logins == 3


def test_cookies_and_values_of_a_session_and_passwords_leave_no_trace(redis_url: str, tmp_path: Path) -> None:
    """Every answer says them back."""
    with Guarded(lasts=15) as api:
        keep_secrets(tmp_path, P="pAss4Wq9zzT")
        auth = {"basic": {"user": "batch", "password": "${secret:P}"}, **session(api.url)}
        path = definition(tmp_path, api.url + "/rows", auth)
        ended, _ = deliver(redis_url, tmp_path, path, file_of(tmp_path, 30))

    assert ended.counts[DONE] == 30
    stored = b"".join(kept for _, kept in (*in_redis(redis_url), *in_files(tmp_path / "data")))
    assert "••••".encode() in stored
    hidden = [*api.secrets, "pAss4Wq9zzT", "YmF0Y2g6cEFzczRXcTl6elQ="]
    assert [secret for secret in hidden if secret.encode() in stored] == []


def test_the_receiver_finds_each_signature_right_and_none_leaves_a_trace(redis_url: str, tmp_path: Path) -> None:
    with Guarded(signed_with=b"k3y-9fQ2") as api:
        keep_secrets(tmp_path, K="k3y-9fQ2")
        stated = {
            "key": "${secret:K}",
            "sign": "{method}\n{path}\n{timestamp}\n{body}",
            "header": "X-Sign",
            "value": "v1={signature}",
            "timestamp_header": "X-Time",
        }
        path = definition(tmp_path, api.url + "/rows", {"hmac": stated})
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 20))

    assert stopped == ""
    assert ended.counts[DONE] == 20
    assert api.refused == 0
    stored = b"".join(kept for _, kept in (*in_redis(redis_url), *in_files(tmp_path / "data")))
    assert "v1=••••".encode() in stored
    assert [made for made in api.secrets if made.encode() in stored] == []


def guarded_by_certificate(folder: Path) -> tuple[Guarded, tls.Authority]:
    made = tls.authority(folder)
    context = made.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(made.roots)
    return Guarded(tls=context), made


def test_an_api_that_asks_for_a_certificate_gets_it(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, authority = guarded_by_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.roots))
    with server as api:
        keep_secrets(tmp_path, **{"me.pem": authority.certificate("rowrelay").read_text()})
        path = definition(tmp_path, api.url + "/rows", {"certificate": {"cert": "me.pem"}})
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 6))

    assert stopped == ""
    assert ended.counts[DONE] == 6
    assert {dict(part[0] for part in peer["subject"])["commonName"] for peer in api.peers} == {"rowrelay"}


def test_without_its_certificate_nothing_gets_in(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, authority = guarded_by_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.roots))
    with server as api:
        path = definition(tmp_path, api.url + "/rows", {"bearer": "${secret:CS}"}, stop_after=3)
        ended, _ = deliver(redis_url, tmp_path, path, file_of(tmp_path, 3))

    assert ended.counts[DONE] == 0
    assert not api.rows


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_a_certificate_that_cannot_be_used_is_refused_before_anything_is_sent(
    redis_url: str, tmp_path: Path, content: str
) -> None:
    keep_secrets(tmp_path, **{"me.pem": content})
    path = definition(tmp_path, "https://127.0.0.1:9/rows", {"certificate": {"cert": "me.pem"}})
    _, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 3))

    assert "me.pem" in stopped


def test_a_login_without_a_body_has_none_and_the_columns_stay_out_of_it(redis_url: str, tmp_path: Path) -> None:
    with Guarded() as api:
        request = {"method": "POST", "url": api.url + "/login", "headers": {"X-CSRF-Token": "Fetch"}}
        path = definition(tmp_path, api.url + "/rows", session(api.url, request=request))
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 3))

    assert (stopped, ended.counts[DONE]) == ("", 3)
