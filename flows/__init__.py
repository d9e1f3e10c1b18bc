"""The pipeline: a file's rows are checked, delivered under a shared limit, and recorded in a ledger."""
