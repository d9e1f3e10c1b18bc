"""The flow `inbox` in a process of its own, which prints its end state.

python -m tests.harness.look_flow_process '{"pipeline": …}'
"""

from __future__ import annotations

import json
import sys

from flows.inbox import inbox


def main(given: str) -> None:
    """Run the flow with what is given, in JSON."""
    state = inbox(**json.loads(given), return_state=True)
    print(json.dumps({"name": state.name, "type": state.type, "message": state.message}))


if __name__ == "__main__":
    main(sys.argv[1])
