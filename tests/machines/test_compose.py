"""docker-compose.yml: read by a real parser, and run: every service's command, environment and health check.

There is no container engine in it. `tests.harness.containers` puts each service into namespaces of this machine as the
compose file says (user, read-only root, volumes, secrets, network, names); what is not tried: building the image,
pulling the official ones, their entry points, and the engine's own restarting and logging.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.container.entrypoint import filled
from tests.harness import containers
from tests.harness.containers import ROOT, Container, Project, parsed
from tests.harness.wait import wait_until

JOB_SECONDS = 120.0
PG, PG_OPTIONS = "PGPASSWORD=$(cat /run/secrets/postgres_password)", "-h 127.0.0.1 -U rowrelay"
REDIS = "REDISCLI_AUTH=$(cat /run/secrets/redis_password)"
NEEDED = {
    "docker-compose": "docker-compose",
    "redis-server": "redis-server",
    "unshare": "util-linux",
    "ip": "iproute2",
}
missing = [package for program, package in NEEDED.items() if not shutil.which(program)]
missing += [] if containers.POSTGRES else ["postgresql"]
needs_parser = pytest.mark.skipif(
    not shutil.which("docker-compose"),
    reason="docker-compose is not installed (Debian: apt-get install docker-compose)",
)
needs_namespaces = [
    pytest.mark.skipif(os.geteuid() != 0, reason="making namespaces needs root"),
    pytest.mark.skipif(bool(missing), reason=f"not installed (Debian: apt-get install {' '.join(missing)})"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder as the first lines of docker-compose.yml tell people to make it."""
    made = tmp_path_factory.mktemp("compose")
    for parent in (made, *made.parents):  # pytest keeps its folders to itself, containers have users of their own
        if any(part.startswith("pytest-of-") for part in parent.parts):
            parent.chmod(parent.stat().st_mode | 0o011)
    text = (ROOT / ".env.example").read_text()
    (made / ".env").write_text(
        re.sub(r"^#POSTS_URL=.*$", "POSTS_URL=http://standin:8900/posts", text, flags=re.MULTILINE)
    )
    (made / "pipelines").mkdir()
    subprocess.run(
        ["sh", ROOT / "deployments" / "container" / "make-secrets.sh", made / "secrets"],
        check=True,
        capture_output=True,
    )
    return made


@pytest.fixture(scope="module")
def compose(folder: Path) -> dict[str, Any]:
    return parsed("trial", "tls", folder=folder, environment=folder / ".env")


# -- what the file says ------------------------------------------------------------------------------------------------


@needs_parser
def test_a_real_parser_reads_the_compose_file_and_finds_every_service(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {
        *("redis", "redis-prefect", "postgres", "migrate", "server", "services", "setup", "worker", "dashboard"),
        *("metrics", "standin", "sign-in", "proxy"),
    }


@needs_parser
def test_only_the_dashboard_and_prefect_are_published_and_only_to_this_machine(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if service.get("ports")}

    assert published.pop("proxy")  # of the tls profile: it is what others may see
    assert published == {"dashboard": ["127.0.0.1:8501:8501/tcp"], "server": ["127.0.0.1:4200:4200/tcp"]}


@needs_parser
def test_the_proxy_waits_until_the_dashboard_asks_people_to_sign_in(compose: dict[str, Any], folder: Path) -> None:
    """What listens on every address must not show a dashboard that lets everybody in."""
    service = compose["services"]["sign-in"]
    file = folder / "signin" / "dashboard.toml"
    file.parent.mkdir()
    made = (folder / "secrets" / "dashboard.toml").read_text()

    def answer(secrets: str, **more: str) -> tuple[int, str]:
        file.write_text(secrets)
        given = {**service["environment"], "STREAMLIT_SECRETS_FILES": str(file), **more}
        command = [sys.executable, *service["command"][1:]]
        done = subprocess.run(
            command, env={**os.environ, **given}, cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout

    assert compose["services"]["proxy"]["depends_on"]["sign-in"]["condition"] == "service_completed_successfully"
    code, text = answer(made)
    assert code == 1
    assert "Write [auth] into secrets/dashboard.toml" in text
    code, text = answer('[auth]\nclient_id = "x"\n')
    assert (code, text) == (0, "The dashboard asks people to sign in.\n")
    code, text = answer("[auth\nclient_id = 'x'\n")
    assert code == 1
    assert "cannot be read" in text
    code, text = answer(made, SIGN_IN="none")
    assert code == 0


@needs_parser
def test_whatever_dies_comes_back_and_says_how_it_is(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        one_shot = name in ("migrate", "sign-in")
        restart = "no" if name == "sign-in" else "on-failure" if one_shot else "unless-stopped"
        assert service["restart"] == restart, name
        assert one_shot or service["healthcheck"]["test"], name
        for other, how in (service.get("depends_on") or {}).items():
            wanted = "service_completed_successfully" if other in ("migrate", "sign-in") else "service_healthy"
            assert how["condition"] == wanted, (name, other)


@needs_parser
def test_everything_of_ours_runs_without_rights_and_writes_only_where_it_should(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if str(service["image"]).startswith("rowrelay:"):
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
    assert re.search(r"^USER 10001:10001$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)


@needs_parser
def test_no_secret_stands_in_the_environment_of_a_service(compose: dict[str, Any], folder: Path) -> None:
    """Who may look at a container's settings sees where its secrets are, and not what they are."""
    texts = [
        (folder / "secrets" / name).read_text() for name in ("redis_password", "postgres_password", "prefect_auth")
    ]
    shown = json.dumps(compose["services"], default=str)

    assert "${secret:redis_password}" in shown
    assert not any(text in shown for text in texts)


@needs_parser
def test_every_volume_and_secret_that_is_used_is_declared_and_the_other_way_round(compose: dict[str, Any]) -> None:
    volumes, secrets = set(), set()
    for service in compose["services"].values():
        volumes |= {str(each).split(":")[0] for each in service.get("volumes") or () if not str(each).startswith("/")}
        secrets |= {each["source"] if isinstance(each, dict) else each for each in service.get("secrets") or ()}

    assert volumes == set(compose["volumes"])
    assert secrets == set(compose["secrets"])


@needs_parser
def test_links_and_names_are_those_that_people_type(folder: Path) -> None:
    given = (folder / ".env").read_text()
    for name, value in (
        ("PREFECT_URL", "https://prefect.firm.example"),
        ("DASHBOARD_URL", "https://rows.firm.example"),
        ("DASHBOARD_DOMAIN", "rows.firm.example"),
    ):
        given = re.sub(rf"^{name}=.*$", f"{name}={value}", given, flags=re.MULTILINE)
    (folder / ".env.firm").write_text(given)
    services = parsed("tls", folder=folder, environment=folder / ".env.firm")["services"]

    for name in ("server", "services", "worker", "dashboard", "setup"):
        assert services[name]["environment"]["PREFECT_UI_URL"] == "https://prefect.firm.example", name
    assert services["worker"]["environment"]["ROWRELAY_DASHBOARD_URL"] == "https://rows.firm.example"
    hosts = services["dashboard"]["environment"]["STREAMLIT_SERVER_ALLOWED_HOSTS"].split(",")
    assert {"rows.firm.example", "localhost", "127.0.0.1"} <= set(hosts)


@needs_parser
def test_storage_on_s3_reaches_everything_that_touches_files(folder: Path) -> None:
    text = (folder / ".env").read_text()
    (folder / ".env").write_text(text.replace("#ROWRELAY_STORAGE=", "ROWRELAY_STORAGE=").replace("#AWS_", "AWS_"))
    try:
        services = parsed(folder=folder, environment=folder / ".env")["services"]
    finally:
        (folder / ".env").write_text(text)

    for name in ("setup", "worker", "dashboard"):
        assert services[name]["environment"]["ROWRELAY_STORAGE"].startswith("s3://"), name
        assert "AWS_ENDPOINT_URL" in services[name]["environment"], name


@needs_parser
def test_every_image_is_pinned_by_digest_and_none_has_a_hole_that_is_known(compose: dict[str, Any]) -> None:
    """The tag beside the digest tells people, and this test, what it is."""
    images = {str(service["image"]) for service in compose["services"].values()} - {"rowrelay:local"}
    images.add(str(compose["services"]["migrate"]["build"]["args"]["PYTHON_IMAGE"]))
    found = {}
    for image in images:
        parts = re.fullmatch(r"(\w+):(\d+)\.(\d+)(?:\.(\d+))?(?:-[\w-]+)?@sha256:[0-9a-f]{64}", image)
        assert parts, image
        found[parts[1]] = tuple(int(part or 0) for part in parts.groups()[1:])

    assert set(found) == {"redis", "postgres", "python", "caddy"}
    assert found["redis"] >= (7, 2, 11)  # below, whoever may run a script may run anything (CVE-2025-49844)
    assert found["postgres"] >= (15, 15)  # below, clients can be made to write past a buffer (CVE-2025-12818)


@needs_parser
def test_the_image_is_built_once(compose: dict[str, Any]) -> None:
    assert [name for name, service in compose["services"].items() if "build" in service] == ["migrate"]


@needs_parser
def test_no_container_can_take_all_of_the_machine(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["mem_limit"], name
        assert 0 < float(service["cpus"]) <= 1, name  # more than there are, and an engine refuses to start it
        assert service["pids_limit"] > 0, name


@needs_parser
@pytest.mark.parametrize("name", ["redis", "redis-prefect"])
def test_a_redis_that_is_full_refuses_before_it_is_ended(compose: dict[str, Any], name: str) -> None:
    """Twice what it holds, since a rewrite of its file may need as much again; `noeviction` makes a full one refuse."""
    service = compose["services"][name]
    most = re.search(r"maxmemory (\d+)(mb|gb)\n", service["command"][-1])
    assert most is not None
    held = int(most[1]) * {"mb": 1 << 20, "gb": 1 << 30}[most[2]]
    limit = re.fullmatch(r"(\d+)([mg]?)", str(service["mem_limit"]))
    assert limit is not None

    assert int(limit[1]) * {"m": 1 << 20, "g": 1 << 30, "": 1}[limit[2]] >= 2 * held
    assert "maxmemory-policy noeviction" in service["command"][-1]


@needs_parser
def test_prefect_is_ended_by_the_signal_that_lets_it_write_down_what_it_has(compose: dict[str, Any]) -> None:
    for name in ("server", "services"):
        assert compose["services"][name]["stop_signal"] == "SIGINT"
        assert compose["services"][name]["stop_grace_period"] == "30s"


@needs_parser
def test_the_metrics_see_no_secret_that_they_do_not_need(compose: dict[str, Any]) -> None:
    service = compose["services"]["metrics"]

    assert [each["source"] if isinstance(each, dict) else each for each in service["secrets"]] == ["redis_password"]
    assert [str(volume).split(":")[1] for volume in service["volumes"]] == ["/data"]
    assert not [name for name in service["environment"] if name.startswith("PREFECT_")]


@needs_parser
def test_prefect_is_closed_to_strangers_and_to_other_sites(compose: dict[str, Any]) -> None:
    for name in ("server", "services"):
        environment = compose["services"][name]["environment"]
        assert environment["PREFECT_SERVER_API_AUTH_STRING"] == "${secret:prefect_auth}"
        assert environment["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] == "true"
        assert environment["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4200"
        assert environment["PREFECT_SERVER_ENCRYPTION_KEY"] == "${secret:prefect_encryption_key}"
    assert compose["services"]["server"]["environment"] == compose["services"]["services"]["environment"]


def test_every_variable_of_the_compose_file_is_in_the_example_and_the_other_way_round() -> None:
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    told = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))

    assert used - told == set()
    assert told - used == {"COMPOSE_PROJECT_NAME"}  # read by docker itself


def test_every_command_and_health_check_names_something_that_exists() -> None:
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / "Dockerfile").read_text()
    for module in set(re.findall(r"-m,? \"?(deployments\.[a-z_]+)", text)):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists() or (ROOT / module.replace(".", "/")).is_dir(), module
    assert (ROOT / "dashboard" / "app.py").exists()


def test_the_image_takes_everything_that_the_program_needs_and_nothing_else() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE))

    assert {part for line in copied for part in line.split()} == kept


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_secrets_are_made_once_readable_inside_and_closed_to_others_outside(folder: Path) -> None:
    secrets = folder / "secrets"
    before = {path.name: path.read_text() for path in secrets.iterdir() if path.is_file()}
    subprocess.run(
        ["sh", ROOT / "deployments" / "container" / "make-secrets.sh", secrets], check=True, capture_output=True
    )

    assert {path.name: path.read_text() for path in secrets.iterdir() if path.is_file()} == before
    assert len({before["redis_password"], before["postgres_password"], before["prefect_auth"]}) == 3
    assert len(before["prefect_encryption_key"]) == 44
    assert all(len(before[name]) > 30 for name in ("redis_password", "postgres_password"))
    assert stat.S_IMODE(secrets.stat().st_mode) & 0o066 == 0
    assert stat.S_IMODE((secrets / "redis_password").stat().st_mode) == 0o444


def test_a_secret_is_put_into_the_environment_and_encoded_inside_an_address(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("p@ss/w:rd\n")
    found = filled({"A": "${secret:word}", "B": "redis://:${secret:word}@redis/0", "C": "${HOME}"}, tmp_path)

    assert found == {"A": "p@ss/w:rd", "B": "redis://:p%40ss%2Fw%3Ard@redis/0", "C": "${HOME}"}


# -- all of it, running ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(folder: Path, compose: dict[str, Any]) -> Iterator[Project]:
    services = {name: service for name, service in compose["services"].items() if name not in ("proxy", "sign-in")}
    made = Project(folder, services, secrets=folder / "secrets", replicas={"worker": 2})
    try:
        made.up(seconds=240)
        yield made
    finally:
        made.down()


def login_of(folder: Path) -> str:
    return "Basic " + base64.b64encode((folder / "secrets" / "prefect_auth").read_bytes()).decode()


def arrivals(project: Project) -> int:
    return int(json.loads(project.ask("GET", "standin", 8900, "/report")[1])["arrivals"])


def api(project: Project, method: str, path: str, body: bytes | None = None) -> Any:
    status, answer = project.ask(
        method, "dashboard", 8501, f"/api{path}", data=body, headers={"Content-Type": "application/json"}
    )
    assert status < 300, (status, answer)
    return json.loads(answer)


def begin(project: Project, name: str, data: str) -> str:
    """Upload a file and start its run; the run's id."""
    uploaded = api(project, "PUT", f"/files/{name}", data.encode())
    given = {"pipeline": "posts", "file": uploaded["file"]}
    return str(api(project, "POST", "/runs", json.dumps(given).encode())["id"])


def posts(name: str, rows: int) -> str:
    return "userId,title,body\n" + "".join(f"{i},title {i},{name}\n" for i in range(1, rows + 1))


def deliver(project: Project, name: str, *, rows: int) -> dict[str, Any]:
    """The job of an operations person, over HTTP: upload, send, wait, take the results home."""
    run = begin(project, name, posts(name, rows) + "x,,\n")

    def ended() -> dict[str, Any] | None:
        status, answer = project.ask("GET", "dashboard", 8501, f"/api/runs/{run}")
        found: dict[str, Any] = json.loads(answer)
        return found if status == 200 and found["state"] in ("finished", "stopped", "cancelled") else None

    found = wait_until(ended, seconds=JOB_SECONDS, what=f"the end of {run}: {project.last_words()}")
    assert found["state"] == "finished", (found, project.last_words())
    results = api(project, "GET", f"/runs/{run}/results.json")["result"]
    assert [row["row"] for row in results] == list(range(1, rows + 2))
    return {**found, "results": results}


def start(project: Project, *names: str) -> None:
    for name in names:
        container = project.containers[name]
        container.start()
        wait_until(lambda c=container: c.healthy()[0], seconds=90, what=name)  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.timeout(400)  # a minute on a machine that has nothing else to do
class TestWorking:
    pytestmark = needs_namespaces

    def test_the_whole_job_goes_through_every_service(self, project: Project) -> None:
        found = deliver(project, "rows.csv", rows=30)

        assert found["counts"]["done"] == 30
        assert found["counts"]["rejected"] == 1
        assert all(row["postId"] for row in found["results"][:30])
        status, metrics = project.ask("GET", "metrics", 9464, "/metrics")
        assert status == 200
        assert b'rowrelay_outcomes_total{outcome="done",pipeline="posts"} 30.0' in metrics
        report = json.loads(project.ask("GET", "standin", 8900, "/report")[1])
        assert (report["arrivals"], report["over"]) == (30, 0)

    def test_a_definition_that_comes_or_changes_is_served_without_a_restart(
        self, project: Project, folder: Path
    ) -> None:
        path = "/api/deployments/name/deliver/added"
        login = {"Authorization": login_of(folder)}
        text = (ROOT / "deployments" / "pipelines" / "posts.yaml").read_text().replace("name: posts", "name: added")
        (folder / "pipelines" / "added.yaml").write_text(text)

        wait_until(lambda: project.ask("GET", "server", 4200, path, headers=login)[0] == 200, seconds=60, what="added")

    @pytest.mark.parametrize("name", ["services", "server"])
    def test_prefect_ends_in_order_when_it_is_told_to(self, project: Project, name: str) -> None:
        assert project.containers[name].stop(seconds=30) == 0, project.containers[name].log_text()[-2000:]
        start(project, name)


@pytest.mark.prove
@pytest.mark.timeout(900)
class TestRunning:
    pytestmark = needs_namespaces

    def test_prefect_wants_its_password_and_takes_nothing_from_other_sites(
        self, project: Project, folder: Path
    ) -> None:
        login = login_of(folder)
        read = ("GET", "server", 4200, "/api/admin/version")
        count = ("POST", "server", 4200, "/api/flow_runs/count")

        assert project.ask("GET", "server", 4200, "/api/health")[0] == 200
        assert project.ask(*read)[0] == 401
        assert project.ask(*read, headers={"Authorization": login})[0] == 200
        assert project.ask(*count, data=b"{}", headers={"Authorization": login})[0] == 403  # without a CSRF token

    def test_nobody_runs_as_root_or_sees_a_password_in_the_process_list(self, project: Project, folder: Path) -> None:
        words = [(folder / "secrets" / name).read_text() for name in ("redis_password", "postgres_password")]
        for name, container in project.containers.items():
            if container.one_shot:
                continue
            pid = container.pid
            tree = subprocess.run(
                ["nsenter", "-t", str(pid), "-m", "-p", "-r", "ps", "-eo", "user:20,args"],
                capture_output=True, text=True, check=True, cwd="/",
            ).stdout  # fmt: skip
            own = [line for line in tree.splitlines()[1:] if "ps -eo" not in line]
            assert not any(word in tree for word in words), name
            if container.ours:
                workers = [
                    line for line in own if not re.match(r"root +/bin/sh -c cd", line)
                ]  # stands for docker's init
                assert workers, name
                assert all(line.startswith("rowrelay") for line in workers), tree

    @pytest.mark.parametrize(
        "victim", ["worker-1", "dashboard", "services", "redis-prefect", "server", "postgres", "redis", "metrics"]
    )
    def test_everything_comes_back_after_one_container_dies(self, project: Project, victim: str) -> None:
        project.containers[victim].kill()
        deadline = time.monotonic() + 150
        ill: dict[str, str] = {victim: "killed"}
        while ill and time.monotonic() < deadline:
            project.restart_the_dead()
            checks = {name: each.healthy() for name, each in project.containers.items() if not each.one_shot}
            ill = {name: says for name, (well, says) in checks.items() if not well}
            time.sleep(0.5)
        assert not ill, ill

        found = deliver(project, f"{victim}.csv", rows=5)
        assert found["counts"]["done"] == 5, found
        report = json.loads(project.ask("GET", "standin", 8900, "/report")[1])
        assert (report["over"], report["bodies_acted_twice"]) == (0, 0)

    def test_a_backup_of_ledger_database_and_files_brings_everything_back(self, project: Project, folder: Path) -> None:
        """The commands of docs/operations.md, on a second set of containers' worth of data."""
        found = deliver(project, "kept.csv", rows=5)
        left = begin(project, "left.csv", posts("left.csv", 400))  # takes a minute: the backup is made within it
        wait_until(
            lambda: api(project, "GET", f"/runs/{left}")["counts"]["done"] >= 10, seconds=JOB_SECONDS, what="ten rows"
        )
        redis, postgres = project.containers["redis"], project.containers["postgres"]
        volumes = project.folder / "volumes"
        names = ["postgres", "redis", "data"]

        dump = postgres.run_inside(["sh", "-c", f"{PG} pg_dump {PG_OPTIONS} -Fc prefect | base64 -w0"])
        assert dump.returncode == 0, dump.stderr
        kept = project.folder / "backup"
        kept.mkdir()
        for command in ("CONFIG SET auto-aof-rewrite-percentage 0", "INFO persistence"):
            answer = redis.run_inside(["sh", "-c", f"{REDIS} redis-cli {command}"])
            assert answer.returncode == 0, answer.stderr
        assert "aof_rewrite_in_progress:0" in answer.stdout
        for name in ("redis", "data"):
            made = containers.run("tar", "czf", kept / f"{name}.tgz", "-C", volumes / name, ".", check=False)
            assert made.returncode in (0, 1), made.stderr  # 1: a file grew while it was read, as this one may

        order = ["worker-1", "worker-2", "dashboard", "metrics", "server", "services", "redis", "postgres"]
        for name in order:
            project.containers[name].kill()
        sent = arrivals(project)
        for name in names:
            shutil.rmtree(volumes / name)
        for name in ("redis", "data"):
            (volumes / name).mkdir()
            containers.run("tar", "xzf", kept / f"{name}.tgz", "-C", volumes / name)
        postgres.start()
        wait_until(lambda: postgres.healthy()[0], seconds=60, what="an empty PostgreSQL")
        restored = postgres.run_inside(
            ["sh", "-c", f"base64 -d | {PG} pg_restore {PG_OPTIONS} -d prefect --exit-on-error"], given=dump.stdout
        )
        assert restored.returncode == 0, restored.stderr
        start(project, "redis", "server")
        service = {**project.containers["worker-1"].service, "command": ["rowrelay", "restored", "--yes"]}
        told = Container(project, "worker-run", "worker", service, 90)  # docker compose run --rm --no-deps worker …
        told.start()
        assert told.process is not None
        assert told.process.wait(90) == 0, told.log_text()
        state = project.ask(
            "GET", "server", 4200, f"/api/flow_runs/{left}", headers={"Authorization": login_of(folder)}
        )
        assert json.loads(state[1])["state"]["type"] == "CANCELLED", told.log_text()
        start(project, "services", "worker-1", "worker-2", "dashboard", "metrics")

        counts = api(project, "GET", f"/runs/{left}")["counts"]
        assert counts["done"] >= 10
        assert (counts["waiting"], counts["unknown"] > 300) == (0, True), counts
        status, answer = project.ask("GET", "dashboard", 8501, f"/api/runs/{found['id']}/results.json")
        assert status == 200
        assert json.loads(answer)["result"] == found["results"]
        again = deliver(project, "after.csv", rows=5)
        assert again["counts"]["done"] == 5
        assert arrivals(project) == sent + 5
