"""Starts a program in a container, with its secrets in its environment: `… entrypoint COMMAND…`.

Secrets come as files, one each, and the programs read variables. So every `${secret:NAME}` in the environment is
replaced by what the file NAME holds (percent-encoded where it is part of an address), and COMMAND takes our place.
Prefect is told of ROWRELAY_LOG_FORMAT as well.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from flows import logs

SECRETS = Path("/run/secrets")
_PLACEHOLDER = re.compile(r"\$\{secret:([A-Za-z0-9_.-]+)\}")


def filled(environment: Mapping[str, str], folder: Path = SECRETS) -> dict[str, str]:
    """The environment with its secrets. Raises FileNotFoundError or PermissionError for one that cannot be read."""

    def value(text: str) -> str:
        in_address = "://" in text

        def secret(match: re.Match[str]) -> str:
            found = (folder / match[1]).read_text(encoding="utf-8").rstrip("\r\n")
            return quote(found, safe="") if in_address else found

        return _PLACEHOLDER.sub(secret, text)

    return {name: value(text) for name, text in environment.items()}


def main(command: list[str]) -> int:
    """Become COMMAND. Returns only if that fails."""
    try:
        environment = filled(os.environ)
    except OSError as exc:
        sys.stderr.write(
            f"The secret {exc.filename} cannot be read: {exc.strerror}.\n"
            "Run deployments/container/make-secrets.sh once; its files have to be readable for everybody (mode 0444).\n"
        )
        return 2
    environment |= logs.for_prefect(environment)  # it sets up its logs before we are asked
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606  the command is the one of the compose file
    except OSError as exc:
        sys.stderr.write(f"{command[0]}: {exc.strerror}\n")
    return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
