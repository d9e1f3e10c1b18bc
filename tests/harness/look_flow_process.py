"""The flow `inbox` in a process of its own, which prints its end state.

python -m tests.harness.look_flow_process '{"pipeline": …}'
"""

from __future__ import annotations

import json
import sys

from flows.inbox import inbox

if __name__ == "__main__":
    state = inbox(**json.loads(sys.argv[1]), return_state=True)
    print(json.dumps({"name": state.name, "type": state.type, "message": state.message}))
