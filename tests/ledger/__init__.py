"""The ledger against a real Redis, and what is read from it."""
