"""How a worker begins a flow run of ours."""

from __future__ import annotations

from typing import Any

from deployments.registry.heartbeat import HEARTBEAT_SECONDS, VARIABLE

# Prefect's own way to the same command starts Python twice, which takes a second and a half.
ENGINE = "python -m prefect.engine"
ENVIRONMENT = {
    VARIABLE: str(HEARTBEAT_SECONDS),
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # the default, pickle, runs whatever lies in the storage
}
JOB: dict[str, Any] = {"command": ENGINE, "env": ENVIRONMENT}
