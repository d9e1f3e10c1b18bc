"""Three machines, each with its own way out and its own disk, and one token that soon runs out, for all of them.

The token server shuts the account out as soon as a refresh token comes twice; its requests count under the limit too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.ledger.connection import connect
from tests.harness.limits import long_known
from tests.harness.netns import Machine, machines
from tests.harness.oauth import SECRET, OAuth
from tests.harness.proxy import Proxy
from tests.harness.receiver import over, worst
from tests.harness.token_runs import definition, file_of, keep_secrets, oauth2
from tests.harness.world import ROOT

RATE = 15
DELAYS = ((0.0, 0.02), (0.02, 0.06), (0.0, 0.2))  # each way, of each machine to the API
FORMS = [
    pytest.param(60.0, 8.0, id="short", marks=pytest.mark.slow),
    pytest.param(900.0, 60.0, id="full", marks=[pytest.mark.prove, pytest.mark.timeout(1500)]),
]


def begin(machine: Machine, folder: Path, redis_url: str, pipeline: Path, file: Path) -> subprocess.Popen[str]:
    """A delivery on a machine, which has a data folder of its own and the same secrets as the others."""
    given = {
        "redis_url": redis_url,
        "data": str(folder / f"data-{machine.name}"),
        "pipeline": str(pipeline),
        "run": f"run-{machine.name}",
        "file": str(file),
        "environment": {"ROWRELAY_SECRETS": str(folder / "secrets")},
    }
    command = machine.inside(sys.executable, "-m", "tests.harness.engine", json.dumps(given))
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("seconds", "lifetime"), FORMS)
def test_three_machines_share_a_token_over_all_of_its_lives(
    tmp_path: Path, redis_url: str, seconds: float, lifetime: float
) -> None:
    """They send so many rows that they need the time under the limit; each row arrives once."""
    rows = round(seconds * RATE / len(DELAYS))
    with ExitStack() as stack:
        server = stack.enter_context(OAuth(lifetime=lifetime))
        api_port, redis_port = (int(url.rpartition(":")[2].partition("/")[0]) for url in (server.url, redis_url))
        keep_secrets(tmp_path, CS=SECRET, R=server.allow(), **{"rowrelay-token-key": "one key for all machines"})
        made = stack.enter_context(machines(len(DELAYS)))
        token_way = stack.enter_context(Proxy(api_port, jitter=(0.0, 0.1), host=made[0].here))
        auth = oauth2(
            server, "refresh_token", refresh_token="${secret:R}", counts=True,
            token_url=f"http://{made[0].here}:{token_way.port}/token",
        )  # fmt: skip
        started = []
        for at, (machine, jitter) in enumerate(zip(made, DELAYS, strict=True)):
            to_api, to_redis = (
                stack.enter_context(Proxy(port, jitter=each, host=machine.here))
                for port, each in ((api_port, jitter), (redis_port, (0.0, 0.002)))
            )
            folder = tmp_path / machine.name
            folder.mkdir()
            pipeline = definition(folder, f"http://{machine.here}:{to_api.port}/rows", auth, limit={"requests": RATE})
            long_known(connect(redis_url), yaml.safe_load(pipeline.read_text())["limit"]["name"])
            file = file_of(tmp_path, rows, first=at * 1_000_000 + 1)
            way = f"{redis_url.rpartition('@')[0]}@{machine.here}:{to_redis.port}/0"
            started.append(begin(machine, tmp_path, way, pipeline, file))
            stack.callback(started[-1].wait)
            stack.callback(started[-1].kill)
        ended: list[dict[str, Any]] = [json.loads(each.communicate(timeout=1.4 * seconds + 90)[0]) for each in started]

    used = [asked["refresh_token"] for asked in server.asked]
    apart = [after - before for before, after in pairwise(server.moments)]
    arrived = [*server.arrived, *server.moments]
    lasted = server.arrived[-1] - server.arrived[0]
    print(
        f"\n{lasted:.0f} s, {len(server.arrived)} requests, {server.refused} refused; {len(used)} token requests,"
        f" {min(apart):.1f} s apart at least; worst window {worst(arrived, 1.0)} of {RATE}"
    )
    assert [each["stopped"] for each in ended] == [""] * len(DELAYS)
    assert [each["counts"]["done"] for each in ended] == [rows] * len(DELAYS)  # none failed by a 401, or by anything
    assert sorted(server.rows.values()) == [1] * rows * len(DELAYS)
    assert over(arrived, RATE, 1.0) == 0
    assert len(used) == len(set(used)) > 0.5 * lasted / lifetime
    assert not server.grants[0].revoked
    assert min(apart) >= 0.75 * lifetime, "a token was asked for again before it neared its end"
