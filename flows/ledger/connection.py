"""One way to reach Redis, and the checks that it is one that can be trusted with what became of each row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis

from flows.errors import LedgerError, SettingError, StackError
from flows.ledger.keys import VERSION, VERSION_KEY
from flows.ledger.patience import Patience, no_retry

TIMEOUT_SECONDS = 5.0
OLDEST = (6, 2)
FORM = "Write it as redis://:password@host:6379/0, where / ? # @ % [ of the password are %2F %3F %23 %40 %25 %5B."
# Of a password with / ? or # the beginning would be taken, and told, for the host. A @ may stand in the parameters only
# of an address that has one before its host.
_CUT_SHORT = re.compile(r"rediss?://(?![^/?#]*@[^/?#@]*(?:/\d*)?\?)[^/?#]*[/?#].*@", re.DOTALL)


def masked(url: str) -> str:
    """An address for messages: without user and password, and without parameters, which may hold some as well.

    It is not parsed, as the password may be what is wrong with it.
    """
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    hidden, at, place = rest.rpartition("@")
    if not at and place.startswith(":"):  # a password whose host was forgotten
        place = "***"
    if "?" in hidden:  # of the password, or the beginning of parameters, whose end would then be shown
        place = "***"
    return f"{scheme}{mark}{':***@' if at else ''}{place.partition('?')[0]}"


def connect(url: str, *, patience: Callable[[], float] | None = None) -> redis.Redis:
    """A client whose calls are never repeated behind our back. Raises SettingError for a URL that is none.

    With `patience` they are: a Redis that is away is waited for, at most so many seconds a call. Each command and each
    transaction must bear repetition then.
    """
    wrong = SettingError("ROWRELAY_REDIS_URL is no Redis address.", hint=FORM)
    if _CUT_SHORT.match(url):
        raise wrong
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Patience(patience) if patience else no_retry(),
            health_check_interval=30,
        )
    except ValueError:
        raise wrong from None  # its text would show a part of the password


@contextmanager
def translated() -> Iterator[None]:
    """Redis' errors as ours, for callers that cannot go on without an answer."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as exc:
        raise StackError(f"Redis does not answer: {exc}", hint="Start it, or set ROWRELAY_REDIS_URL.") from exc
    except redis.RedisError as exc:
        raise LedgerError(f"Redis refused: {exc}") from exc


def verify(client: redis.Redis) -> None:
    """Refuse a Redis that could lose or misread the ledger.

    Raises:
        StackError: it does not answer.
        LedgerError: too old, evicting, a replica or cluster, or holding data of another version.
    """
    with translated():
        info: dict[str, Any] = client.info()
        _verify_server(info)
        client.set(VERSION_KEY, VERSION, nx=True)
        found = client.get(VERSION_KEY)
    if found != str(VERSION).encode():
        text = found.decode(errors="replace") if isinstance(found, bytes) else str(found)
        raise LedgerError(
            f"Redis holds a ledger of version {text}; this program reads version {VERSION} only.",
            hint="Use the program version that wrote it, or another database (/0 at the end of ROWRELAY_REDIS_URL).",
        )


def cautions(client: redis.Redis) -> list[str]:
    """What a Redis that will do may still lose, in words; nothing if it keeps all it was told."""
    with translated():
        info: dict[str, Any] = client.info()
    return [*_persistence(client, info), *_copies(client, info)]


def _persistence(client: redis.Redis, info: dict[str, Any]) -> Iterator[str]:
    loss = "which rows were sent is then forgotten, and they may be sent again"
    if not info.get("aof_enabled"):
        yield (
            f"Redis keeps no append-only file: what was recorded since its last snapshot is lost if it ends; {loss}."
            " Set `appendonly yes` and `appendfsync always` in its configuration."
        )
    elif (how := _setting(client, "appendfsync")) not in ("", "always"):
        yield (
            f"Redis does not write each record to the disk at once (appendfsync is {how}): a second or more of them is"
            f" lost with the power; {loss}. Set `appendfsync always` in its configuration."
        )


def _copies(client: redis.Redis, info: dict[str, Any]) -> Iterator[str]:
    why = "a replica that takes over lags behind, so the limit can be broken and rows can be sent twice"
    if int(info.get("connected_slaves") or 0):
        yield f"Redis has {info['connected_slaves']} replica(s): {why}. Do not promote one while runs go on."
    if _watched(client):
        yield f"A Redis Sentinel watches this Redis and may promote a replica: {why}. Use a server without Sentinel."


def _setting(client: redis.Redis, name: str) -> str:
    """A setting of the server, or nothing where it does not tell, as many that are rented do."""
    try:
        found: dict[Any, Any] = client.config_get(name)
    except redis.RedisError:
        return ""
    return str(found.get(name, ""))


def _watched(client: redis.Redis) -> bool:
    try:
        clients: list[dict[str, str]] = client.client_list(_type="normal")
    except redis.RedisError:
        return False
    return any(other.get("name", "").startswith("sentinel-") for other in clients)


def _verify_server(info: dict[str, Any]) -> None:
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise LedgerError(f"Redis {version} is too old.", hint="Use Redis 6.2 or later, or Valkey.")
    if info.get("redis_mode") == "sentinel":
        raise LedgerError("This is a Redis Sentinel, not a Redis.", hint="Name the server in ROWRELAY_REDIS_URL.")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise LedgerError(
            f"Redis may throw keys away (maxmemory-policy is {policy}): rows and limits could be forgotten.",
            hint="Set `maxmemory-policy noeviction` in its configuration.",
        )
    if info.get("cluster_enabled"):
        raise LedgerError(
            "Redis Cluster is refused: a failover could forget who was sent what.", hint="Use one server."
        )
    if info.get("role", "master") not in ("master", "primary"):
        raise LedgerError("This Redis is a replica.", hint="Name the primary in ROWRELAY_REDIS_URL.")
