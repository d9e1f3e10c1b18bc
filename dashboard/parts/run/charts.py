"""Counts by second or minute as Vega-Lite charts. Pure: numbers in, a frame and a specification out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard.words import LIMIT_COLOR, ROW
from flows.records import RowState

LAST_SECONDS = 180
_LATELY_SECONDS = 30
OUTCOMES = (RowState.DONE, RowState.ACCEPTED, RowState.FAILED, RowState.UNKNOWN)
_SENT = ROW[RowState.SENDING].color
MOST_BUCKETS = 300  # more are not told apart, and cost on every refresh
_WIDTHS = {
    1: "second", 10: "10 s", 60: "minute", 300: "5 minutes", 900: "15 minutes", 3600: "hour", 14_400: "4 hours",
    86_400: "day", 604_800: "week",
}  # fmt: skip
Series = dict[int, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Chart:
    """What `st.vega_lite_chart` needs, and a sentence for those who cannot see it."""

    data: pd.DataFrame
    spec: dict[str, Any]
    alt: str


def rate_now(seconds: Series, now: float, *, over: int = 5) -> float:
    """Requests a second over the last few whole seconds; the present one is not over, the last may not be recorded."""
    last = int(now) - 2
    return sum(seconds.get(at, {}).get("sent", 0) for at in range(last - over + 1, last + 1)) / over


def has_sent_for_a_while(seconds: Series, now: float) -> bool:
    """Whether so much was sent lately that `rate_now` tells how long the rest takes."""
    return any(seconds.get(at, {}).get("sent", 0) for at in range(int(now) - _LATELY_SECONDS, int(now) - 6))


def most_in(seconds: Series, length: float) -> int:
    """The most requests of so many seconds that follow each other; 0 where they are no whole ones."""
    if length < 1 or length % 1:
        return 0
    most = held = 0
    window: deque[tuple[int, int]] = deque()
    for at in sorted(seconds):
        sent = seconds[at].get("sent", 0)
        window.append((at, sent))
        held += sent
        while window[0][0] <= at - length:
            held -= window.popleft()[1]
        most = max(most, held)
    return most


def requests_per_second(seconds: Series, *, now: float, limit: float | None) -> Chart:
    """The last minutes, a bar a second, the limit as a line."""
    end = min(int(now) - 1, max(seconds, default=int(now)))
    begin = max(end - LAST_SECONDS + 1, min(seconds, default=end))
    times = range(begin, end + 1)
    sent = [seconds.get(at, {}).get("sent", 0) for at in times]
    frame = pd.DataFrame({"at": pd.to_datetime(list(times), unit="s", utc=True), "requests": sent})
    frame["limit"] = limit
    top = max([*sent, limit or 0, 1])
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "area", "interpolate": "step-after", "color": _SENT, "opacity": 0.35, "line": {
                "color": _SENT, "strokeWidth": 1.5}},
            "encoding": {"y": _count("requests", "requests per second", top * 1.3),
                         "tooltip": [_moment("%H:%M:%S"), {"field": "requests", "type": "quantitative"}]},
        }
    ]  # fmt: skip
    if limit:
        layers += [
            {
                "mark": {"type": "line", "color": LIMIT_COLOR, "strokeDash": [6, 4], "strokeWidth": 2},
                "encoding": {"y": {"field": "limit", "type": "quantitative"}},
            },
            {
                "mark": {"type": "text", "color": LIMIT_COLOR, "align": "right", "dy": -8, "fontSize": 12,
                         "text": f"limit {limit:g}"},
                "encoding": {"x": {"aggregate": "max", "field": "at", "type": "temporal"},
                             "y": {"aggregate": "max", "field": "limit", "type": "quantitative"}},
            },
        ]  # fmt: skip
    x = {
        "field": "at",
        "type": "temporal",
        "title": None,
        "axis": {"format": "%H:%M:%S", "tickCount": 4, "grid": False},
    }
    alt = f"Requests per second over the last {len(sent)} seconds, at most {max(sent, default=0)}" + (
        f", against a limit of {limit:g}." if limit else "."
    )
    return Chart(frame, {"height": 190, "encoding": {"x": x}, "layer": layers}, alt)


def outcomes_over_time(seconds: Series, minutes: Series) -> Chart:
    """What rows came to, since the start: by second while that is known, else by minute."""
    series, width = _whole_story(seconds, minutes)
    unit = _WIDTHS[width]
    rows = []
    for at, counts in series.items():
        below = 0
        for state in OUTCOMES:  # stacked here: Vega does not stack bars that have two ends on the time axis
            if count := counts.get(str(state), 0):
                rows.append((at, at + 0.94 * width, str(state), count, below, below + count))
                below += count
    frame = pd.DataFrame(rows, columns=["at", "end", "outcome", "rows", "from", "to"])
    for name in ("at", "end"):
        frame[name] = pd.to_datetime(frame[name].astype("float64"), unit="s", utc=True)
    clock = "%H:%M:%S" if width < 60 else "%H:%M" if len(series) * width < 2 * 86_400 else "%d %b"
    top = frame["to"].max() if len(frame) else 1
    spec = {
        "height": 190,
        "mark": {"type": "bar", "binSpacing": 0},
        "encoding": {
            "x": {"field": "at", "type": "temporal", "title": None,
                  "axis": {"format": clock, "tickCount": _ticks(series, width), "grid": False}},
            "x2": {"field": "end"},
            "y": _count("from", f"rows per {unit}", max(1.0, float(top) * 1.15)),
            "y2": {"field": "to"},
            "color": {"field": "outcome", "type": "nominal", "legend": None,
                      "scale": {"domain": [str(s) for s in OUTCOMES], "range": [ROW[s].color for s in OUTCOMES]}},
            "tooltip": [_moment("%H:%M:%S"), {"field": "outcome"}, {"field": "rows", "type": "quantitative"}],
        },
    }  # fmt: skip
    ended = {state: int(frame.loc[frame["outcome"] == str(state), "rows"].sum()) for state in OUTCOMES}
    return Chart(
        frame,
        spec,
        "Outcomes over time: "
        + ", ".join(f"{n} {state}" for state, n in ended.items() if n or state is not RowState.ACCEPTED)
        + ".",
    )


def _whole_story(seconds: Series, minutes: Series) -> tuple[Series, int]:
    """One series from the start. `minutes` has all of it, `seconds` the last quarter of an hour."""
    whole = seconds if _counted(seconds) >= _counted(minutes) else {at * 60: counts for at, counts in minutes.items()}
    if not whole:
        return {}, 1
    finest = 1 if whole is seconds else 60
    begin, span = min(whole), max(whole) - min(whole) + 1
    width = next((each for each in _WIDTHS if each >= finest and span / each <= MOST_BUCKETS), max(_WIDTHS))
    folded: Series = {at: {} for at in range(begin // width * width, begin + span, width)}
    for at, counts in whole.items():
        bucket = folded[at // width * width]
        for kind, count in counts.items():
            bucket[kind] = bucket.get(kind, 0) + count
    return folded, width


def _ticks(series: Series, width: int) -> Any:
    """How many marks the time axis gets: where bars are minutes, never two within one, which would be called alike."""
    return {"interval": "minute", "step": max(1, len(series) // 4)} if width == 60 else 4


def _counted(series: Series) -> int:
    return sum(count for counts in series.values() for count in counts.values())


def _count(name: str, title: str, top: float | None) -> dict[str, Any]:
    scale = {"domainMin": 0, **({"domainMax": top} if top else {}), "nice": top is None}
    axis = {"tickCount": 4, "tickMinStep": 1, "titleFontWeight": "normal"}
    return {"field": name, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def _moment(form: str) -> dict[str, Any]:
    return {"field": "at", "type": "temporal", "format": form, "title": "time"}
