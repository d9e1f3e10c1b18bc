"""The flow in a process of its own, as somebody with a script would run it: prints the run's id and the final state.

python -m tests.harness.flow_process '{"pipeline": "posts", "file": …}'
"""

from __future__ import annotations

import json
import sys
from typing import Any

from flows.deliver import deliver
from flows.flow_runs.launch import LAUNCH, Launch
from tests.harness.flow_end import end


class Broken:
    """A part of a delivery that is not what it should be."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(f"no {name}")


def main(text: str) -> None:
    """Run the flow as `text` says, in JSON."""
    given = json.loads(text)
    found: list[str] = []
    broken = given.pop("broken", "")

    def on_delivery(delivery: Any) -> None:
        if broken:
            setattr(delivery, broken, Broken())

    LAUNCH.set(
        Launch(
            by=given.pop("by", "test"), trusted=given.pop("trusted", True), on_run=found.append, on_delivery=on_delivery
        )
    )
    state = deliver(**given, return_state=True)
    print(json.dumps({"run": found[0] if found else "", **end(state)}))


if __name__ == "__main__":
    main(sys.argv[1])
