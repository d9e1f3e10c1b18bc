"""All requests of one parcel, as a generator that yields them, is fed the replies and returns what became of each row.

Pure: whoever drives it takes a permit for each request and sends it. A plain pipeline yields once.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping

import httpx

from flows.client.answer import outcomes
from flows.client.request import build
from flows.masking import Masker
from flows.pipeline.definition import Definition
from flows.pipeline.rendering import Rendering
from flows.pipeline.template import Unsendable
from flows.records import Outcome, Parcel, Reply, RowState

Exchange = Generator[httpx.Request, Reply, list[Outcome]]


def exchange(
    parcel: Parcel,
    *,
    key: str,
    definition: Definition,
    rendering: Rendering,
    secrets: Mapping[str, str],
    masker: Masker,
) -> Exchange:
    """The exchange of a parcel under its idempotency key. A row that makes no request is `failed` without one."""
    (row,) = parcel.rows
    try:
        request = build(rendering, row, key=key, secrets=secrets)
    except Unsendable as exc:
        reason = masker.text(f"{exc.message}; nothing was sent")
        return [Outcome(row.row, RowState.FAILED, reason)]
    reply = yield request
    return outcomes(reply, parcel, definition, masker)
