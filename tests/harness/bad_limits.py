"""Bad limits, each with the exact message that a person gets."""

# ruff: noqa: E501  a message stands in one piece

from __future__ import annotations

_BASE = """\
name: own
columns:
  id: {type: int, min: 1, max: 50}
  title: {type: str}
  free: {type: int}
  late: {type: int, optional: true, min: 0, max: 5}
request: {url: "https://api.example.com/rows"}
"""
_LIMIT = "limit: {name: own, requests: 7, window_seconds: 1}\n"


def _own(*limits: str, more: str = "") -> str:
    return _BASE + "limits:\n" + "".join(f"  - {limit}\n" for limit in limits) + more


_ACCOUNT = "{name: account, requests: 7, window_seconds: 1}"

# What is wrong, the definition, what is said of it.
LIMITS: list[tuple[str, str, str]] = [
    (
        "one limit and several",
        _BASE + _LIMIT + f"limits: [{_ACCOUNT}]\n",
        "own.yaml:9: limits: stand beside `limit`; move that one into the list, as its first",
    ),
    (
        "no limits in the list",
        _BASE + "limits: []\n",
        "own.yaml:1: limit: is missing; say how fast requests may go, e.g. {name: posts, requests: 7, window_seconds: 1}",
    ),
    (
        "a limit twice",
        _own(_ACCOUNT, _ACCOUNT),
        "own.yaml:10: limits[1].name: stands twice ('account'); give each limit a name of its own",
    ),
    (
        "a limit of a column that there is not",
        _own(_ACCOUNT, '{name: "title {titel}", requests: 1, window_seconds: 1}'),
        "own.yaml:10: limits[1].name: there is no column 'titel'; did you mean `title`?",
    ),
    (
        "a limit with a strange name",
        _own('{name: "Chat{id", requests: 1, window_seconds: 1}'),
        "own.yaml:9: limits[0].name: must be small letters, digits, blanks, hyphens and columns in braces, e.g. \"chat {chat_id}\" (found 'Chat{id')",
    ),
    (
        "units and requests",
        _own("{name: points, requests: 1, units: 5, window_seconds: 1}"),
        "own.yaml:9: limits[0].units: stand beside `requests`; write two limits, one of requests and one of units",
    ),
    (
        "units without a window",
        _own("{name: points, units: 5}"),
        "own.yaml:9: limits[0].window_seconds: is missing; `units` are counted per window_seconds, e.g. 1",
    ),
    (
        "units of windows",
        _own("{name: points, units: 5, windows: [{requests: 1, seconds: 1}]}"),
        "own.yaml:9: limits[0].windows: count requests; write a limit for each window of units",
    ),
    (
        "a cost without units",
        _own("{name: points, requests: 5, window_seconds: 1, cost: 2}"),
        "own.yaml:9: limits[0].cost: is counted in `units`, and this limit states none; write units in place of requests",
    ),
    (
        "a cost above the units",
        _own("{name: points, units: 5, window_seconds: 1, cost: 6}"),
        "own.yaml:9: limits[0].cost: of 6 can never fit into 5 units; lower it, or raise those",
    ),
    (
        "a cost of nothing",
        _own("{name: points, units: 5, window_seconds: 1, cost: free}"),
        "own.yaml:9: limits[0].cost: must be a number, rows, or a column such as \"{points}\" (found 'free')",
    ),
    (
        "a cost of a column that there is not",
        _own('{name: points, units: 50, window_seconds: 1, cost: "{idd}"}'),
        "own.yaml:9: limits[0].cost: there is no column 'idd'; did you mean `id`?",
    ),
    (
        "a cost of text",
        _own('{name: points, units: 50, window_seconds: 1, cost: "{title}"}'),
        "own.yaml:9: limits[0].cost: title must be a column of whole numbers in each row: {type: int, min: 0, max: …}",
    ),
    (
        "a cost that may be empty",
        _own('{name: points, units: 50, window_seconds: 1, cost: "{late}"}'),
        "own.yaml:9: limits[0].cost: late must be a column of whole numbers in each row: {type: int, min: 0, max: …}",
    ),
    (
        "a cost without an end",
        _own('{name: points, units: 50, window_seconds: 1, cost: "{free}"}'),
        "own.yaml:9: limits[0].cost: free needs min: 0 or more and max: 50 or less: a row that costs more would never go",
    ),
    (
        "a cost that may be above the units",
        _own('{name: points, units: 49, window_seconds: 1, cost: "{id}"}'),
        "own.yaml:9: limits[0].cost: id needs min: 0 or more and max: 49 or less: a row that costs more would never go",
    ),
    (
        "a cost of rows without a batch",
        _own("{name: points, units: 5, window_seconds: 1, cost: rows}"),
        "own.yaml:9: limits[0].cost: rows is for a definition with `batch`; here each request has one row, so leave it out",
    ),
    (
        "a batch that never fits into the units",
        _own("{name: points, units: 5, window_seconds: 1, cost: rows}", more="batch: {rows: 6}\n"),
        "own.yaml:9: limits[0].cost: rows: a batch of 6 can never fit into 5 units; lower batch.rows, or raise units",
    ),
    (
        "a period and a window",
        _own("{name: day, requests: 5, per: day, window_seconds: 1}"),
        "own.yaml:9: limits[0].per: counts by the calendar, and a window by seconds; write two limits",
    ),
    (
        "a period of nothing",
        _own("{name: day, per: day}"),
        "own.yaml:9: limits[0].requests: is missing; how many may arrive in a day?",
    ),
    (
        "a period that there is not",
        _own("{name: day, requests: 5, per: fortnight}"),
        "own.yaml:9: limits[0].per: 'fortnight' is not possible; possible: minute, hour, day, week, month",
    ),
    (
        "a zone without a period",
        _own("{name: day, requests: 5, window_seconds: 1, timezone: Europe/Berlin}"),
        "own.yaml:9: limits[0].timezone: is for a limit `per` day, week or month; a window of seconds has none",
    ),
    (
        "a zone of an hour",
        _own("{name: day, requests: 5, per: hour, timezone: Europe/Berlin}"),
        "own.yaml:9: limits[0].timezone: changes nothing about hours; leave it out",
    ),
    (
        "a zone that there is not",
        _own("{name: day, requests: 5, per: day, timezone: Europe/Bärlin}"),
        "own.yaml:9: limits[0].timezone: is no time zone that this machine knows (found 'Europe/Bärlin'); e.g. Europe/Berlin",
    ),
    (
        "a rule for a limit that there is not",
        _own(_ACCOUNT, more="answers: [{status: 429, means: wait, limit: acount}]\n"),
        "own.yaml:10: answers[0].limit: is none of the limits here, account (found 'acount')",
    ),
    (
        "a limit for a rule that means no wait",
        _own(_ACCOUNT, more="answers: [{status: 400, means: failed, limit: account}]\n"),
        "own.yaml:10: answers[0].limit: says which limit waits, and this rule means failed; leave it out",
    ),
    (
        "more requests of units than can be looked at",
        _own("{name: points, units: 1000000, per: day}"),
        "own.yaml:9: limits[0].units: of 1,000,000 hold 1,000,000 of the cheapest requests, and 10,000 are the most: state a higher cost, or count requests",
    ),
]
