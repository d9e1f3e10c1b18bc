"""Containers by hand, for tests: what docker-compose.yml says, in namespaces of this machine, without an engine.

Each container has a root folder, network address, host name and process tree of its own. Ours run the repository
and the virtual environment of the tests in place of the built image; Redis and PostgreSQL are the machine's own.
Needs root.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from deployments.embedded.children import die_with_parent

ROOT = Path(__file__).resolve().parents[2]
VENV = Path(sys.prefix)
PYTHON = Path(sys.base_prefix)
NET = "10.77.0."
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if Path("/usr/lib/postgresql").exists() else []
TOOLS = "/usr/sbin:/usr/bin:/sbin:/bin"

# What docker's init does: hand signals on, collect the dead. A shell lets what it starts beside itself ignore SIGINT.
INIT = """cd "$0"; env --default-signal=INT "$@" & c=$!
trap "kill -TERM $c" TERM; trap "kill -INT $c" INT
while kill -0 $c 2>/dev/null; do wait $c; rc=$?; done; exit $rc"""
PLAIN = 'cd "$0"; exec "$@"'
# What the entry point of the official image does, as far as the compose file relies on it.
POSTGRES_ENTRY = """
if [ ! -e "$PGDATA/PG_VERSION" ]; then
  initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" -A scram-sha-256 >/dev/null
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start >/dev/null
  PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE") createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl -D "$PGDATA" -w stop >/dev/null
fi
exec "$@" -c listen_addresses='*'
"""


def parsed(*profiles: str, folder: Path = ROOT, environment: Path | None = None) -> dict[str, Any]:
    """The compose file as docker-compose understands it, with every variable and anchor resolved."""
    from ruamel.yaml import YAML

    command = ["docker-compose", "--project-directory", str(folder), "-f", str(ROOT / "docker-compose.yml")]
    command += ["--env-file", str(environment or ROOT / ".env.example")]
    for profile in profiles:
        command += ["--profile", profile]
    done = subprocess.run([*command, "config"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = YAML(typ="safe").load(done.stdout.replace("$$", "$"))
    return found


def image_environment() -> dict[str, str]:
    """The variables that the Dockerfile's last stage sets."""
    last = (ROOT / "Dockerfile").read_text().split("\nFROM ")[-1].replace("\\\n", " ")
    line = re.search(r"^ENV (.*)$", last, flags=re.MULTILINE)
    assert line is not None
    return dict(part.split("=", 1) for part in shlex.split(line[1]))


def run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=check, timeout=120)


class Project:
    """The containers of a compose file on a network of their own. `folder` gets logs and volumes."""

    def __init__(
        self, folder: Path, services: dict[str, Any], *, secrets: Path, replicas: dict[str, int] | None = None
    ):
        self.folder = folder
        self.secrets = secrets
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "7200"], preexec_fn=die_with_parent(signal.SIGKILL))
        self._on_net("ip", "link", "add", "br0", "type", "bridge")
        self._on_net("ip", "addr", "add", f"{NET}1/24", "dev", "br0")
        self._on_net("ip", "link", "set", "br0", "up")
        self._on_net("ip", "link", "set", "lo", "up")
        self.containers: dict[str, Container] = {}
        for name, service in services.items():
            for number in range(1, (replicas or {}).get(name, 1) + 1):
                own = f"{name}-{number}" if name in (replicas or {}) else name
                self.containers[own] = Container(self, own, name, service, len(self.containers) + 10)
        hosts = ["127.0.0.1 localhost", *(f"{each.address} {each.name}" for each in self.containers.values())]
        (folder / "hosts").write_text("\n".join(hosts) + "\n")
        passwd = Path("/etc/passwd").read_text() + "rowrelay:x:10001:10001::/tmp:/usr/sbin/nologin\n"
        (folder / "passwd").write_text(passwd)

    def _on_net(self, *command: str) -> None:
        for _ in range(200):  # the holder needs a moment to have its namespace
            if os.readlink(f"/proc/{self.holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"):
                break
            time.sleep(0.01)
        run("nsenter", "-t", str(self.holder.pid), "-n", *command)

    def up(self, *, seconds: float = 180) -> dict[str, float]:
        """Start everything in the order of `depends_on`, as compose does; seconds after which each was as wanted."""
        began = time.monotonic()
        took: dict[str, float] = {}
        waiting = dict(self.containers)
        while len(took) < len(self.containers):
            assert time.monotonic() - began < seconds, (
                f"{sorted(self.containers.keys() - took)} not up: {self.last_words()}"
            )
            for name, container in list(waiting.items()):
                if all(self._met(other, how["condition"], took) for other, how in container.depends.items()):
                    container.start()
                    del waiting[name]
            for name, container in self.containers.items():
                if name not in waiting and name not in took and container.as_wanted():
                    took[name] = time.monotonic() - began
            time.sleep(0.1)
        return took

    def _met(self, service: str, condition: str, took: dict[str, float]) -> bool:
        others = [each for each in self.containers.values() if each.service_name == service]
        if condition == "service_started":
            return all(each.process for each in others)
        return all(
            each.name in took and (each.one_shot == (condition == "service_completed_successfully")) for each in others
        )

    def restart_the_dead(self) -> list[str]:
        """What an engine does by `restart: unless-stopped`; the names of those that had ended."""
        dead = [c for c in self.containers.values() if not c.one_shot and c.process and c.process.poll() is not None]
        for container in dead:
            container.start()
        return [container.name for container in dead]

    def last_words(self) -> str:
        return "\n".join(f"--- {name}: {c.log_text()[-1500:]}" for name, c in self.containers.items() if c.process)

    def ask(
        self,
        method: str,
        service: str,
        port: int,
        path: str,
        *,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """An HTTP request from the host to a published port: status and body. Host is what a browser would send."""
        address = self.containers[service].address
        command = ["nsenter", "-t", str(self.holder.pid), "-n", sys.executable, "-c", _ASK]
        given = {
            "url": f"http://{address}:{port}{path}",
            "method": method,
            "headers": {"Host": f"127.0.0.1:{port}", **(headers or {})},
        }
        done = subprocess.run([*command, json.dumps(given)], input=data or b"", capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        status, _, body = done.stdout.partition(b"\n")
        return int(status), body

    def down(self) -> None:
        for container in reversed(self.containers.values()):
            container.kill()
        self.holder.kill()
        self.holder.wait()


_ASK = """
import sys, json, urllib.request, urllib.error
a = json.loads(sys.argv[1]); d = sys.stdin.buffer.read() or None
r = urllib.request.Request(a["url"], data=d, method=a["method"], headers=a["headers"])
try:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(r, timeout=30) as f: s, b = f.status, f.read()
except urllib.error.HTTPError as e: s, b = e.code, e.read()
except OSError as e: s, b = 0, str(e).encode()
sys.stdout.buffer.write(f"{s}\\n".encode() + b)
"""


class Container:
    """One container; `start` may be called again after its end."""

    def __init__(self, project: Project, name: str, service_name: str, service: dict[str, Any], number: int) -> None:
        self.project, self.name, self.service_name, self.service = project, name, service_name, service
        self.address = f"{NET}{number}"
        self.number = number
        self.depends: dict[str, dict[str, str]] = service.get("depends_on") or {}
        self.ours = str(service["image"]).startswith("rowrelay:")
        self.one_shot = service.get("restart") in ("on-failure", "no")
        self.root = project.folder / "roots" / name
        self.log = project.folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._looked_at = 0.0

    @property
    def user(self) -> str:
        if self.ours:
            return "10001"
        return (
            "postgres"
            if "postgres" in self.service["image"]
            else "redis"
            if "redis" in self.service["image"]
            else "root"
        )

    @property
    def environment(self) -> dict[str, str]:
        own = {
            key: "" if value is None else str(value) for key, value in (self.service.get("environment") or {}).items()
        }
        path = ":".join([*(str(path) for path in POSTGRES), "/usr/local/bin", TOOLS])
        return {"PATH": path, "LANG": "C.UTF-8", **(image_environment() if self.ours else {}), **own}

    @property
    def command(self) -> list[str]:
        command = [str(part) for part in self.service["command"]]
        if self.ours:
            return ["python", "-m", "deployments.container.entrypoint", *command]
        return ["sh", "-ec", POSTGRES_ENTRY, "sh", *command] if "postgres" in self.service["image"] else command

    def start(self) -> None:
        script = self.project.folder / f"{self.name}.sh"
        script.write_text("\n".join(self._script()) + "\n")
        with self.log.open("ab") as log:
            own_spaces = ["unshare", "-m", "-n", "-u", "-i", "-p", "--fork", "--kill-child", "--propagation", "private"]
            self.process = subprocess.Popen(
                [*own_spaces, "sh", "-eu", str(script)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": TOOLS},
                cwd="/",
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        link = f"v{self.number}"
        own = f"/proc/{self.process.pid}/ns/net"
        while os.readlink(own) == os.readlink("/proc/self/ns/net"):
            time.sleep(0.005)
        run("nsenter", "-t", str(self.project.holder.pid), "-n", "ip", "link", "delete", link, check=False)
        # As Docker's does, the hardware's address follows from the other one: neighbours remember it for half a minute.
        mac = f"02:42:0a:4d:00:{self.number:02x}"
        peer = ["peer", "name", "eth0", "address", mac, "netns", str(self.process.pid)]
        self.project._on_net("ip", "link", "add", link, "type", "veth", *peer)
        self.project._on_net("ip", "link", "set", link, "master", "br0", "up")

    def _script(self) -> list[str]:
        root, quote = self.root, shlex.quote
        root.mkdir(parents=True, exist_ok=True)

        def bind(source: Path | str, target: str, *, read_only: bool = True) -> list[str]:
            place, origin = quote(f"{root}{target}"), quote(str(source))
            make = f"mkdir -p {place}" if Path(source).is_dir() else f'mkdir -p "$(dirname {place})"; touch {place}'
            lines = [f"[ -e {place} ] || {{ {make}; }}", f"mount --bind {origin} {place}"]
            return lines + ([f"mount -o remount,bind,ro {place}"] if read_only else [])

        lines = [f"hostname {self.name}", f"mount -t tmpfs -o mode=755 tmpfs {root}"]
        for name in ("usr", "bin", "sbin", "lib", "lib64", "etc"):
            if Path("/", name).is_symlink():
                lines.append(f"cp -P /{name} {root}/{name}")
            elif Path("/", name).exists():
                lines += bind(f"/{name}", f"/{name}")
        lines += bind(self.project.folder / "hosts", "/etc/hosts")
        lines += bind(self.project.folder / "passwd", "/etc/passwd")
        lines += [
            f"mkdir -p {root}/proc {root}/dev {root}/tmp {root}/run/postgresql {root}/run/secrets",
            f"mkdir -p {root}/var {root}/app",
            f"ln -s /run {root}/var/run",
            f"chown {self.user} {root}/run/postgresql",
            f"mount -t proc proc {root}/proc",
            f"mount --rbind /dev {root}/dev",
            f"mount -t tmpfs -o mode=1777 tmpfs {root}/dev/shm",
            f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp",
        ]
        if self.ours:
            lines += bind(PYTHON, str(PYTHON)) if not PYTHON.is_relative_to("/usr") else []
            lines += bind(VENV, str(VENV)) + bind(VENV, "/opt/venv")
            for name in ("flows", "deployments", "dashboard", "pyproject.toml"):
                lines += bind(ROOT / name, f"/app/{name}")
        for secret in self.service.get("secrets") or ():
            name = secret["source"] if isinstance(secret, dict) else secret
            lines += bind(self.project.secrets / name, f"/run/secrets/{name}")
        for volume in self.service.get("volumes") or ():
            source, target, *mode = str(volume).split(":")
            path = Path(source) if source.startswith("/") else self.project.folder / "volumes" / source
            if not path.exists():
                path.mkdir(parents=True)
                if not source.startswith("/"):
                    shutil.chown(path, int(self.user) if self.user.isdigit() else self.user)
            lines += bind(path, target, read_only=mode == ["ro"])
        if self.service.get("read_only"):
            lines.append(f"mount -o remount,ro {root}")
        lines += [
            "until ip link set eth0 up 2>/dev/null; do sleep 0.02; done",
            "ip link set lo up",
            f"ip addr add {self.address}/24 dev eth0",
            f"ip route add default via {NET}1",
        ]
        shell = INIT if self.service.get("init") else PLAIN
        inside = [*self._as_user(), *self.command]
        lines.append(
            shlex.join(["exec", "chroot", str(root), "/bin/sh", "-c", shell, "/app" if self.ours else "/", *inside])
        )
        return lines

    def _as_user(self) -> list[str]:
        group = self.user if self.user != "root" else "root"
        drop = ["setpriv", "--reuid", self.user, "--regid", group, "--clear-groups"]
        drop += ["--no-new-privs", "--bounding-set", "-all"] if self.user != "root" else []
        return [*drop, "env", "-i", *(f"{key}={value}" for key, value in self.environment.items())]

    @property
    def pid(self) -> int | None:
        """The container's first process, as this machine numbers it."""
        if self.process is None or self.process.poll() is not None:
            return None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def run_inside(self, command: list[str], *, given: str = "") -> subprocess.CompletedProcess[str]:
        """As `docker exec` does: the container's environment and user, but not its entry point."""
        pid = self.pid
        if pid is None:
            return subprocess.CompletedProcess(command, 125, "", "not running")
        enter = ["nsenter", "-t", str(pid), "-m", "-n", "-u", "-i", "-p", "-r", "--"]
        where = ["sh", "-c", PLAIN, "/app" if self.ours else "/"]
        whole = [*enter, *where, *self._as_user(), *command]
        return subprocess.run(whole, input=given, capture_output=True, text=True, timeout=60, cwd="/")

    def healthy(self) -> tuple[bool, str]:
        """What its health check says."""
        kind, *test = [str(part) for part in self.service["healthcheck"]["test"]]
        done = self.run_inside(test if kind == "CMD" else ["sh", "-c", *test])
        return done.returncode == 0, (done.stdout + done.stderr).strip()

    def as_wanted(self) -> bool:
        """Healthy, or for a one-shot: ended well."""
        assert self.process is not None
        code = self.process.poll()
        if self.one_shot:
            assert code in (None, 0), f"{self.name} ended with {code}: {self.log_text()[-3000:]}"
            return code == 0
        assert code is None, f"{self.name} ended with {code}: {self.log_text()[-3000:]}"
        if time.monotonic() - self._looked_at < 1:
            return False
        self._looked_at = time.monotonic()
        return self.healthy()[0]

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        """As if the machine had pulled its plug: every process of it, at once."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(20)

    def stop(self, *, seconds: float) -> int:
        """The service's `stop_signal`, as `docker stop` does; its exit code."""
        pid = self.pid
        assert pid is not None
        assert self.process is not None
        os.kill(pid, signal.Signals[self.service.get("stop_signal", "SIGTERM")])
        return self.process.wait(seconds)
