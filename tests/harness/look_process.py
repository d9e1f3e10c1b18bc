"""One look through an inbox in a process of its own, to be killed: `… look_process FOLDER REDIS_URL`."""

from __future__ import annotations

import sys
from pathlib import Path

from flows.intake.intake import Intake
from flows.intake.origin import origin
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.pipeline.reading import load
from flows.settings import Settings
from tests.harness.inboxes import deliver
from tests.harness.world import World

if __name__ == "__main__":
    folder, redis_url = Path(sys.argv[1]), sys.argv[2]

    class Here(World):
        """The world of the test, whose pipeline is written already."""

        @property
        def pipeline(self) -> Path:
            return self.folder / "posts.yaml"

    settings = Settings(data=folder / "data", settle_seconds=0.3)
    here = Here(folder, redis_url, "", None, {})  # type: ignore[arg-type]
    definition = load(here.pipeline)
    Intake(
        origin("", definition, settings),
        definition,
        settings,
        Ledger(connect(redis_url)),
        lambda run, name: deliver(here, settings, run),
        by="test",
    ).look()
