"""Flow runs in processes of their own, and how they ended."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.harness.forked import Forked
from tests.harness.stack import RunningStack
from tests.harness.world import World

LIMIT: dict[str, Any] = {"name": "flow", "requests": 100, "window_seconds": 1, "in_flight": 10, "grace_seconds": 0.3}
QUICK = {"delay_min_seconds": 0.01, "delay_max_seconds": 0.03}


def environment(w: World, stack: RunningStack) -> dict[str, str]:
    return {**os.environ, **stack.environment, "ROWRELAY_PIPELINES": str(w.pipeline)}


def start(w: World, stack: RunningStack, **given: Any) -> Forked:
    arguments = {
        "pipeline": "flowposts",
        **{key: str(value) if isinstance(value, Path) else value for key, value in given.items()},
    }
    return begun(w, "flow_process", environment(w, stack), **arguments)


def begun(w: World, module: str, environment: Mapping[str, str], **given: Any) -> Forked:
    """A process of the harness that runs a flow."""
    name = f"tests.harness.{module}"
    process = Forked(json.dumps(given), w.folder / f"{module}-{uuid4().hex}.json", name, environment)
    w.engines.append(process)
    return process


def ended(process: Forked) -> dict[str, Any]:
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err[-3000:]
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found
