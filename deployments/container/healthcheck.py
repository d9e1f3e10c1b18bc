"""Health checks for containers: `… healthcheck URL`, or `services` for Prefect's background services.

Exits 0 if well, 1 if not, saying why: that is what `docker inspect` shows.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import urllib.request
from http.client import HTTPException

SECONDS = 4.0  # less than the time-out of the check itself
BEAT_SECONDS = 15.0  # the services say every two seconds that they are there


def http(url: str) -> str:
    """Why the address does not answer with success; nothing if it does."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310  our own address
            return "" if answer.status < 300 else f"{url} answered {answer.status}"
    except (OSError, HTTPException, ValueError) as exc:
        return f"{url}: {exc}"


def services() -> str:
    """Why Prefect's services on this host are not well; nothing if they are.

    They listen nowhere. But the worker that drives them writes the time into Redis, in the same event loop as they
    are in: a loop that hangs or cannot reach Redis falls silent there.
    """
    import redis

    from deployments.container.entrypoint import filled

    url = filled(os.environ)["PREFECT_SERVER_DOCKET_URL"]
    try:
        with redis.Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS) as client:
            beats = dict(client.zrange("prefect:workers", 0, -1, withscores=True))
    except redis.RedisError as exc:
        return f"Redis: {exc}"
    own = [at for name, at in beats.items() if name.decode().partition("#")[0] == socket.gethostname()]
    if not own:
        return "the services have not reported"
    silent = time.time() - max(own)
    return "" if silent < BEAT_SECONDS else f"the services have been silent for {silent:.0f} s"


def main(arguments: list[str]) -> int:
    """Check what is named."""
    (what,) = arguments
    problem = services() if what == "services" else http(what)
    if problem:
        sys.stdout.write(problem + "\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
