"""The HTTP API, mounted under /api."""
