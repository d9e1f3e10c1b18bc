"""What became of a run's rows, streamed.

Everything here walks through ledger and spool side by side and keeps a few thousand rows in memory, whatever the size
of the run. In every CSV formulas are neutralised (flows.sheet).
"""
