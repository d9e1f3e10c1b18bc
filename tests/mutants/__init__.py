"""Faults put into the limiter, the ledger, the client and the schema, to see whether the tests notice.

    python -m tests.mutants                      all of them, a table, exit 1 if fewer than 95 % are caught
    python -m tests.mutants --only ledger        those whose name begins so

Each is a mistake that a person could make: one text of one file in place of another. The tests named with it run
against a copy of the tree that holds this one fault.
"""
