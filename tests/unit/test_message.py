"""What an API says in its own words: the shapes of real ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.client.answer import EXCERPT_CHARACTERS, MESSAGE_CHARACTERS, understood
from flows.client.message import message_of
from flows.delivery.bookkeeping import Excerpts
from tests.unit.test_answer import JSON, definition, judge


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"errors": [{"field": "email", "message": "The domain does not exist"}]}, "email: The domain does not exist"),
        (
            {
                "type": "https://example.com/invalid", "title": "Invalid", "status": 422,
                "detail": "Your request did not validate", "validation": [
                    {"location": ["body", "ticket_type_id"], "severity": "Error", "message": "must be there"},
                ],
            },
            "body.ticket_type_id: must be there; Your request did not validate",
        ),
        (
            {"message": "Property values were not valid", "errors": [{"message": "Email x is invalid", "code": "E"}]},
            "Email x is invalid; Property values were not valid",
        ),
        ({"detail": [{"loc": ["body", "age"], "msg": "Should be an integer"}]}, "body.age: Should be an integer"),
        (
            {"message": "The given data was invalid.", "errors": {"email": ["is invalid.", "is taken."]}},
            "email: is invalid; email: is taken; The given data was invalid",
        ),
        ({"errors": ["Name is blank", "Age is no number"]}, "Name is blank; Age is no number"),
        ({"errors": [{"message": str(n)} for n in range(9)]}, "0; 1; 2"),
        (
            {"errors": [{"source": {"pointer": "/data/first"}, "title": "Invalid", "detail": "too short"}]},
            "/data/first: too short",
        ),
        ({"error": {"message": "No such customer", "param": "customer"}}, "customer: No such customer"),
        ({"error": "invalid_grant", "error_description": "Token has been revoked"}, "Token has been revoked"),
        ({"ok": False, "error": "channel_not_found"}, "channel_not_found"),
        ({"status": 400, "error": "Bad Request", "message": "", "path": "/x"}, "Bad Request"),
        (
            {"message": ["email must be an email", "age must be a number"], "error": "Bad Request"},
            "email must be an email; age must be a number",
        ),
        ({"status": "fail", "data": {"title": "A title is required"}}, "title: A title is required"),
        ({"status": "error", "errors": "Email is taken"}, "Email is taken"),
        ({"message": "Validation Failed", "errors": [{"resource": "Issue", "field": "title", "code": "missing_field"}]},
         "title: missing_field; Validation Failed"),
        ({"title": "Invalid", "invalid-params": [{"name": "age", "reason": "must be positive"}]},
         "age: must be positive; Invalid"),
        ({"errors": {"title": "can't be blank", "email": "is invalid"}}, "title: can't be blank; email: is invalid"),
        ({"id": 5, "name": "x"}, ""),
        ({}, ""),
        ("text", ""),
        (7, ""),
        (None, ""),
    ],
)  # fmt: skip
def test_what_an_api_says_is_found(answer: Any, said: str) -> None:
    assert message_of(answer) == said


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["errors", "message", "detail", "x"]), inner),
    )
)
def test_any_value_is_read_without_harm(value: Any) -> None:
    assert isinstance(message_of(value), str)


def test_lists_in_lists_in_lists_are_given_up() -> None:
    deep: Any = "at the bottom"
    for _ in range(500):
        deep = {"errors": [deep]}

    assert message_of(deep) == ""


def test_the_reason_begins_with_what_the_api_says_of_the_row() -> None:
    body = json.dumps({"errors": [{"field": "email", "message": "The domain does not exist"}]}).encode()

    assert judge(422, JSON, body).reason == "status 422: email: The domain does not exist"
    assert judge(401, JSON, b'{"message": "Unauthorized"}').reason == (
        "status 401: the API does not know us: the token may be missing, wrong or expired. It says: Unauthorized"
    )
    assert judge(500, JSON, b"out of memory").reason == (
        "status 500: the API failed. It says: out of memory; it may have acted all the same"
    )
    assert judge(400, {"content-type": "text/plain"}, b"Missing\nname").reason == "status 400: Missing name"
    assert judge(404, JSON, b"").reason == "status 404: there is nothing at this address"
    assert judge(422, JSON, b"{}").reason == "status 422: the API finds the row wrong"
    assert (
        len(judge(422, JSON, json.dumps({"message": "x" * 999}).encode()).reason)
        == len("status 422: ") + MESSAGE_CHARACTERS
    )


def test_the_telling_part_of_a_long_answer_is_kept() -> None:
    body = json.dumps({"trace": "x" * 20_000, "errors": [{"message": "The name is taken"}]}).encode()

    outcome = judge(422, JSON, body)

    assert outcome.reason == "status 422: The name is taken"
    assert outcome.excerpt.startswith('The name is taken … {"trace":')
    assert len(outcome.excerpt) == EXCERPT_CHARACTERS


def test_secrets_are_masked_in_what_the_api_says() -> None:
    body = b'{"message": "The token s3cret-token is not valid here"}'

    reply = understood(422, JSON, body, definition(), mask=lambda text: text.replace("s3cret-token", "••••"))

    assert reply.reason == "status 422: The token •••• is not valid here"
    assert "s3cret" not in reply.excerpt


def test_a_secret_is_masked_as_it_was_said_its_last_dot_included() -> None:
    body = b'{"errors": ["bad token s3cret-key.", "other"]}'

    reply = understood(401, JSON, body, definition(), mask=lambda text: text.replace("s3cret-key.", "DOTS"))

    assert reply.reason.endswith("It says: bad token DOTS; other")


def test_xml_says_nothing_in_a_line() -> None:
    assert judge(422, {"content-type": "text/xml"}, b"<?xml version='1.0'?><e/>").reason == (
        "status 422: the API finds the row wrong"
    )


def test_what_a_done_row_lacks_costs_little_though_there_may_be_a_million_of_them() -> None:
    outcome = judge(200, JSON, b'{"id": 1' + b" " + b"x" * 5000)

    assert outcome.state == "done"
    assert len(outcome.excerpt) == MESSAGE_CHARACTERS


def test_of_many_long_answers_only_the_first_are_kept_whole() -> None:
    excerpts, long, short = Excerpts(most=2), "x" * EXCERPT_CHARACTERS, "x" * MESSAGE_CHARACTERS

    assert [len(excerpts.cut(each)) for each in (long, short, long, long, short)] == [
        EXCERPT_CHARACTERS, MESSAGE_CHARACTERS, EXCERPT_CHARACTERS, MESSAGE_CHARACTERS, MESSAGE_CHARACTERS,
    ]  # fmt: skip
