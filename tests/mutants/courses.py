"""Faults of requests in several steps, of jobs that the API decides later, and of asking what became of rows."""

from __future__ import annotations

from tests.mutants.fault import of

ACCEPTED = ("unit/test_accepted.py",)
STEPPING = ("unit/test_steps.py", "delivery/test_stepping.py")
SCRIPTED = ("delivery/test_stepping.py", "delivery/test_scripted.py")

COURSES = [
    *of(
        "flows/delivery/settling.py",
        SCRIPTED,
        (
            "a ban speaks of the row",
            "reply.means is RowState.UNKNOWN or reply.stop or reply.ban:",
            "reply.means is RowState.UNKNOWN:",
        ),
        (
            "nothing follows the write that was found",
            "and note.open is not None and note.open.next + 1 < len(steps):",
            "and False:",
        ),
        (
            "rows that others settled are asked about",
            "            records = [record for record in records if record.state is RowState.UNKNOWN]\n",
            "",
        ),
        ("jobs without an end are waited for", "        self._give_up(accepted.overdue,", "        self._give_up([],"),
        ("jobs without a name are waited for", "            accepted.nameless,\n", "            [],\n"),
        (
            "a resume asks about jobs at once",
            "if (not waits and due - time.time() > _SOON_SECONDS) or not self._sleep_until(due):",
            "if False:",
        ),
        (
            "who waits to ask cannot be ended",
            "if self._engine.is_ending or self._lease.interrupted or self._lease.cancelled:",
            "if False:",
        ),
        (
            "a report speaks of rows that are left",
            "list(dict.fromkeys(row for parcel in parcels for row in parcel))",
            "[record.row for record in records]",
        ),
    ),
    *of(
        "flows/delivery/accepted.py",
        ACCEPTED,
        (
            "all rows are in one job",
            "_digest([record.kept.get(name) for name in self._names])",
            "_digest(self._names)",
        ),
        ("rows without a job are in the first", "        order = order[np.searchsorted(numbers[order], 0) :]\n", ""),
        ("jobs are decided for ever", "time.time() - record.at > self._until:", "time.time() < record.at:"),
    ),
    *of(
        "flows/delivery/stepping.py",
        STEPPING,
        ("secrets are kept", "keys.storable(compiled.masker.value(capped(value)))", "keys.storable(capped(value))"),
        (
            "a write that was answered goes again",
            "Progress(note.open.next + 1, known",
            "Progress(note.open.next, known",
        ),
        ("what is cut is taken for whole", "lossy = lossy or any(", "lossy = lossy and any("),
        (
            "a row that is in no doubt goes on where it was",
            "note if isinstance(raw, bytes) and keys.is_doubtful(raw) else Note(note.safe)",
            "note",
        ),
    ),
    *of(
        "deployments/registry/register.py",
        ("prefect/test_register.py",),
        (
            "one definition that Prefect refuses stops all",
            "            except Exception as exc:  # one that Prefect does not take keeps no other from being served\n",
            "            except RowrelayError as exc:\n",
        ),
    ),
]
