"""Whether a Redis or a Prefect server answers, and why it does not, in words that hold no password."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException, InvalidURL

import redis

from flows.client.proxy import is_own
from flows.errors import SettingError
from flows.ledger.connection import FORM, connect, masked
from flows.ledger.patience import no_retry

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # 127.0.0.1 is never behind a proxy


def redis_answers(url: str, *, seconds: float = 2.0) -> bool:
    """Whether a Redis answers a ping at this address."""
    try:
        with redis.Redis.from_url(
            url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=no_retry()
        ) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def prefect_answers(url: str, *, seconds: float = 2.0) -> bool:
    """Whether a Prefect server on this machine says that it is healthy."""
    try:
        with _direct.open(f"{url}/health", timeout=seconds) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPException, ValueError):
        return False


def redis_problem(url: str) -> str:
    """Why a Redis cannot be used, or nothing."""
    try:
        with connect(url) as client:
            client.ping()
    except (SettingError, ValueError):  # their texts could show a part of the password
        return f"it is no Redis address. {FORM}"
    except redis.RedisError as exc:
        return str(exc) or type(exc).__name__
    return ""


def prefect_problem(url: str) -> str:
    """Why a Prefect server that is not ours cannot be used, or nothing."""
    if not url.startswith(("http://", "https://")):
        return "the address should begin with http:// or https://"
    try:
        direct = [urllib.request.ProxyHandler({})] if is_own(url) else []
        with urllib.request.build_opener(*direct).open(f"{url}/health", timeout=5):
            return ""
    except urllib.error.HTTPError as exc:
        if exc.code in (401, 403):  # it is there; whether the credentials are right is for Prefect to say
            return ""
        return f"GET {masked(url)}/health answered {exc.code}; the address should end in /api"
    except (InvalidURL, ValueError):  # their texts could show a part of a password
        return "it is no address of a server"
    except (OSError, HTTPException) as exc:
        return str(getattr(exc, "reason", exc))
