"""Faults put into the code, one at a time, to see whether the tests notice.

    python -m tests.mutants                      all of them, a table, exit 1 if fewer than 95 % are caught
    python -m tests.mutants --only ledger schema those whose name begins so

Each is a mistake that a person could make: one text of one file in place of another. The tests named with it run
against a copy of the tree that holds this one fault. Caught is what fails such a test twice, the second time with
nothing run before it, where that test passes without the fault.

What caught a fault the last time stands in caught_by.json, which this program keeps: that one test is asked first, and
only if it passes now, or is gone, are all of the fault's tests.
"""
