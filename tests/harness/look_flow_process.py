"""The flow `inbox`, or another that is named, in a process of its own, which prints its end state.

python -m tests.harness.look_flow_process '{"pipeline": …}'
"""

from __future__ import annotations

import importlib
import json
import sys

from flows.inbox import inbox
from tests.harness.flow_end import end


def main(given: str) -> None:
    """Run the flow with what is given, in JSON; `flow`: another one, as `flows.recover:recover`."""
    arguments = json.loads(given)
    module, _, name = arguments.pop("flow", "").partition(":")
    flow = getattr(importlib.import_module(module), name) if name else inbox
    state = flow(**arguments, return_state=True)
    print(json.dumps(end(state)))


if __name__ == "__main__":
    main(sys.argv[1])
