"""A run as plain values: the one form in which the HTTP API and `--json` of the command line show it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flows.ledger.run import Run


def plain(run: Run) -> dict[str, Any]:
    """What anybody may see of a run; times are datetimes in UTC, durations seconds, rates requests a second."""
    facts = run.facts
    return {
        "id": run.id,
        "pipeline": run.pipeline,
        "file": facts.name or run.file,
        "state": str(run.state),
        "kind": run.kind,
        "shown_as": run.shown_as,
        "reason": run.reason,
        "by": run.by,
        "created": datetime.fromtimestamp(run.created, UTC),
        "ended": datetime.fromtimestamp(run.ended, UTC) if run.ended else None,
        "total": run.total,
        "counts": {str(state): count for state, count in run.counts.items()},
        "skipped": run.skipped,
        "being_delivered": run.busy,
        "cancelling": run.cancelling,
        "undoes": facts.undoes,
        "undone_by": dict(run.undone),
        "notices": run.notices,
        "delivered_before": {
            "rows": facts.delivered,
            "runs": facts.delivered_in,
        },
        "checked": {
            "rows": facts.checked_rows,
            "bytes": facts.checked_bytes,
            "of_bytes": facts.file_bytes,
        },
        "digest": facts.digest,
        "encoding": facts.encoding or "",
        "file_kind": facts.places.kind if facts.digest else "",
        "sheet": facts.places.sheet,
        "map": facts.asked_map,
        "header": list(facts.header),
        "definition_digest": facts.definition_digest or "",
        "limit": facts.limit,
        "sent": facts.sent,
        "seconds": facts.seconds,
        "rate": facts.rate,
        "peak": facts.peak,
        "used_of_limit": facts.used_of_limit,
        "used_of_guaranteed": facts.used_of_guaranteed,
        "round_trip_seconds": facts.round_trip_seconds,
        "held_by": facts.held_by,
        "readings": [{"encoding": each.encoding, "lines": list(each.lines)} for each in facts.readings],
    }
