"""The requests of a parcel as they would go out, before any does; and how many a file makes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from flows.client.compiled import Compiled, CompiledStep
from flows.client.credential import planned as with_credentials
from flows.client.exchange import whole_request
from flows.client.request import build, mask
from flows.pipeline.definition import Definition
from flows.pipeline.hosts import plain_host
from flows.pipeline.rendering import Rendering
from flows.pipeline.template import Unsendable
from flows.records import Row

NOT_KNOWN = "kept-by-an-earlier-step"  # in its place until it is known; may stand in an address, and is shown as dots
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Planned:
    """A request that would go out, or why there is none. `when`: the condition of a step, "" where it always goes."""

    rows: tuple[Row, ...]
    request: httpx.Request | None
    problem: str = ""
    step: str = ""
    when: str = ""


def shown(each: Planned, secrets: Mapping[str, str]) -> dict[str, Any]:
    """The request as it may be shown (flows.client.request.mask), with dots for what is not known yet, too."""
    assert each.request is not None
    return mask(each.request, {**secrets, NOT_KNOWN: NOT_KNOWN})


def login(compiled: Compiled, rows: Sequence[Row]) -> list[Planned]:
    """The request that opens a session before the first of these rows, where there is one."""
    auth = compiled.definition.auth
    if auth is None or auth.login is None or not rows:
        return []
    rendering = Rendering.of(compiled.definition, auth.login.opening)
    try:
        request = build(rendering, Row(0, 0, {}), key="", secrets=compiled.secrets)
    except (Unsendable, UnicodeError, ValueError) as exc:
        return [Planned((rows[0],), None, compiled.masker.text(str(exc)), "login")]
    with_credentials(request, auth, NOT_KNOWN, logs_in=True)
    return [Planned((rows[0],), request, "", "login")]


def planned(
    compiled: Compiled, rows: Sequence[Row], *, key: str, own_keys: Sequence[str], kept: Mapping[str, Any] = _NOTHING
) -> list[Planned]:
    """The requests of one parcel, in their order; with `steps` those of each step.

    `kept`: what steps have kept, by name, where that is known already.
    """
    made = _made(compiled, tuple(rows), key=key, own_keys=own_keys, kept=kept)
    for each in made:
        if each.request is None or (auth := compiled.definition.auth) is None:
            continue
        if compiled.definition.lets_in(plain_host(each.request.url.raw_host.decode("ascii"))):
            with_credentials(each.request, auth, NOT_KNOWN)
    return made


def _made(
    compiled: Compiled, together: tuple[Row, ...], *, key: str, own_keys: Sequence[str], kept: Mapping[str, Any]
) -> list[Planned]:
    if compiled.steps:
        return [_step(compiled, each, together[0], key, kept) for each in compiled.steps if each.rendering is not None]
    try:
        return [Planned(together, whole_request(compiled, together, key=key, own_keys=own_keys))]
    except (Unsendable, UnicodeError, ValueError) as exc:
        return [Planned(together, None, compiled.masker.text(str(exc)))]


def _step(compiled: Compiled, each: CompiledStep, row: Row, key: str, kept: Mapping[str, Any]) -> Planned:
    step = each.step
    more = {name: kept.get(name.partition(".")[2], NOT_KNOWN) for name in each.needs}
    try:
        assert each.rendering is not None
        request = build(each.rendering, row, key=key, secrets=compiled.secrets, more=more)
    except (Unsendable, UnicodeError, ValueError) as exc:
        return Planned((row,), None, compiled.masker.text(str(exc)), step.name, step.when or "")
    return Planned((row,), request, "", step.name, step.when or "")


@dataclass(frozen=True, slots=True)
class Number:
    """How many requests a file makes, without what has to be repeated. `likely` is what a time can be told from.

    `most` is None where it depends on the rows how many of them fit into a request.
    """

    least: int
    most: int | None
    likely: int

    @property
    def words(self) -> str:
        """`1 request`, `1,000 requests`, `1,000 to 2,000 requests`, `about 10 requests`."""
        if self.most is None:
            return f"about {_requests(self.likely)}"
        return _requests(self.least) if self.most == self.least else f"{self.least:,} to {_requests(self.most)}"

    def as_object(self) -> dict[str, int | None]:
        """For programs."""
        return {"least": self.least, "most": self.most, "likely": self.likely}


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count:,} requests"


def number_of_requests(definition: Definition, rows: int, *, first: int = 0) -> Number:
    """How many requests so many rows make. `first`: how many of them travel in the first, if that is known.

    Where every step has a condition, one request a row is likely: a row that fits none of them fails.
    A batch that is bounded by bytes, or whose rows must not look alike, may hold fewer rows than `batch.rows`.
    """
    if definition.steps:
        requests = [step for step in definition.steps if step.request is not None]
        always = sum(step.when is None for step in requests)
        return Number(rows * always, rows * len(requests), rows * max(always, 1))
    if (batch := definition.batch) is None:
        return Number(rows, rows, rows)
    least = -(-rows // batch.rows)
    bounded = batch.bytes is not None or batch.puts == "object" or bool(batch.match and batch.match.text)
    return Number(least, None if bounded and rows > 1 else least, max(least, -(-rows // (first or batch.rows))))
