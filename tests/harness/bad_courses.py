"""Bad rules, batches, steps and what belongs to them, each with the exact message that a person gets."""

# ruff: noqa: E501  a message stands in one piece

from __future__ import annotations

_BASE = """\
name: own
columns:
  id: {type: int}
  title: {type: str}
limit: {name: own, requests: 7, window_seconds: 1}
"""


def _own(*parts: str) -> str:
    """A definition with these parts behind its columns and its limit."""
    return _BASE + "".join(f"{part}\n" for part in parts)


# What is wrong, the definition, what is said of it.
COURSES: list[tuple[str, str, str]] = [
    (
        "a rule that can never fit",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "answers:",
            "  - {status: 4xx, means: failed}",
            "  - {status: 404, means: done}",
        ),
        "own.yaml:9: answers[1]: can never fit: rule 1 takes every such answer first",
    ),
    (
        "a rule behind one for any status",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "answers:",
            "  - {status: any, means: failed}",
            "  - {status: 2xx, when: error, means: unknown}",
        ),
        "own.yaml:9: answers[1]: can never fit: rule 1 takes every such answer first",
    ),
    (
        "the same condition twice",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "answers:",
            "  - {when: error, means: failed}",
            "  - {status: 201, when: error, means: retry}",
        ),
        "own.yaml:9: answers[1]: can never fit: rule 1 takes every such answer first",
    ),
    (
        "a rule that means nothing",
        _own('request: {url: "https://api.example.com/rows"}', "answers:", "  - {status: 404}"),
        "own.yaml:8: answers[0].means: is missing",
    ),
    (
        "a meaning that there is not",
        _own('request: {url: "https://api.example.com/rows"}', "answers:", "  - {status: 404, means: ok}"),
        "own.yaml:8: answers[0].means: 'ok' is not possible; possible: done, items, accepted, failed, retry, wait, unknown, stop, ban, waiting",
    ),
    (
        "a status that there is not",
        _own('request: {url: "https://api.example.com/rows"}', "answers:", "  - {status: 4x, means: failed}"),
        "own.yaml:8: answers[0].status: must be a status such as 404, a class such as 4xx, `any`, or a list of them (found '4x')",
    ),
    (
        "a status that is not final",
        _own('request: {url: "https://api.example.com/rows"}', "answers:", "  - {status: 100, means: failed}"),
        "own.yaml:8: answers[0].status: must be final HTTP statuses, from 200 to 599 (found 100)",
    ),
    (
        "no status",
        _own('request: {url: "https://api.example.com/rows"}', "answers:", "  - {status: [], means: failed}"),
        "own.yaml:8: answers[0].status: is empty; name a status, a class such as 4xx, or any (found [])",
    ),
    (
        "a broken condition",
        _own('request: {url: "https://api.example.com/rows"}', "answers:", '  - {when: "errors[", means: failed}'),
        "own.yaml:8: answers[0].when: is no JMESPath expression: Invalid jmespath expression: Incomplete expression: (found 'errors[')",
    ),
    (
        "a condition on a column that there is not",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "answers:",
            '  - {when: "items[?title == {titel}]", means: done}',
        ),
        "own.yaml:8: answers[0].when: there is no column 'titel'; did you mean `title`?",
    ),
    (
        "a header without a name",
        _own('request: {url: "https://api.example.com/rows"}', "answers:", '  - {when: "header:", means: done}'),
        "own.yaml:8: answers[0].when: names no header; write header:NAME, e.g. header:X-Request-Id (found 'header:')",
    ),
    (
        "seconds and until",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "answers:",
            "  - {status: 400, means: wait, seconds: 3, until: at}",
        ),
        "own.yaml:8: answers[0].until: write either `seconds` or `until`, not both",
    ),
    (
        "seconds of a refusal",
        _own(
            'request: {url: "https://api.example.com/rows"}', "answers:", "  - {status: 400, means: failed, seconds: 3}"
        ),
        "own.yaml:8: answers[0].seconds: is for a rule that means wait, not failed",
    ),
    (
        "seconds that are too many",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "answers:",
            "  - {status: 400, means: wait, seconds: 90000}",
        ),
        "own.yaml:8: answers[0].seconds: must be from 0 to 86400 seconds (found 90000)",
    ),
    (
        "seconds that are none",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "answers:",
            "  - {status: 400, means: wait, seconds: true}",
        ),
        "own.yaml:8: answers[0].seconds: must be a number of seconds, or an expression that finds one in the answer (found true)",
    ),
    (
        "items without a batch",
        _own('request: {url: "https://api.example.com/rows"}', "answers:", "  - {means: items}"),
        "own.yaml:8: answers[0].means: items can only be read where many rows travel in one request; possible: done, accepted, failed, retry, wait, unknown, stop, ban",
    ),
    (
        "waiting outside of a reconciliation",
        _own('request: {url: "https://api.example.com/rows"}', "answers:", "  - {means: waiting}"),
        "own.yaml:8: answers[0].means: waiting is for `reconcile` alone: there it means that the row is not there; possible: done, accepted, failed, retry, wait, unknown, stop, ban",
    ),
    (
        "missing of another meaning",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "batch: {rows: 9, items: results, match: position}",
            "answers:",
            "  - {means: done, missing: retry}",
        ),
        "own.yaml:9: answers[0].missing: is for a rule that means items: it says what becomes of rows without one",
    ),
    (
        "a limit that waits where there is one",
        _own(
            'request: {url: "https://api.example.com/rows"}', "answers:", "  - {status: 400, means: wait, limit: own}"
        ),
        "own.yaml:8: answers[0].limit: is for a definition with several limits; this one has one, which waits",
    ),
    (
        "a key that a rule does not have",
        _own('request: {url: "https://api.example.com/rows"}', "answers:", "  - {stauts: 404, means: done}"),
        "own.yaml:8: answers[0].stauts: unknown key; did you mean `status`?",
    ),
    (
        "a row's value in an answer to many",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "batch: {rows: 9, items: results, match: position}",
            "answers:",
            '  - {when: "errors[?id == {id}]", means: failed}',
        ),
        "own.yaml:9: answers[0].when: 'id' has no value here: an answer to many rows has no single row",
    ),
    (
        "rules that are no list",
        _own('request: {url: "https://api.example.com/rows"}', "answers: {means: done}"),
        "own.yaml:7: answers: must be a list, e.g. [a, b] (found {'means': 'done'})",
    ),
    (
        "a batch without rows",
        _own('request: {url: "https://api.example.com/rows"}', "batch: {items: results, match: position}"),
        "own.yaml:7: batch.rows: is missing",
    ),
    (
        "a batch of none",
        _own('request: {url: "https://api.example.com/rows"}', "batch: {rows: 0}"),
        "own.yaml:7: batch.rows: must be at least 1 (found 0)",
    ),
    (
        "a batch of too many",
        _own('request: {url: "https://api.example.com/rows"}', "batch: {rows: 100000}"),
        "own.yaml:7: batch.rows: must be at most 50000 (found 100000)",
    ),
    (
        "items without match",
        _own('request: {url: "https://api.example.com/rows"}', "batch: {rows: 9, items: results}"),
        "own.yaml:7: batch.match: is missing; say how an item finds its row: position, {index: …}, {item: …, row: …} or {name: …}",
    ),
    (
        "a match without items",
        _own('request: {url: "https://api.example.com/rows"}', "batch: {rows: 9, match: position}"),
        "own.yaml:7: batch.match: matches items, but batch.items does not say where they stand",
    ),
    (
        "a match in two ways",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'batch: {rows: 9, items: results, match: {index: at, name: "{id}"}}',
        ),
        "own.yaml:7: batch.match: finds a row in one way; write either `index` or `name`",
    ),
    (
        "half a match",
        _own('request: {url: "https://api.example.com/rows"}', "batch: {rows: 9, items: results, match: {item: id}}"),
        "own.yaml:7: batch.match.row: is missing; `item` finds what was sent in the item, `row` says what the row has there",
    ),
    (
        "the other half",
        _own(
            'request: {url: "https://api.example.com/rows"}', 'batch: {rows: 9, items: results, match: {row: "{id}"}}'
        ),
        "own.yaml:7: batch.match.item: is missing; `item` finds what was sent in the item, `row` says what the row has there",
    ),
    (
        "a match that every row has",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'batch: {rows: 9, items: results, match: {item: id, row: "id"}}',
        ),
        'own.yaml:7: batch.match.row: is the same for every row; name a column, e.g. "{email}"',
    ),
    (
        "a match by a column that there is not",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'batch: {rows: 9, items: results, match: {item: id, row: "{ident}"}}',
        ),
        "own.yaml:7: batch.match.row: there is no column 'ident'; did you mean `id`?",
    ),
    (
        "case of what is no text",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "batch: {rows: 9, items: results, match: {index: at, ignore_case: true}}",
        ),
        "own.yaml:7: batch.match.ignore_case: is for what is compared as text: {item: …, row: …} or {name: …}",
    ),
    (
        "a match that there is not",
        _own('request: {url: "https://api.example.com/rows"}', "batch: {rows: 9, items: results, match: place}"),
        "own.yaml:7: batch.match: must be position, {index: …}, {item: …, row: …} or {name: …} (found 'place')",
    ),
    (
        "positions of a projection",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'batch: {rows: 9, items: "results[*].item", match: position}',
        ),
        "own.yaml:7: batch.items: drops or moves items, so that their positions would shift; name the list itself",
    ),
    (
        "positions of a filter",
        _own(
            'request: {url: "https://api.example.com/rows"}', 'batch: {rows: 9, items: "results[?ok]", match: position}'
        ),
        "own.yaml:7: batch.items: drops or moves items, so that their positions would shift; name the list itself",
    ),
    (
        "positions of a slice",
        _own(
            'request: {url: "https://api.example.com/rows"}', 'batch: {rows: 9, items: "results[1:]", match: position}'
        ),
        "own.yaml:7: batch.items: drops or moves items, so that their positions would shift; name the list itself",
    ),
    (
        "rules of items that are not named",
        _own('request: {url: "https://api.example.com/rows"}', "batch: {rows: 9, answers: [{means: done}]}"),
        "own.yaml:7: batch.answers: is about single items, but batch.items does not say where they stand",
    ),
    (
        "items that are not named",
        _own('request: {url: "https://api.example.com/rows"}', "batch: {rows: 9}", "answers: [{means: items}]"),
        "own.yaml:8: answers[0].means: items are to be read, but batch.items does not say where they stand",
    ),
    (
        "items of an item",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "batch: {rows: 9, items: results, match: position, answers: [{means: items}]}",
        ),
        "own.yaml:7: batch.answers[0].means: an item has no items; possible: done, accepted, failed, retry, wait, unknown, stop, ban",
    ),
    (
        "an item rule that can never fit",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "batch: {rows: 9, items: results, match: position, answers: [{means: done}, {status: 400, means: failed}]}",
        ),
        "own.yaml:7: batch.answers[1]: can never fit: rule 1 takes every such item first",
    ),
    (
        "an object of parts without names",
        _own('request: {url: "https://api.example.com/rows"}', "batch: {rows: 9, as: object}"),
        "own.yaml:7: batch.as: object merges the parts of the rows; write `each` as an object with a name a row",
    ),
    (
        "a way to put parts together",
        _own('request: {url: "https://api.example.com/rows"}', "batch: {rows: 9, as: map}"),
        "own.yaml:7: batch.as: 'map' is not possible; possible: list, object",
    ),
    (
        "a batch of a GET",
        _own('request: {url: "https://api.example.com/rows", method: GET}', "batch: {rows: 9}"),
        "own.yaml:7: batch: a GET request has no body in which many rows could stand; write POST, PUT or PATCH",
    ),
    (
        "a batch of a form",
        _own('request: {url: "https://api.example.com/rows", form: {a: "{batch}"}}', "batch: {rows: 9}"),
        "own.yaml:6: request.form: holds one row; write `json` or `ndjson` for many",
    ),
    (
        "a batch that stands nowhere",
        _own('request: {url: "https://api.example.com/rows", json: {rows: []}}', "batch: {rows: 9}"),
        'own.yaml:6: request.json: has no "{batch}" that stands alone, where the rows would go',
    ),
    (
        "a row's value in a request of many",
        _own('request: {url: "https://api.example.com/rows/{id}"}', "batch: {rows: 9}"),
        "own.yaml:6: request.url: 'id' has no value here: a request of many rows has no single row's values; write them under batch.each",
    ),
    (
        "each beside lines",
        _own(
            'request: {url: "https://api.example.com/rows", ndjson: [{a: "{id}"}]}',
            'batch: {rows: 9, each: {a: "{id}"}}',
        ),
        "own.yaml:7: batch.each: leave it out: the lines under request.ndjson are those of each row",
    ),
    (
        "a part of a column that there is not",
        _own('request: {url: "https://api.example.com/rows"}', 'batch: {rows: 9, each: {a: "{ident}"}}'),
        "own.yaml:7: batch.each.a: there is no column 'ident'; did you mean `id`?",
    ),
    (
        "a method column of many rows",
        _own('request: {url: "https://api.example.com/rows", method: "{title}"}', "batch: {rows: 9}"),
        "own.yaml:6: request.method: is a column, and many rows have one request: write the method",
    ),
    (
        "missing that there is not",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "batch: {rows: 9, items: results, match: position, missing: ignore}",
        ),
        "own.yaml:7: batch.missing: 'ignore' is not possible; possible: unknown, done, failed, retry",
    ),
    (
        "steps and a request",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
        ),
        "own.yaml:7: steps: write either `request` or `steps`, not both",
    ),
    (
        "steps and a batch",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            "batch: {rows: 9}",
        ),
        "own.yaml:8: batch: is for one request of many rows; `steps` are several requests of one row",
    ),
    (
        "neither steps nor a request",
        _own(),
        "own.yaml:1: request: is missing; say which request each row becomes, or write `steps`",
    ),
    (
        "a step without a request",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            "  - {name: create}",
        ),
        "own.yaml:8: steps[1]: needs a `request`, or `means` for how the row ends here",
    ),
    (
        "a step with both",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, when: "find.found", means: failed, request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1]: write either `request` or `means`, not both",
    ),
    (
        "a step's name",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: Create It, request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1].name: must be small letters, digits and underscores, and not `row` (found 'Create It')",
    ),
    (
        "a step's name twice",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: find, request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1].name: another step is called 'find' already",
    ),
    (
        "what no step keeps",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, when: "find.count == `0`", request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1].when: the step find keeps no 'count'; did you mean `found`?",
    ),
    (
        "what no step keeps in an address",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, request: {url: "https://api.example.com/rows/{find.id}"}}',
        ),
        "own.yaml:8: steps[1].request.url: the step find keeps no 'id'; possible: found",
    ),
    (
        "a condition on a column of the row",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, when: "row.titel", request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1].when: there is no column 'titel'; did you mean `title`?",
    ),
    (
        "a negation that ends too early",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, when: "!find.found", request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1].when: finds nothing: JMESPath reads !a.b as (!a).b; write !(a.b) (found '!find.found')",
    ),
    (
        "an end of every row",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            "  - {name: stop, means: failed}",
            '  - {name: create, request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1]: ends every row here, so that the steps behind it are never gone through; give it a `when`",
    ),
    (
        "a reason of a request",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, reason: why, request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1].reason: is for a step that ends the row by `means`",
    ),
    (
        "kept of an end",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: end, when: "find.found", means: failed, keep: {a: b}}',
        ),
        "own.yaml:8: steps[1].keep: is for a step with a request",
    ),
    (
        "steps without requests",
        _own("steps: [{name: end, means: done}]"),
        "own.yaml:6: steps: make no request at all; at least one needs a `request`",
    ),
    (
        "no steps",
        _own("steps: []"),
        "own.yaml:1: request: is missing; say which request each row becomes, or write `steps`",
    ),
    (
        "items of a step",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, request: {url: "https://api.example.com/rows"}, answers: [{means: items}]}',
        ),
        "own.yaml:8: steps[1].answers[0].means: items can only be read where many rows travel in one request; possible: done, failed, retry, wait, unknown, stop, ban",
    ),
    (
        "accepted steps",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, request: {url: "https://api.example.com/rows"}, answers: [{means: accepted}]}',
        ),
        "own.yaml:8: steps[1].answers[0].means: accepted is not possible here; possible: done, failed, retry, wait, unknown, stop, ban",
    ),
    (
        "a poll of nothing accepted",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'poll: {request: {method: GET, url: "https://api.example.com/jobs/{job}"}, answers: [{means: done}]}',
        ),
        "own.yaml:7: poll: asks about accepted rows, but no rule under `answers` means accepted\nown.yaml:7: poll.request.url: no answer keeps 'job'; there are none",
    ),
    (
        "a poll that asks the same",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "answers: [{status: 202, means: accepted}]",
            'poll: {request: {method: GET, url: "https://api.example.com/jobs"}, answers: [{means: done}]}',
        ),
        'own.yaml:8: poll.request.url: asks the same for every row; name the job that `keep` took, e.g. "{job}"',
    ),
    (
        "a poll of a job that nobody keeps",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "answers: [{status: 202, means: accepted, keep: {jobId: id}}]",
            'poll: {request: {method: GET, url: "https://api.example.com/jobs/{job}"}, answers: [{means: done}]}',
        ),
        "own.yaml:8: poll.request.url: no answer keeps 'job'; did you mean `jobId`?",
    ),
    (
        "a poll without end",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "answers: [{status: 202, means: accepted, keep: {job: id}}]",
            'poll: {request: {method: GET, url: "https://api.example.com/jobs/{job}"}, answers: [{means: accepted}]}',
        ),
        "own.yaml:8: poll.answers: never end: no rule means done, failed or items",
    ),
    (
        "a report that stands nowhere",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "answers: [{status: 202, means: accepted, keep: {job: id}}]",
            'poll: {request: {method: GET, url: "https://api.example.com/jobs/{job}"}, answers: [{means: items}]}',
        ),
        "own.yaml:8: poll.items: is missing; a rule says items, so say where they stand in the report",
    ),
    (
        "a report without match",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "answers: [{status: 202, means: accepted, keep: {job: id}}]",
            'poll: {request: {method: GET, url: "https://api.example.com/jobs/{job}"}, answers: [{means: items}], items: report}',
        ),
        "own.yaml:8: poll.match: is missing; say how an item finds its row: position, {index: …}, {item: …, row: …} or {name: …}",
    ),
    (
        "a reconciliation without rules",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'reconcile: {request: {method: GET, url: "https://api.example.com/rows?id={id}"}}',
        ),
        "own.yaml:7: reconcile.answers: is missing",
    ),
    (
        "a reconciliation of items",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'reconcile: {request: {method: GET, url: "https://api.example.com/rows?id={id}"}, answers: [{means: items}]}',
        ),
        "own.yaml:7: reconcile.answers[0].means: items can only be read where many rows travel in one request; possible: done, failed, waiting, unknown, wait, retry, stop, ban",
    ),
    (
        "a reconciliation by what is kept",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "response: {keep: {made: id}}",
            'reconcile: {request: {method: GET, url: "https://api.example.com/rows/{made}"}, answers: [{means: done}]}',
        ),
        "own.yaml:8: reconcile.request.url: there is no column 'made'; possible: id, title",
    ),
    (
        "two bodies",
        _own('request: {url: "https://api.example.com/rows", json: {a: 1}, graphql: {query: "{a}"}}'),
        "own.yaml:6: request.graphql: write either `json` or `graphql`, not both",
    ),
    (
        "a type of no text",
        _own('request: {url: "https://api.example.com/rows", json: {a: 1}, content_type: text/xml}'),
        "own.yaml:6: request.content_type: is for a `text` body; the types of the others are known",
    ),
    (
        "a key to two places",
        _own('request: {url: "https://api.example.com/rows", idempotency_key: {header: X-Key, query: key}}'),
        "own.yaml:6: request.idempotency_key: goes to one place; write either `header` or `query`",
    ),
    (
        "a key in a body that there is not",
        _own('request: {url: "https://api.example.com/rows", form: {a: "{id}"}, idempotency_key: {json: key}}'),
        "own.yaml:6: request.idempotency_key.json: there is no JSON body that it could go into",
    ),
    (
        "a key in a list",
        _own('request: {url: "https://api.example.com/rows", idempotency_key: {json: key}}', "batch: {rows: 9}"),
        "own.yaml:6: request.idempotency_key.json: the body is the list of the rows, and a list has no names",
    ),
    (
        "a key in no place",
        _own('request: {url: "https://api.example.com/rows", idempotency_key: {json: "a..b"}}'),
        "own.yaml:6: request.idempotency_key.json: is no place in a body; write names with dots between them (found 'a..b')",
    ),
    (
        "idempotent without a key",
        _own('request: {url: "https://api.example.com/rows", idempotency_key: none}', "idempotent: true"),
        "own.yaml:7: idempotent: is true, but no idempotency key is sent: idempotency_key is none",
    ),
    (
        "a part that is none",
        _own('request: {url: "https://api.example.com/rows", multipart: {a: {filename: a.txt}}}'),
        "own.yaml:6: request.multipart.a: is text, or a part: {filename: a.txt, content: …, type: text/plain}",
    ),
    (
        "a method of an open column",
        _own('request: {url: "https://api.example.com/rows", method: "{title}"}'),
        "own.yaml:6: request.method: the column title must say which: {type: str, one_of: [POST, PUT]}",
    ),
    (
        "a method that is none",
        _own('request: {url: "https://api.example.com/rows", method: "{title}"}').replace(
            "title: {type: str}", "title: {type: str, one_of: [POST, FETCH]}"
        ),
        "own.yaml:6: request.method: 'FETCH' of column title is no method; possible: POST, PUT, PATCH, GET, HEAD, DELETE",
    ),
    (
        "kept by the answer and by items",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "batch: {rows: 9, items: results, match: position, keep: {made: id}}",
            "response: {keep: {made: id}}",
        ),
        "own.yaml:7: batch.keep.made: is kept under `response` already; keep it under another name",
    ),
    (
        "kept under a column's name",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "answers: [{status: 200, means: done, keep: {title: title}}]",
        ),
        "own.yaml:7: answers[0].keep.title: is the name of a column already; keep it under another name",
    ),
    (
        "kept by an item under a column's name",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "batch: {rows: 9, items: results, match: position, answers: [{means: done, keep: {id: id}}]}",
        ),
        "own.yaml:7: batch.answers[0].keep.id: is the name of a column already; keep it under another name",
    ),
    (
        "kept under a word of the results",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, request: {url: "https://api.example.com/rows"}, keep: {result: id}}',
        ),
        "own.yaml:8: steps[1].keep.result: is a word of the results already; keep it under another name",
    ),
    (
        "kept by a reconciliation under a column's name",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'reconcile: {request: {method: GET, url: "https://api.example.com/rows?id={id}"}, answers: [{means: done, keep: {id: id}}]}',
        ),
        "own.yaml:7: reconcile.answers[0].keep.id: is the name of a column already; keep it under another name",
    ),
    (
        "a secret in a rule",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'answers: [{status: 200, means: done, headers: {X-Key: "${secret:KEY}"}}]',
        ),
        "own.yaml:7: answers[0].headers.X-Key: a secret may only stand in a request: its headers, its url and its body; and in an inbox or a proxy",
    ),
    (
        "an undo of what nobody keeps",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'undo: {request: {method: DELETE, url: "https://api.example.com/rows/{made}"}}',
        ),
        "own.yaml:7: undo.request.url: there is neither a column nor a kept value 'made'; possible: id, title",
    ),
    (
        "a place for a key that there is not",
        _own('request: {url: "https://api.example.com/rows", idempotency_key: X-Key}'),
        "own.yaml:6: request.idempotency_key: must be {header: NAME}, {json: a.path}, {query: NAME} or none (found 'X-Key')",
    ),
    (
        "what a later step keeps",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, request: {url: "https://api.example.com/rows/{later.made}"}}',
            '  - {name: later, request: {url: "https://api.example.com/rows"}, keep: {made: id}}',
        ),
        "own.yaml:8: steps[1].request.url: no earlier step keeps 'later.made'; possible: find.found",
    ),
    (
        "null where a key of ours stands",
        _own('request: {url: "https://api.example.com/rows"}', "batch: {rows: 9, items: null}"),
        "own.yaml:7: batch.items: has no value; give it one, or leave the key out",
    ),
    (
        "a condition on a step that there is not",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, when: "fnd.found == `0`", request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1].when: no earlier step is called 'fnd'; did you mean `find`?",
    ),
    (
        "a condition on a kept name without its step",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, when: "found == `0`", request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1].when: 'found' stands alone; say whose it is: find.found",
    ),
    (
        "a condition on a column without the row",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, when: "title == \'a\'", request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1].when: 'title' stands alone; say whose it is: row.title",
    ),
    (
        "a condition on a column that there is not",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, when: "{titel} == `1`", request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1].when: there is no column 'titel'; did you mean `title`?",
    ),
    (
        "a condition with braces around what is kept",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, when: "{find.found} == `0`", request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1].when: what a step has kept stands here without braces; write find.found",
    ),
    (
        "a condition on a header",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, when: "header:X-Go", request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1].when: there is no answer yet whose header it could read; keep it in an earlier step and write find.found",
    ),
    (
        "a condition within a function on what nobody keeps",
        _own(
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/rows?id={id}"}, keep: {found: "length(items)"}}',
            '  - {name: create, when: "length(find.fond) > `0`", request: {url: "https://api.example.com/rows"}}',
        ),
        "own.yaml:8: steps[1].when: the step find keeps no 'fond'; did you mean `found`?",
    ),
    (
        "a column in quotes",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'reconcile: {request: {method: GET, url: "https://api.example.com/rows?id={id}"}, answers: [{when: "items[?title==\'{title}\']", means: done}]}',
        ),
        "own.yaml:7: reconcile.answers[0].when: {title} in quotes is no value but these very letters; leave the quotes out",
    ),
    (
        "a column in the quotes of a name",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "response: {keep: {made: 'a.\"{title}\"'}}",
        ),
        "own.yaml:7: response.keep.made: {title} in quotes is no value but these very letters; leave the quotes out",
    ),
    (
        "a kept value by a column that there is not",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'response: {keep: {made: "items[?title=={titel}]"}}',
        ),
        "own.yaml:7: response.keep.made: there is no column 'titel'; did you mean `title`?",
    ),
    (
        "a kept value of many rows by a column",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'response: {keep: {made: "items[?title=={title}]"}}\nbatch: {rows: 9}',
        ),
        "own.yaml:7: response.keep.made: 'title' has no value here: an answer to many rows has no single row",
    ),
    (
        "items by a column",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'batch: {rows: 9, items: "items[?title=={title}]", match: {index: at}}',
        ),
        "own.yaml:7: batch.items: 'title' has no value here: it is read before anybody knows of which row an item speaks",
    ),
    (
        "items by a header",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'batch: {rows: 9, items: "header:X-Items", match: {index: at}}',
        ),
        "own.yaml:7: batch.items: is a header, which holds no items; name where they stand in the JSON",
    ),
    (
        "what a batch keeps by a column that there is not",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'batch: {rows: 9, items: items, match: {index: at}, keep: {made: "ids[?title=={titel}]"}}',
        ),
        "own.yaml:7: batch.keep.made: there is no column 'titel'; did you mean `title`?",
    ),
    (
        "a reconciliation that asks the same for every row",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'reconcile: {request: {method: GET, url: "https://api.example.com/rows"}, answers: [{when: "id", means: done}]}',
        ),
        'own.yaml:7: reconcile.request.url: asks the same for every row; name what finds it, e.g. "{email}"',
    ),
    (
        "a reconciliation that deletes",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'reconcile: {request: {method: DELETE, url: "https://api.example.com/rows/{id}"}, answers: [{when: "id", means: done}]}',
        ),
        "own.yaml:7: reconcile.request.method: asks nothing: it deletes what it should ask about; write GET",
    ),
    (
        "an item of a report that means retry",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'answers: [{status: 202, means: accepted, keep: {job: id}}]\npoll: {request: {method: GET, url: "https://api.example.com/jobs/{job}"}, answers: [{when: a, means: items}], items: a, match: {item: b, row: "{title}"}, item_answers: [{when: c, means: retry}]}',
        ),
        "own.yaml:8: poll.item_answers[0].means: retry is not possible here; possible: done, accepted, failed, unknown",
    ),
    (
        "an item of a report that means wait",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'answers: [{status: 202, means: accepted, keep: {job: id}}]\npoll: {request: {method: GET, url: "https://api.example.com/jobs/{job}"}, answers: [{when: a, means: items}], items: a, match: {item: b, row: "{title}"}, item_answers: [{when: c, means: wait}]}',
        ),
        "own.yaml:8: poll.item_answers[0].means: wait is not possible here; possible: done, accepted, failed, unknown",
    ),
    (
        "an item of a report that means stop",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'answers: [{status: 202, means: accepted, keep: {job: id}}]\npoll: {request: {method: GET, url: "https://api.example.com/jobs/{job}"}, answers: [{when: a, means: items}], items: a, match: {item: b, row: "{title}"}, item_answers: [{when: c, means: stop}]}',
        ),
        "own.yaml:8: poll.item_answers[0].means: stop is not possible here; possible: done, accepted, failed, unknown",
    ),
    (
        "an item of a report that means ban",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'answers: [{status: 202, means: accepted, keep: {job: id}}]\npoll: {request: {method: GET, url: "https://api.example.com/jobs/{job}"}, answers: [{when: a, means: items}], items: a, match: {item: b, row: "{title}"}, item_answers: [{when: c, means: ban}]}',
        ),
        "own.yaml:8: poll.item_answers[0].means: ban is not possible here; possible: done, accepted, failed, unknown",
    ),
    (
        "rows of a job that are to be sent again",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'answers: [{status: 202, means: accepted, keep: {job: id}}]\npoll: {request: {method: GET, url: "https://api.example.com/jobs/{job}"}, answers: [{when: a, means: items}], items: a, match: {item: b, row: "{title}"}, missing: retry}',
        ),
        "own.yaml:8: poll.missing: retry is not possible: the rows of a job were sent; possible: unknown, done, failed",
    ),
    (
        "rows of a job that a rule sends again",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'answers: [{status: 202, means: accepted, keep: {job: id}}]\npoll: {request: {method: GET, url: "https://api.example.com/jobs/{job}"}, answers: [{when: a, means: items, missing: retry}], items: a, match: {item: b, row: "{title}"}}',
        ),
        "own.yaml:8: poll.answers[0].missing: retry is not possible: the rows of a job were sent; possible: unknown, done, failed",
    ),
    (
        "a job asked about by a key",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'answers: [{status: 202, means: accepted, keep: {job: id}}]\npoll: {request: {method: GET, url: "https://api.example.com/jobs/{job}?key={idempotency_key}"}, answers: [{when: a, means: items}], items: a, match: {item: b, row: "{title}"}}',
        ),
        "own.yaml:8: poll.request.url: no answer keeps 'idempotency_key'; possible: job",
    ),
    (
        "a job asked about by a row",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'answers: [{status: 202, means: accepted, keep: {job: id}}]\npoll: {request: {method: GET, url: "https://api.example.com/jobs/{job}?row={row}"}, answers: [{when: a, means: items}], items: a, match: {item: b, row: "{title}"}}',
        ),
        "own.yaml:8: poll.request.url: no answer keeps 'row'; possible: job",
    ),
    (
        "a report that need not be JSON",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'answers: [{status: 202, means: accepted, keep: {job: id}}]\npoll: {request: {method: GET, url: "https://api.example.com/jobs/{job}"}, answers: [{when: a, means: items}], items: a, match: {item: b, row: "{title}"}}\nresponse: {json: false}',
        ),
        "own.yaml:9: response.json: is false, but poll.items are read from JSON; leave one of the two out",
    ),
    (
        "items of what need not be JSON",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            "batch: {rows: 9, items: items, match: position}",
            "response: {json: false}",
        ),
        "own.yaml:8: response.json: is false, but batch.items are read from JSON; leave one of the two out",
    ),
    (
        "positions of what is sorted",
        _own(
            'request: {url: "https://api.example.com/rows"}',
            'batch: {rows: 9, items: "sort_by(results, &id)", match: position}',
        ),
        "own.yaml:7: batch.items: drops or moves items, so that their positions would shift; name the list itself",
    ),
    (
        "positions of values",
        _own('request: {url: "https://api.example.com/rows"}', 'batch: {rows: 9, items: "*.r", match: position}'),
        "own.yaml:7: batch.items: drops or moves items, so that their positions would shift; name the list itself",
    ),
]
