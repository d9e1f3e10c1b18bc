"""How often a flow run gives a sign of life, and when it counts as dead."""

from __future__ import annotations

HEARTBEAT_SECONDS = 30  # the shortest that Prefect has
SILENT_SECONDS = 75  # two heartbeats and a half: with the server's own delay it is noticed within 90 s of the death
UNBEGUN_SECONDS = 180  # between taking a run on and beginning it lie seconds; also for a machine that swaps
VARIABLE = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"  # read when Prefect is imported
