"""Secrets are dotted however they are written, and where a text ends in the middle of one."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flows.masking import DOTS, Masker
from tests.harness.examples import examples


def in_json(text: str, *, ascii: bool = True) -> str:
    return json.dumps(text, ensure_ascii=ascii)[1:-1]


ways: tuple[Callable[[str], str], ...] = (
    str, in_json, lambda text: in_json(text, ascii=False), lambda text: in_json(in_json(text)),
    lambda text: in_json(text).replace("/", "\\/"), lambda text: in_json(in_json(text).replace("/", "\\/")),
    lambda text: in_json(text).replace("&", "\\u0026").replace("<", "\\u003C").replace(">", "\\u003e"),
    quote, lambda text: quote(text, safe=""), quote_plus, lambda text: quote(quote(text, safe=""), safe=""),
    lambda text: quote(text, safe="").lower(), html.escape, lambda text: html.escape(text).replace("&#x27;", "&#39;"),
    lambda text: html.escape(text).replace("&#x27;", "&apos;"),
    lambda text: repr(text)[1:-1],
    lambda text: "".join(f"&#{ord(char)};" if not char.isalnum() else char for char in text),
)  # fmt: skip


@settings(max_examples=examples(300), derandomize=True)
@given(st.text(st.sampled_from("abcXYZ019/+=\"\\&<>' %-_.~$é😀"), min_size=8, max_size=40), st.sampled_from(ways))
@example("/" * 20, ways[4])
def test_a_secret_is_dotted_however_it_is_written(secret: str, way: Callable[[str], str]) -> None:
    shown = Masker([secret]).text(f"[{way(secret)}]")

    # Of an escaped character that is the secret's last one, the rest of the escape may stay.
    assert re.fullmatch(rf"\[{DOTS}(amp;|#38;|(25)+|\\+)?\]", shown)


def test_the_first_part_of_a_secret_is_dotted_where_the_text_ends() -> None:
    masker = Masker(["s3cret-token/1"])

    assert masker.text("you said s3cret-tok") == f"you said {DOTS}"
    assert masker.text("you said s3cret-token%2") == f"you said {DOTS}"
    assert masker.text("you said s3cret-token\\") == f"you said {DOTS}"
    assert masker.text("you said s3c") == "you said s3c"
    assert masker.value({"kept whole": "s3cret"}) == {"kept whole": "s3cret"}
    assert masker.text("s3cret-tok is not all") == "s3cret-tok is not all"


@pytest.mark.timeout(60)  # it takes milliseconds, or for ever
@pytest.mark.parametrize("text", ["\\" * 60_000, "%25" * 20_000, "&amp;" * 12_000, "a" * 60_000, "ab\\/" * 15_000])
def test_no_answer_makes_the_search_for_secrets_slow(text: str) -> None:
    """An API that knows the secret can send what is nearly it, as often as it likes."""
    masker = Masker(["a" * 40 + "!", "ab/" * 20 + "\\\\\\\\\\\\x", "%25" * 12 + "%", "&amp;" * 9])

    shown = masker.text(text)

    assert len(shown) <= len(text)


def test_what_is_learnt_later_is_hidden_too_and_what_lasts_is_never_forgotten() -> None:
    masker = Masker(["first-secret"])
    masker.learn(["bG9uZyBsYXN0aW5n"], lasting=True)
    for number in range(100):
        masker.learn([f"token-{number:03}", f"refresh-{number:03}"])

    said = "first-secret bG9uZyBsYXN0aW5n token-099 refresh-090"
    assert masker.text(said) == " ".join([DOTS] * 4)
    assert masker.value({"a": [said]}) == {"a": [" ".join([DOTS] * 4)]}


def test_a_signature_is_hidden_however_it_is_written_though_every_request_has_another_one() -> None:
    masker = Masker()
    signature = "q/7+Zk3mP9sLx2vT8wB5nR1cY6dH4jF0gA=="
    for number in range(500):
        masker.learn_briefly(f"{number:064x}")
    masker.learn_briefly(signature)

    for said in (signature, quote(signature, safe=""), json.dumps({"s": signature}).replace("/", "\\/")):
        assert "Zk3mP9sLx2vT8wB5nR1cY6dH4jF0gA" not in masker.text(f"you sent {said}")
    assert masker.value(signature) == DOTS
    assert masker.text("nothing of the kind") == "nothing of the kind"
