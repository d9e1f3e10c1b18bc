"""What Prefect is asked, over its HTTP API."""
