"""The embedded stack, with real servers and real kills. Most tests ask for Redis alone, which starts in a moment."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from deployments.embedded import addresses as embedded
from deployments.embedded.locks import held
from deployments.embedded.prefect_server import PrefectServer
from deployments.embedded.reachable import redis_answers
from deployments.embedded.stack import StackAddresses, child_environment, use
from flows.errors import SettingError, StackError
from flows.ledger.connection import FORM, connect, masked
from flows.settings import Settings
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import ROOT

USER = """
import json, os, sys
from deployments.embedded.stack import use
from flows.settings import Settings
with use(Settings.read(), prefect="--prefect" in sys.argv, linger_seconds=0.5) as found:
    print(json.dumps([found.redis_url, found.prefect_api_url, found.started, sorted(found.embedded)]), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A data folder of the test's own, and no servers from outside."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return Settings(data=tmp_path / "data", redis_url=None)


class User:
    """Another process that uses the stack until its input ends."""

    def __init__(self, settings: Settings, *arguments: str, variables: dict[str, str] | None = None) -> None:
        base = {name: value for name, value in os.environ.items() if not name.startswith(("ROWRELAY_", "PREFECT_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, *arguments],
            env=base | {"ROWRELAY_DATA": str(settings.data)} | (variables or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def found(self) -> StackAddresses:
        """What it was given; waits for it."""
        assert self.process.stdout is not None
        redis_url, prefect_url, started, names = json.loads(self.process.stdout.readline())
        return StackAddresses(redis_url, prefect_url, started, frozenset(names))

    def leave(self) -> None:
        """Let it end in good order."""
        self.process.communicate(timeout=20)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.communicate(timeout=20)


@contextmanager
def user(settings: Settings, *arguments: str, variables: dict[str, str] | None = None) -> Iterator[User]:
    """Another user, gone at the end of the block at the latest."""
    other = User(settings, *arguments, variables=variables)
    try:
        yield other
    finally:
        if other.process.poll() is None:
            other.kill()


def use_redis(settings: Settings) -> AbstractContextManager[StackAddresses]:
    """A stack without Prefect that does not outlive its last user for long."""
    return use(settings, prefect=False, linger_seconds=0.5)


def redis_process(url: str) -> psutil.Process:
    """The server's process, which it names itself."""
    with redis.Redis.from_url(url) as client:
        info: dict[str, Any] = client.info("server")
        return psutil.Process(info["process_id"])


def writers(settings: Settings) -> list[psutil.Process]:
    """Every Redis that works in this data folder."""
    found = psutil.process_iter(["name", "cwd"])
    return [
        process
        for process in found
        if process.info["name"] == "valkey-server" and process.info["cwd"] == str(settings.data / "redis")
    ]


def supervised(settings: Settings) -> bool:
    """Whether the detached process is there."""
    return held(settings.data / "stack" / "supervisor.lock")


def wait_for_the_end(settings: Settings) -> None:
    wait_until(lambda: not supervised(settings), what="the stack to end")


def test_the_first_user_starts_it_and_the_second_shares_it(settings: Settings) -> None:
    with use_redis(settings) as first, use_redis(settings) as second, user(settings) as third:
        assert first.started
        assert not second.started
        assert second.redis_url == first.redis_url == third.found().redis_url
        assert redis_answers(first.redis_url)


def test_users_who_come_at_once_start_one_stack(settings: Settings) -> None:
    with user(settings) as a, user(settings) as b, user(settings) as c:
        found = [other.found() for other in (a, b, c)]

    assert len({addresses.redis_url for addresses in found}) == 1
    assert sum(addresses.started for addresses in found) == 1


def test_a_second_folder_gets_no_redis_while_the_first_ones_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two would be two limiters of one account."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    first, second = (
        Settings(data=tmp_path / name, redis_url=None, separate_stack=False) for name in ("first", "second")
    )
    with use_redis(first) as addresses:
        with pytest.raises(StackError, match="another one of yours is running") as refused, use_redis(second):
            pass
        assert f"ROWRELAY_DATA={first.data}" in str(refused.value)
        assert "ROWRELAY_SEPARATE_STACK=1" in str(refused.value)
        with use_redis(Settings(data=second.data, redis_url=None, separate_stack=True)) as apart:
            assert apart.redis_url != addresses.redis_url
    wait_for_the_end(first)
    with use_redis(second) as later:
        assert redis_answers(later.redis_url)


def test_the_last_user_out_ends_it_also_if_killed(settings: Settings) -> None:
    with user(settings) as killed:
        with use_redis(settings) as addresses:
            killed.found()
            server = redis_process(addresses.redis_url)
        with pytest.raises(psutil.TimeoutExpired):
            server.wait(2)  # longer than it lingers: one user is left

        killed.kill()

        server.wait(15)
        wait_for_the_end(settings)
    assert not redis_answers(addresses.redis_url)


def test_a_killed_redis_comes_back_on_its_port_with_its_data(settings: Settings) -> None:
    with use_redis(settings) as addresses, redis.Redis.from_url(addresses.redis_url) as client:
        client.set("kept", "yes")
        server = redis_process(addresses.redis_url)

        server.kill()

        wait_until(lambda: not server.is_running() and redis_answers(addresses.redis_url), what="Redis to come back")
        assert client.get("kept") == b"yes"


def test_a_killed_supervisor_takes_its_servers_along_and_is_replaced(settings: Settings) -> None:
    """Its orphan holds the folder's lock until it is gone, so two servers never write to one append-only file."""
    with use_redis(settings) as addresses, redis.Redis.from_url(addresses.redis_url) as client:
        client.set("kept", "yes")
        server = redis_process(addresses.redis_url)
        supervisor = server.parent()
        assert supervisor is not None
        assert "deployments.embedded.supervisor" in " ".join(supervisor.cmdline())

        supervisor.kill()

        server.wait(10)
        wait_until(lambda: redis_answers(addresses.redis_url), what="Redis to come back at its address")
        assert client.get("kept") == b"yes"


def test_a_frozen_orphan_keeps_a_second_server_off_its_data(settings: Settings) -> None:
    with use_redis(settings) as addresses:
        server = redis_process(addresses.redis_url)
        supervisor = server.parent()
        assert supervisor is not None
        server.suspend()
        try:
            supervisor.kill()
            log = settings.data / "stack" / "supervisor.log"
            wait_until(lambda: log.read_text().count("looks after") == 2, what="a new supervisor")
            with pytest.raises(psutil.TimeoutExpired):
                server.wait(1)  # the wrong thing would happen within milliseconds

            assert writers(settings) == [server]
        finally:
            server.resume()
        server.wait(10)
        wait_until(lambda: redis_answers(addresses.redis_url), what="Redis")


def test_a_port_is_kept_between_starts_unless_somebody_has_taken_it(settings: Settings) -> None:
    with use_redis(settings) as first:
        pass
    wait_for_the_end(settings)
    with use_redis(settings) as second:
        assert second.started
        assert second.redis_url == first.redis_url
    wait_for_the_end(settings)

    port = int(first.redis_url.rpartition(":")[2].removesuffix("/0"))
    with socket.create_server(("127.0.0.1", port)), use_redis(settings) as third:
        assert third.redis_url != first.redis_url
        assert redis_answers(third.redis_url)


def test_sigterm_ends_it_in_good_order(settings: Settings) -> None:
    with user(settings) as other:
        server = redis_process(other.found().redis_url)
        supervisor = server.parent()
        assert supervisor is not None
        other.process.send_signal(signal.SIGSTOP)  # or it would start another one

        supervisor.terminate()

        server.wait(10)
        assert "bye bye" in (settings.data / "redis" / "server.log").read_text()
        other.kill()


def test_what_it_writes_is_for_its_owner_alone(settings: Settings) -> None:
    with use_redis(settings) as addresses:
        with redis.Redis.from_url(addresses.redis_url) as client:
            client.set("row", "a person's name")
        password = addresses.redis_url.split(":")[2].split("@")[0]

        assert (settings.data / "stack").stat().st_mode & 0o077 == 0
        assert (settings.data / "stack" / "stack.json").stat().st_mode & 0o077 == 0
        assert (settings.data / "redis").stat().st_mode & 0o077 == 0
        assert password not in " ".join(redis_process(addresses.redis_url).cmdline())
        assert all(password not in line.address for line in embedded.status(settings))


def test_what_keeps_it_from_starting_is_said_and_can_be_mended(settings: Settings) -> None:
    settings.data.mkdir()
    (settings.data / "redis").write_text("in the way")
    with (
        pytest.raises(StackError, match="The embedded Redis did not start: ") as caught,
        use_redis(settings),
    ):
        pass
    assert "ROWRELAY_REDIS_URL" in caught.value.hint

    (settings.data / "redis").unlink()
    with use_redis(settings) as addresses:
        assert redis_answers(addresses.redis_url)


def test_a_data_folder_that_cannot_be_one_is_named(settings: Settings) -> None:
    settings.data.write_text("a file")

    with pytest.raises(StackError, match=f"data folder {settings.data} cannot be used") as caught, use_redis(settings):
        pass

    assert "ROWRELAY_DATA" in caught.value.hint


def test_a_redis_from_outside_is_used_and_none_is_started(settings: Settings, redis_url: str) -> None:
    given = settings.model_copy(update={"redis_url": embedded_secret(redis_url)})

    with use_redis(given) as addresses:
        assert addresses == StackAddresses(redis_url, "", started=False)
        assert not supervised(given)


def embedded_secret(url: str) -> Any:
    return Settings(redis_url=url).redis_url  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["redis://:secret@127.0.0.1:1/0", "http://127.0.0.1:1", "redis://127.0.0.1:port/0"])
def test_a_redis_that_does_not_answer_is_named_without_its_password(settings: Settings, address: str) -> None:
    given = settings.model_copy(update={"redis_url": embedded_secret(address)})

    with pytest.raises(StackError) as caught, use(given):
        pass

    assert "Redis at" in caught.value.message
    assert "127.0.0.1:" in caught.value.message
    assert "secret" not in str(caught.value)
    assert "ROWRELAY_REDIS_URL" in caught.value.hint


# As people paste them into an address, where they should be written in percent.
PASSWORDS = ["se/cret", "se?cret", "se#cret", "se@cret", "se@cret/se", "12/secret", "[secret", "se?a=cret@se"]
secrets = pytest.mark.parametrize("password", PASSWORDS)


def parts(password: str) -> set[str]:
    """What must not be seen of it."""
    return {part for part in re.split("[^a-z0-9]", password) if len(part) > 1}


@secrets
def test_nothing_of_a_password_that_breaks_its_address_is_shown(settings: Settings, password: str) -> None:
    given = settings.model_copy(update={"redis_url": embedded_secret(f"redis://:{password}@127.0.0.1:1/0")})

    with pytest.raises(StackError) as refused, use(given):
        pass
    with pytest.raises((SettingError, redis.ConnectionError)) as unusable:
        connect(given.redis_address).ping()
    (line,) = (each for each in embedded.status(given) if each.name == "Redis")

    assert not line.reachable
    assert line.detail
    for text in (str(refused.value), str(unusable.value), line.address, line.detail):
        shown = text.replace(FORM, "").replace("ROWRELAY_REDIS_URL is no Redis address.", "")
        assert not {part for part in parts(password) if re.search(rf"\b{part}\b", shown)}, shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://me:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://:se/c#r@et@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://host/0?password=secret", "redis://host/0"),
        ("redis://host/0?password=secr@et", "redis://:***@***"),
        (":secret@host:6379", ":***@host:6379"),
        ("https://me:secret@prefect.example/api", "https://:***@prefect.example/api"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock"),
    ],
)
def test_an_address_is_shown_without_what_may_be_a_password(address: str, shown: str) -> None:
    assert masked(address) == shown


@secrets
def test_nothing_of_the_password_in_prefects_address_is_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://me:{password}@127.0.0.1:1/api")

    with pytest.raises(StackError) as refused, use(settings):
        pass

    assert not {part for part in parts(password) if re.search(rf"\b{part}\b", str(refused.value))}


@pytest.mark.parametrize("command", [["up"], ["send", "samples/posts.csv"], ["runs"]])
def test_no_command_shows_a_password_that_breaks_its_address(settings: Settings, command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ROWRELAY_", "PREFECT_"))}
    environment |= {"ROWRELAY_DATA": str(settings.data), "ROWRELAY_REDIS_URL": "redis://:12/se?c#r@et@127.0.0.1:1/0"}
    program = "import sys; from deployments.commands.cli import main; sys.exit(main())"

    done = subprocess.run(
        [sys.executable, "-c", program, *command], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    said = (done.stdout + done.stderr).replace("\n", " ")
    assert done.returncode == 2, said
    assert "no Redis address" in said
    assert "%2F" in said
    assert not re.search(r"\b(12|se|r|et)\b", said), said


@pytest.mark.parametrize("name", ["ROWRELAY_REDIS_URL", "PREFECT_API_URL"])
def test_where_a_server_has_to_be_there_none_is_said_by_the_name_of_its_variable(settings: Settings, name: str) -> None:
    find = {"ROWRELAY_REDIS_URL": embedded.redis_url, "PREFECT_API_URL": embedded.prefect_api_url}[name]
    with pytest.raises(StackError, match="is not running") as caught:
        find(settings)
    assert name in caught.value.hint


def test_a_redis_that_is_not_set_is_called_so(settings: Settings) -> None:
    with pytest.raises(SettingError, match="ROWRELAY_REDIS_URL is not set"):
        _ = settings.redis_address


def test_the_one_that_is_set_goes_before_the_embedded_one(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert embedded.redis_url(stack.settings) == stack.addresses.redis_url
    assert embedded.prefect_api_url(stack.settings) == stack.addresses.prefect_api_url

    given = stack.settings.model_copy(update={"redis_url": embedded_secret("redis://:a@b/0")})
    monkeypatch.setenv("PREFECT_API_URL", "http://other/api/")
    assert embedded.redis_url(given) == "redis://:a@b/0"
    assert embedded.prefect_api_url(given) == "http://other/api"


def test_a_wrong_password_is_said(settings: Settings, redis_url: str) -> None:
    wrong = "redis://:wrong@" + redis_url.partition("@")[2]

    with (
        pytest.raises(StackError, match="password"),
        use(settings.model_copy(update={"redis_url": embedded_secret(wrong)})),
    ):
        pass


def test_a_prefect_server_that_does_not_answer_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")

    with (
        pytest.raises(StackError, match=r"Prefect server at http://127\.0\.0\.1:1/api cannot be used") as caught,
        use(settings),
    ):
        pass

    assert "PREFECT_API_URL" in caught.value.hint
    assert not supervised(settings)  # checked before anything is started


def test_an_address_without_api_is_refused(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", stack.addresses.prefect_api_url + "/nothing")

    with pytest.raises(StackError, match="answered 404; the address should end in /api"), use(stack.settings):
        pass


def test_the_whole_stack_answers_and_says_where(stack: RunningStack) -> None:
    lines = embedded.status(stack.settings)

    assert [(line.name, line.reachable, line.embedded) for line in lines] == [
        ("Redis", True, True),
        ("Prefect server", True, True),
    ]
    assert lines[1].address == stack.addresses.prefect_api_url


def test_what_is_set_for_another_prefect_server_does_not_reach_the_embedded_ones_users(
    stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")
    for name in foreign:
        monkeypatch.setenv(name, "of another server")

    found = child_environment(stack.addresses, stack.settings)

    assert not set(foreign) & set(found)
    assert found["PREFECT_API_URL"] == stack.addresses.prefect_api_url
    assert found["PATH"]


def test_places_that_were_given_relative_to_here_are_told_a_child_that_works_elsewhere_in_full(
    stack: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"pipelines": (Path("a"), Path("/b.yaml")), "folders": (Path("c"),), "secrets": Path("d"), "storage": "e"}
    here = stack.settings.model_copy(update=given)

    found = child_environment(stack.addresses, here)
    bucket = child_environment(stack.addresses, here.model_copy(update={"storage": "s3://bucket/e", "secrets": None}))

    assert found["ROWRELAY_PIPELINES"] == f"{tmp_path}/a:/b.yaml"
    assert found["ROWRELAY_FOLDERS"] == f"{tmp_path}/c"
    assert found["ROWRELAY_SECRETS"] == f"{tmp_path}/d"
    assert found["ROWRELAY_STORAGE"] == f"{tmp_path}/e"
    assert bucket.get("ROWRELAY_STORAGE") == os.environ.get("ROWRELAY_STORAGE")


def test_a_child_with_its_environment_shares_the_stack(stack: RunningStack) -> None:
    """The addresses in the environment are the stack's own: the child counts as a user."""
    with user(stack.settings, "--prefect", variables=stack.environment) as child:
        found = child.found()

    assert found.prefect_api_url == stack.addresses.prefect_api_url
    assert found.embedded == {"redis", "prefect"}
    assert not found.started


def test_the_prefect_server_takes_no_orders_from_other_web_pages(stack: RunningStack) -> None:
    filter_runs = urllib.request.Request(f"{stack.addresses.prefect_api_url}/flow_runs/filter", b"{}", method="POST")
    filter_runs.add_header("Content-Type", "application/json")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(filter_runs)

    health = urllib.request.Request(
        f"{stack.addresses.prefect_api_url}/health", headers={"Origin": "http://evil.example"}
    )
    with urllib.request.urlopen(health) as answer:
        assert "access-control-allow-origin" not in answer.headers


def test_a_prefect_server_that_is_still_writing_is_not_stopped(tmp_path: Path) -> None:
    """It drops what it has not written down yet: after 1,000 quick task runs that was 294 of them."""
    server = PrefectServer(tmp_path)
    assert not server.busy()

    with closing(sqlite3.connect(server.database)) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.execute("CREATE TABLE task_run (id)")
        assert server.busy()

        os.utime(tmp_path / "prefect.db-wal", (1, 1))  # stands in for seconds without a write
        assert not server.busy()


def test_the_prefect_ui_finds_its_api(stack: RunningStack) -> None:
    root = stack.addresses.prefect_api_url.removesuffix("/api")
    with urllib.request.urlopen(f"{root}/ui-settings") as answer:
        assert json.load(answer)["api_url"] == stack.addresses.prefect_api_url


def test_prefect_keeps_its_home_in_the_data_folder(stack: RunningStack) -> None:
    assert (stack.settings.data / "prefect" / "prefect.db").exists()
    assert stack.environment["PREFECT_HOME"] == str(stack.settings.data / "prefect")
