"""Flow runs in processes of their own, and how they ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.harness.stack import RunningStack
from tests.harness.world import ROOT, World

LIMIT: dict[str, Any] = {"name": "flow", "requests": 100, "window_seconds": 1, "in_flight": 10, "grace_seconds": 0.3}
QUICK = {"delay_min_seconds": 0.01, "delay_max_seconds": 0.03}


def environment(w: World, stack: RunningStack) -> dict[str, str]:
    return {**os.environ, **stack.environment, "ROWRELAY_PIPELINES": str(w.pipeline)}


def start(w: World, stack: RunningStack, **given: Any) -> subprocess.Popen[str]:
    arguments = json.dumps(
        {
            "pipeline": "flowposts",
            **{key: str(value) if isinstance(value, Path) else value for key, value in given.items()},
        }
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.harness.flow_process", arguments],
        cwd=ROOT,
        env=environment(w, stack),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    w.engines.append(process)
    return process


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err[-3000:]
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found
