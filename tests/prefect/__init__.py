"""A lane: flows on a real Prefect server."""
