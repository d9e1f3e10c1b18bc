"""What docs/threats.md says and no other test pins: secrets leave no trace, nobody else can read or run anything."""

from __future__ import annotations

import ast
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows.private import private_folder
from tests.harness.rights import open_to_others
from tests.harness.world import ROOT

# -- secrets: every place that a run leaves traces in -----------------------------------------------------------------


# -- another user of this machine --------------------------------------------------------------------------------------


def test_a_data_folder_that_we_make_is_closed_to_others(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    environment = {**os.environ, "ROWRELAY_DATA": str(data)}
    program = "import os, sys; os.umask(0o022); from deployments.commands.cli import main; sys.exit(main())"

    done = subprocess.run(
        [sys.executable, "-c", program, "runs"], env=environment, cwd=tmp_path, capture_output=True, timeout=120
    )

    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_folder_that_is_there_keeps_the_rights_that_its_owner_gave_it(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o750)

    private_folder(tmp_path / "shared" / "a" / "b")

    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o750
    assert open_to_others(tmp_path / "shared" / "a") == []
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match="Not a directory"):
            private_folder(wrong)


# -- code in data ------------------------------------------------------------------------------------------------------

RUNS_CODE = {"pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
UNPICKLES = {"read_pickle", "to_pickle", "allow_pickle"}


def test_nothing_of_ours_unpickles_or_evaluates_what_it_reads() -> None:
    """Prefect hands chunks to threads of its own process. Dask's workers pickle; its port must be closed to others."""
    found = []
    for path in sorted(each for part in ("flows", "dashboard", "deployments") for each in (ROOT / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            word = getattr(node, "attr", "") or getattr(node, "arg", "")
            evaluates = isinstance(node, ast.Name) and node.id in ("eval", "exec", "compile")
            if word in UNPICKLES or evaluates or any(module.partition(".")[0] in RUNS_CODE for module in modules):
                found.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")

    assert found == []


# -- dependencies ------------------------------------------------------------------------------------------------------


@pytest.fixture
def advisories() -> Iterator[tuple[str, dict[str, list[str]]]]:
    """What osv.dev does, as far as it is asked: ids of vulnerabilities by package."""
    known: dict[str, list[str]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            names = [each["package"]["name"] for each in asked if each["version"]]
            found = [{"vulns": [{"id": id} for id in known[name]]} if name in known else {} for name in names]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"results": found}).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", known
        server.shutdown()


def test_known_vulnerabilities_of_the_lock_fail_the_check_and_no_network_does_not(
    advisories: tuple[str, dict[str, list[str]]],
) -> None:
    service, known = advisories

    def audit(address: str) -> tuple[int, str]:
        environment = {**os.environ, "OSV_SERVICE": address}
        done = subprocess.run(
            [sys.executable, ROOT / ".ci" / "audit.py"], env=environment, capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout

    well = audit(service)
    known["prefect"] = ["GHSA-1", "PYSEC-2"]
    bad = audit(service)
    away = audit("http://127.0.0.1:9")

    assert well[0] == 0
    assert re.fullmatch(r"Dependencies audited: no unknown vulnerability in \d{3} packages\n", well[1])
    assert bad == (1, "prefect 3.8.8: GHSA-1, PYSEC-2\n")
    assert away[0] == 0
    assert away[1].startswith("Dependencies not audited: http://127.0.0.1:9 cannot be asked (")
    assert away[1].count("\n") == 1
