"""Known vulnerabilities of the packages in requirements.lock, asked of osv.dev in one request; see `make check`.

Exits 1 if there are any that pyproject.toml does not accept (`[tool.rowrelay.audit] accepted`, each with its reason),
and 0 if nobody can be asked: a build must not depend on the network, so that is said in one line.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SERVICE = "https://api.osv.dev"
SECONDS = 10


def pinned(lock: str) -> list[tuple[str, str]]:
    """Name and version of every package in the lock."""
    return re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==([^\s;]+)", lock, flags=re.MULTILINE)


def ask(packages: list[tuple[str, str]], service: str) -> list[list[str]]:
    """The ids of the known vulnerabilities of each package. Raises OSError or ValueError if there is no answer."""
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in packages]
    request = urllib.request.Request(f"{service}/v1/querybatch", json.dumps({"queries": queries}).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        results: list[dict[str, Any]] = json.load(answer)["results"]
    return [[each["id"] for each in result.get("vulns") or []] for result in results]


def main() -> int:
    """Ask, and say what was found."""
    packages = pinned((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    accepted = set(project["tool"].get("rowrelay", {}).get("audit", {}).get("accepted", ()))
    service = os.environ.get("OSV_SERVICE", SERVICE)
    try:
        found = ask(packages, service)
    except (OSError, HTTPException, ValueError, KeyError, AttributeError, TypeError) as exc:
        print(f"Dependencies not audited: {service} cannot be asked ({exc})")
        return 0
    bad = [
        f"{name} {version}: {', '.join(sorted(new))}"
        for (name, version), ids in zip(packages, found, strict=False)
        if (new := set(ids) - accepted)
    ]
    print("\n".join(bad) if bad else f"Dependencies audited: no unknown vulnerability in {len(packages)} packages")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
