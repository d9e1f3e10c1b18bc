"""The wheel: what a person gets who installs Rowrelay without its checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from deployments.embedded.redis_server import free_port
from tests.harness.browser import open_browser, settle
from tests.harness.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
# Of a server set up from a checkout (docs/operations.md), and never read by the program itself.
ONLY_IN_A_CHECKOUT = {
    "deployments/container/Caddyfile",
    "deployments/container/make-secrets.sh",
    "deployments/registry/prefect.yaml",
    "deployments/observe/grafana/alerts.yaml",
    "deployments/observe/grafana/rowrelay.json",
}
ROWS = "userId,title,body\n1,first,one\n2,second,two\nx,,\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make wheel` builds it, from a copy: a build leaves folders in its source."""
    source = tmp_path_factory.mktemp("source")
    for name in ("flows", "dashboard", "deployments", "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-R", ROOT / name, source / name], check=True)
    build = re.search(r"(uv build .+) --out-dir dist \.", (ROOT / "Makefile").read_text())
    assert build is not None
    command = [str(Path(sys.executable).with_name("uv")), *build[1].split()[1:], "--out-dir", source / "dist", source]
    environment = {
        **os.environ,
        "VIRTUAL_ENV": sys.prefix,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (built,) = (source / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_every_file_that_the_program_reads(wheel: Path) -> None:
    there = {
        path.relative_to(ROOT).as_posix()
        for folder in ("flows", "dashboard", "deployments")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert there - packed == ONLY_IN_A_CHECKOUT
    assert packed - there == set()


@contextmanager
def up(programs: Path, folder: Path) -> Iterator[httpx.Client]:
    """`rowrelay up`, from a folder that has nothing of ours, sending to the stand-in; a client of the dashboard."""
    port, log = free_port(), folder / "up.log"
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "ROWRELAY_DATA": str(folder / "data"),
        "ROWRELAY_SEPARATE_STACK": "1",
    }
    command = [programs / "rowrelay", "standin", "--", programs / "rowrelay", "up", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
    try:
        wait_until(lambda: b"Ctrl-C stops" in log.read_bytes() or process.poll() is not None, seconds=60, what="up")
        assert process.poll() is None, log.read_text()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            yield client
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def room() -> Iterator[Path]:
    """On a disk, whose files uv links to those that it has, and which holds what would fill the memory."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_wheel_in_an_empty_environment_serves_everything(wheel: Path, room: Path, tmp_path: Path) -> None:
    """Pages with their look, the HTTP API, a run from upload to results, and the form that Prefect shows."""
    uv, venv = Path(sys.executable).with_name("uv"), room / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", venv / "bin" / "python"]
    locked = [*install, "--require-hashes", "--requirements", ROOT / "requirements.lock"]
    done = subprocess.run(locked, capture_output=True, text=True, timeout=300)
    if re.search(r"error sending request|dns error|[Nn]etwork|timed out", done.stderr):
        pytest.skip("no package index can be reached; what the wheel holds was looked at above")
    assert done.returncode == 0, done.stderr
    subprocess.run([*install, wheel], check=True, capture_output=True)
    folder = tmp_path / "elsewhere"
    folder.mkdir()

    with up(venv / "bin", folder) as client:
        name = client.put("/api/files/rows.csv", content=ROWS.encode()).json()["file"]
        begun = client.post("/api/runs", json={"pipeline": "posts", "file": name})
        assert begun.status_code == 202, begun.text
        run = begun.json()["id"]
        found = wait_until(
            lambda: (
                (now := client.get(f"/api/runs/{run}")).is_success and now.json()["state"] == "finished" and now.json()
            ),
            seconds=60,
            what="the run",
        )
        assert (found["counts"]["done"], found["counts"]["rejected"]) == (2, 1)
        results = client.get(f"/api/runs/{run}/results.json").json()["result"]
        assert [bool(row.get("postId")) for row in results] == [True, True, False]
        assert client.get("/api/docs").is_success

        prefect = re.search(r"Prefect server +(\S+)", (folder / "up.log").read_text())
        assert prefect is not None
        deployment = httpx.get(f"{prefect[1]}/api/deployments/name/deliver/posts", trust_env=False).json()
        assert "file" in deployment["parameter_openapi_schema"]["properties"]

        with open_browser() as browser:
            page = browser.new_page()
            page.goto(f"{client.base_url}/runs")
            settle(page)
            assert page.get_by_text("rows.csv").first.is_visible()
            muted = "getComputedStyle(document.querySelector('.stApp')).getPropertyValue('--rr-muted')"
            assert page.evaluate(muted), "style.css is not on the page"
            assert page.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") == "26.4px"  # config.toml's
