"""Flow runs of Prefect: how they are started, scheduled, handed over, reported on, and taken up again."""
