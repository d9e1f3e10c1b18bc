"""The fault suite: a seeded series of trials in which something is killed or broken, and a judge who trusts no sender.

    python -m tests.faults --trials 200 --seed 1          the series, and one table at its end
    python -m tests.faults --seed 1 --only 17             one trial of it again

`draw` says what happens in a trial, `scene` builds its servers, `harm` breaks and mends them, `watch` looks at the
ledger all the time, `play` runs the trial, `judge` decides from what the receiver saw; `whole` does the same through
the command line, Prefect, a served deployment and the dashboard.
"""
