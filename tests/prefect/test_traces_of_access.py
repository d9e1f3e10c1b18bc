"""What lets requests in leaves no trace in a whole stack: tokens, refresh tokens, cookies, signatures, passwords."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from flows.ledger.connection import connect
from flows.masking import DOTS
from flows.metrics import Collector, lines
from tests.harness.guarded import Guarded
from tests.harness.oauth import SECRET, OAuth
from tests.harness.stack import RunningStack
from tests.harness.token_runs import definition, file_of, keep_secrets, oauth2
from tests.harness.traces import in_files, in_redis
from tests.prefect.test_traces import ROWS, from_dashboard

pytestmark = pytest.mark.slow
WRONG = frozenset([3, 11])  # rows that the API refuses
KEY, PASSWORD = "k3yOfHmac-9fQ2vTz7Lm", "pAss4Wq9zzT-of-basic"
PIPELINE = "tokens"


@dataclass
class Command:
    """The command line in an environment of its own; `said` has all that it wrote."""

    environment: dict[str, str]
    folder: Path
    said: dict[str, bytes]

    def __call__(self, *words: str) -> bytes:
        main = "import sys; from deployments.commands.cli import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-c", main, *words],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            timeout=150,
        )
        self.said[f"rowrelay {' '.join(words)}"] = done.stdout + done.stderr
        return done.stdout


def played(
    stack: RunningStack, folder: Path, pipeline: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, list[tuple[str, bytes]]]:
    """Deliver a file, and go on with what failed: (its run, everything that anybody can read of it afterwards)."""
    found: dict[str, bytes] = {}
    ours = {"ROWRELAY_PIPELINES": str(pipeline), "ROWRELAY_SECRETS": str(folder / "secrets")}
    environment = {**os.environ, **stack.environment, **ours}
    rowrelay = Command(environment, folder, found)
    rowrelay("check", str(file), "--pipeline", PIPELINE)
    rowrelay("auth", PIPELINE)
    run = str(json.loads(rowrelay("send", str(file), "--pipeline", PIPELINE, "--json", "--debug"))["run"])
    rowrelay("send", "--resume", run, "--rows", "failed", "--yes", "--debug")
    for words in (("show", run), ("runs",), ("limits",), ("pipelines",)):
        rowrelay(*words)
    for form in ("json", "csv", "jsonl"):
        rowrelay("export", run, "--format", form)
    for name in ("ROWRELAY_REDIS_URL", "ROWRELAY_DATA", "ROWRELAY_PIPELINES", "ROWRELAY_SECRETS"):
        monkeypatch.setenv(name, environment[name])
    found |= from_dashboard(run)
    found["metrics"] = lines(Collector(connect(stack.addresses.redis_url), folder=stack.settings.data))
    return run, [*found.items(), *in_redis(stack.addresses.redis_url), *in_files(stack.settings.data)]


def searched(places: Sequence[tuple[str, bytes]], run: str, secrets: Sequence[str]) -> list[tuple[str, str]]:
    """Which secret stands where; fails where the search has not seen everything."""
    for where in ("/spool/", "/prefect/server.log", "/redis/", "rowrelay send", "rowrelay export", "dashboard rows"):
        assert any(where in name for name, _ in places), where
    databases = [raw for name, raw in places if name.endswith("prefect.db")]
    for table in ("artifact", "log", "flow_run"):
        inserts = (
            line for raw in databases for line in raw.splitlines() if b'INSERT INTO "%s"' % table.encode() in line
        )
        assert any(run.encode() in line for line in inserts), f"nothing of the run in Prefect's {table}"
    for where in ("redis ", "metrics", "dashboard status"):
        assert any(raw for name, raw in places if name.startswith(where)), where
    dots = [name for name, raw in places if DOTS.encode() in raw]
    assert any(name.startswith("rowrelay export") for name in dots), "the API said nothing back"
    parts = {part for text in secrets for part in (text, text[4:20], quote(text, safe="")) if len(part) >= 8}
    return [(part, name) for (name, raw), part in product(places, sorted(parts)) if part.encode() in raw]


def signed(**where: str) -> dict[str, Any]:
    return {"hmac": {"key": "${secret:K}", "sign": "{method}\n{path}\n{timestamp}\n{body}", **where}}


def test_tokens_refresh_tokens_and_signatures_leave_no_trace(
    stack: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer, good or bad, says them back; a renewal happens, and one row that no token lets in stops it."""
    with OAuth(lifetime=3.0, refuses_rows=frozenset([ROWS + 1]), fails_rows=WRONG) as server:
        keep_secrets(tmp_path, CS=SECRET, R=server.allow(), K=KEY)
        auth = {
            **oauth2(server, "refresh_token", refresh_token="${secret:R}"),
            **signed(query="sig", encoding="base64", timestamp_query="at"),
        }
        path = definition(tmp_path, server.url + "/rows", auth, limit={"requests": 5, "in_flight": 2})
        run, places = played(stack, tmp_path, path, file_of(tmp_path, ROWS + 1), monkeypatch)

    assert len(server.issued) >= 5  # more than one renewal
    assert len(server.signatures) >= ROWS // 2 <= len(server.rows) < ROWS
    assert searched(places, run, [*server.issued, *server.signatures, SECRET, KEY]) == []


def test_cookies_passwords_and_signatures_of_a_session_leave_no_trace(
    stack: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session ends again and again, and each answer says all of it back."""
    with Guarded(lasts=9, both=True, signed_with=KEY.encode(), fails_rows=WRONG) as api:
        keep_secrets(tmp_path, CS=SECRET, P=PASSWORD, K=KEY)
        auth = {
            "basic": {"user": "batch", "password": "${secret:P}"},
            "login": {
                "request": {"method": "GET", "url": api.url + "/login", "headers": {"X-CSRF-Token": "Fetch"}},
                "keep": {"csrf": "header:X-CSRF-Token"},
                "headers": {"X-CSRF-Token": "{csrf}"},
                "expired_when": {"status": 403, "headers": {"X-CSRF-Token": "Required"}},
            },
            **signed(header="X-Sign", value="v1={signature}", timestamp_header="X-Time"),
        }
        path = definition(tmp_path, api.url + "/rows", auth, limit={"in_flight": 2})
        run, places = played(stack, tmp_path, path, file_of(tmp_path, ROWS), monkeypatch)

    assert api.logins >= 3
    assert sorted(api.rows) == [row for row in range(1, ROWS + 1) if row not in WRONG]
    basic = base64.b64encode(f"batch:{PASSWORD}".encode()).decode()
    assert len(api.secrets) >= 2 * api.logins + ROWS
    assert searched(places, run, [*api.secrets, PASSWORD, KEY, basic]) == []
