"""What a whole stack writes and opens: secrets leave no trace, and nobody else can read or reach anything."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from urllib.parse import quote, quote_plus

import httpx
import psutil
import pytest
import redis
import yaml

from deployments.registry.job import JOB
from flows.ledger.connection import connect
from flows.masking import DOTS
from tests.harness.remembered import forget
from tests.harness.rights import open_to_others
from tests.harness.stack import RunningStack
from tests.harness.traces import in_files, in_redis
from tests.harness.world import ROOT

# Each has two plain parts that every way of writing leaves as they are, round characters that none does.
SECRETS = {
    "TRACE_HEADER": 'hdrVq7xK/+"&<\\=pZ4tmW',
    "TRACE_QUERY": 'qryLb2nD/+"&<\\=uJ8scY',
    "TRACE_BODY": 'bdyTg5hF/+"&<é\\=wR3kvN',
}
CANARY = "canaryEw6zP"  # stands in a row, and has to be found: the search does look
ROWS = 24


@dataclass
class Echo:
    """An API that says back everything it was told, in another way each time."""

    url: str = ""
    heard: list[str] = field(default_factory=list)

    def answer(self, row: int, said: str) -> tuple[int, str, str, dict[str, str]]:
        """Status, content type, body and further headers for a row."""
        shape = row % 12
        more = {"Location": "/" + quote(said, safe="")} if shape == 0 else {}
        status = {0: 302, 1: 201, 2: 400, 3: 422, 4: 500, 5: 201, 6: 409, 7: 201, 8: 400, 9: 404, 10: 201, 11: 400}
        kinds = {3: "text/html", 5: f"text/{quote(said)}", 8: "text/plain", 11: "text/plain"}
        bodies = {
            1: json.dumps({"id": said, "deep": [{said: said}]}),
            2: json.dumps({"error": json.dumps({"you": said})}),
            3: html.escape(said),
            4: f"Traceback: KeyError({said!r})",
            6: json.dumps({"error": said}).replace("/", "\\/").replace("&", "\\u0026").replace("<", "\\u003c"),
            7: json.dumps({"id": said, "text": quote_plus(said)}, ensure_ascii=False)[: -len(said)],
            8: " " * 8192 + said,
            9: quote(quote(said, safe=""), safe=""),
            10: json.dumps({"id": html.escape(said), "deep": json.dumps(said)}),
            11: said[: said.find("pZ4tmW")] if "pZ4tmW" in said else said[:12],
        }
        return status[shape], kinds.get(shape, "application/json"), bodies.get(shape, said), more


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            told = json.loads(body)
            secrets = [self.headers["X-Token"], self.path.partition("token=")[2], told["token"]]
            made.heard.append("\n".join((str(self.headers), self.path, body)))
            said = " ".join(secrets[told["row"] % 3 :])
            status, kind, text, more = made.answer(told["row"], said)
            raw = text.encode()
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(raw)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]  resets are meant
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()


def needles() -> list[bytes]:
    """What must be found nowhere: the parts of every secret, and the whole in forms that hide the parts."""
    found: set[bytes] = set()
    for secret in SECRETS.values():
        found |= {part.encode() for part in re.findall(r"[A-Za-z0-9]{6,}", secret)}
        for shift in range(3):  # base64 looks different at each distance from a multiple of three
            coded = base64.b64encode(b" " * shift + secret[:8].encode()).rstrip(b"=")
            found.add(coded[2 + shift : -1])
        found |= {secret[:8].encode("utf-16-le"), secret[:8].encode().hex().encode()}
    return sorted(found)


@pytest.mark.slow
def test_a_secret_leaves_no_trace_whatever_the_api_says_back(
    stack: RunningStack, echo: Echo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Header, query and body hold secrets, and the API echoes them in answers of every kind; nothing keeps any."""
    definition = {
        "name": "traces",
        "columns": {"row": {"type": "int"}, "note": {"type": "str"}},
        "request": {
            "url": echo.url + "/rows?token=${secret:TRACE_QUERY}",
            "headers": {"X-Token": "${secret:TRACE_HEADER}", "Authorization": "Bearer ${secret:TRACE_HEADER}"},
            "json": {"row": "{row}", "note": "{note}", "token": "${secret:TRACE_BODY}"},
            "timeout_seconds": 5,
        },
        "response": {"keep": {"id": "id", "deep": "deep"}, "success": [201]},
        "ban": {"status": [418], "html": False},
        "limit": {"name": "traces", "requests": 1000, "window_seconds": 1},
    }
    (tmp_path / "traces.yaml").write_text(yaml.safe_dump(definition))
    file = tmp_path / "traces.csv"
    file.write_text("row,note\n" + "".join(f"{row},{CANARY} {row}\n" for row in range(ROWS)) + f"x,{CANARY}\n")
    environment = {
        **os.environ, **stack.environment, **SECRETS, "ROWRELAY_PIPELINES": str(tmp_path / "traces.yaml"),
    }  # fmt: skip
    said: dict[str, bytes] = {}

    def rowrelay(*words: str) -> bytes:
        command = [
            sys.executable,
            "-c",
            "import sys; from deployments.commands.cli import main; sys.exit(main())",
            *words,
        ]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=150)
        said[" ".join(words)] = done.stdout + done.stderr
        return done.stdout

    rowrelay("check", str(file), "--pipeline", "traces")
    sent = json.loads(rowrelay("send", str(file), "--pipeline", "traces", "--json", "--debug"))
    run = sent["run"]
    rowrelay("send", "--resume", run, "--rows", "failed", "--yes")
    rowrelay("runs")
    rowrelay("show", run)
    exported = {form: rowrelay("export", run, "--format", form) for form in ("json", "csv", "jsonl")}
    for name in ("ROWRELAY_REDIS_URL", "ROWRELAY_DATA", "ROWRELAY_PIPELINES", *SECRETS):
        monkeypatch.setenv(name, environment[name])
    said |= from_dashboard(run)

    assert len(echo.heard) >= ROWS
    parts = [part for secret in SECRETS.values() for part in re.findall(r"[A-Za-z0-9]{6,}", secret)]
    assert all(part in each for part in parts for each in echo.heard)
    assert all(form.count(CANARY.encode()) >= ROWS for form in exported.values())
    assert exported["json"].count(DOTS.encode()) > ROWS // 2
    places = [*said.items(), *in_redis(stack.addresses.redis_url), *in_files(stack.settings.data)]
    for where in ("/spool/", "prefect.db", "/prefect/server.log", "/redis/", "dashboard rows"):
        assert any(where in name for name, _ in places), where
    assert any(CANARY.encode() in raw for name, raw in places if "/spool/" in name)
    assert any(run.encode() in raw for name, raw in places if name.endswith("prefect.db"))
    assert any(run.encode() in raw for name, raw in places if name.startswith("redis "))
    assert [(needle, name) for (name, raw), needle in product(places, needles()) if needle in raw] == []


def from_dashboard(run: str) -> dict[str, bytes]:
    """What the dashboard's API says of a run: its rows, each row with its request and answer, and all downloads."""
    from fastapi.testclient import TestClient

    from dashboard.api.app import make_api

    forget()
    with TestClient(make_api(), base_url="http://127.0.0.1:8501") as client:
        paths = {
            "run": f"/runs/{run}", "rows": f"/runs/{run}/rows", "json": f"/runs/{run}/results.json",
            "csv": f"/runs/{run}/results.csv", "pipelines": "/pipelines", "status": "/status", "problems": "/problems",
            **{f"row {row}": f"/runs/{run}/rows/{row}" for row in range(1, ROWS + 1)},
        }  # fmt: skip
        found = {}
        for what, path in paths.items():
            answer = client.get(path)
            assert answer.status_code == 200, (path, answer.text)
            found[f"dashboard {what}"] = answer.content
    return found


def test_nobody_else_can_read_what_the_stack_writes(stack: RunningStack) -> None:
    """Their folders let nobody in, and what holds passwords and rows is closed by itself as well."""
    for name in ("stack", "redis", "prefect", "redis/appendonlydir"):
        assert stat.S_IMODE((stack.settings.data / name).stat().st_mode) == 0o700
    for name in ("stack/stack.json", "redis/server.conf", "prefect/prefect.db"):
        assert open_to_others(stack.settings.data / name) == []
    assert open_to_others(stack.settings.data / "redis" / "appendonlydir") == []


def listening(port: int) -> set[str]:
    """Addresses at which something of this machine listens on a port."""
    found = psutil.net_connections("inet")
    return {each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN and each.laddr.port == port}


def test_redis_and_prefect_listen_on_this_machine_only_and_redis_wants_its_password(stack: RunningStack) -> None:
    redis_port = int(stack.addresses.redis_url.rpartition(":")[2].partition("/")[0])
    prefect_port = httpx.URL(stack.addresses.prefect_api_url).port or 0

    assert listening(redis_port) == listening(prefect_port) == {"127.0.0.1"}
    with redis.Redis(port=redis_port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.get("rowrelay")
    with redis.Redis(port=redis_port, password="guessed") as guesser, pytest.raises(redis.AuthenticationError):
        guesser.get("rowrelay")
    assert connect(stack.addresses.redis_url).ping()


def test_prefect_stores_no_result_and_would_write_json_however_it_is_started(stack: RunningStack) -> None:
    name = "PREFECT_RESULTS_DEFAULT_SERIALIZER"
    started = {
        "rowrelay": stack.environment,
        "a work pool's job": JOB["env"],
        "prefect.yaml": yaml.safe_load((ROOT / "deployments" / "registry" / "prefect.yaml").read_text())["definitions"],
        "the image": (ROOT / "Dockerfile").read_text(),
    }

    for where, said in started.items():
        assert re.search(rf"{name}\W+json\b", said if isinstance(said, str) else json.dumps(said)), where
    for module in (path for path in (ROOT / "flows").glob("*.py") if "@flow" in path.read_text()):
        text = module.read_text()
        marks = len(re.findall(r"^@(?:flow|task)\b", text, flags=re.MULTILINE))
        assert text.count("persist_result=False") == marks, module.name
