"""The accepted rows of a run as Parquet parts, kept as long as the run."""
