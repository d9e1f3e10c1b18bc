"""The pages headless, and the HTTP API, without Prefect."""
