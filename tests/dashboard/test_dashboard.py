"""The logic of the pages, headless: empty first, then runs in every state; and the values they are made of."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest

from dashboard import connections, target
from dashboard.parts import theme
from dashboard.parts.html import join, tag
from dashboard.parts.locale import Locale, size
from dashboard.parts.run import charts
from dashboard.parts.target import here_notice
from dashboard.prefect_api import schedules
from dashboard.words import ROW
from flows.ledger.ledger import Ledger
from flows.pipeline.pipelines import present
from flows.pipeline.reading import from_resolved, redirected
from flows.pipeline.timing import Rule, RuleRefused
from flows.records import RowState, RunState
from flows.settings import Settings
from tests.harness.pages import settings, show, text
from tests.harness.remembered import forget
from tests.harness.seeding import seed, write_posts

__all__ = ["settings"]

D, F, U = RowState.DONE, RowState.FAILED, RowState.UNKNOWN
PAGES = ("send", "runs", "run", "schedules", "status")


def labels(page: AppTest) -> list[str]:
    """The buttons of a page."""
    return [button.label for button in page.button]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_to_do_first_where_there_is_nothing_yet(settings: Settings, name: str) -> None:
    page = show(name)

    assert not page.exception
    expected = {"send": "Send a file", "runs": "No run yet.", "run": "No run yet.", "schedules": "does not answer",
                "status": "No limit has been used yet"}  # fmt: skip
    assert expected[name] in text(page)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stays_calm_when_redis_and_prefect_are_away(
    settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROWRELAY_REDIS_URL", "redis://127.0.0.1:9/0")
    forget()

    page = show(name, **({"id": "x"} if name == "run" else {}))

    assert not page.exception
    assert "Traceback" not in text(page)
    assert name == "send" or "does not answer" in text(page)


def test_the_buttons_are_those_that_make_sense(settings: Settings, redis_url: str, tmp_path: Path) -> None:
    run = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 30, bad=(3,)))
    assert labels(show("run", id=run.id))[:1] == ["Cancel"]

    run.outcomes(D, range(4, 20))
    run.outcomes(F, [1])
    run.outcomes(U, [2])
    run.leave(RunState.CANCELLED, "cancelled")
    forget()

    page = show("run", id=run.id)
    assert labels(page)[:5] == [
        "Resume: 11 rows", "Send 1 failed again", "Send 1 unknown again", "Mark unknown as done", "Delete",
    ]  # fmt: skip
    assert not page.exception


def test_a_checked_file_can_be_sent_and_one_with_known_content_asks_first(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    file = write_posts(tmp_path / "posts.csv", 30, bad=(3,))
    before = seed(settings, redis_url, file)
    before.outcomes(D, [1])
    before.leave(RunState.FINISHED)
    again = seed(settings, redis_url, file)
    again.leave(RunState.CHECKING, "checked; nothing sent yet")

    page = show("check", run=again.id)

    assert "exactly this content was sent before" in text(page)
    send = next(button for button in page.button if button.label == "Send 29 good rows")
    assert send.disabled
    page.checkbox[0].check().run()
    assert not next(button for button in page.button if button.label == "Send 29 good rows").disabled


def test_a_checked_file_says_what_was_delivered_before_and_offers_to_leave_it_out(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    keyed = present(settings)["posts"].model_copy(update={"key": ["userId"]})
    before = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 30), definition=keyed)
    before.outcomes(D, [1, 2])
    before.leave(RunState.FINISHED)
    whole = seed(settings, redis_url, write_posts(tmp_path / "whole.csv", 31), definition=keyed)
    whole.leave(RunState.CHECKING, "checked; nothing sent yet")

    page = show("check", run=whole.id)

    assert "2 of these rows were delivered before" in text(page)
    assert "Leave them out" in labels(page)
    assert not page.exception


def test_a_check_that_did_not_end_can_be_done_again_on_both_pages(settings: Settings, redis_url: str) -> None:
    ledger = connections.ledger()
    ledger.create("r1", definition=connections.pipelines()["posts"].resolved(), by="x", pipeline="posts", file="f.csv")
    why = "/data/uploads/20261124-7efd/f.csv:1: no such column\nCorrect it."
    ledger.client.hset("rowrelay:run:{r1}", mapping={"state": "stopped", "reason": why})

    assert labels(show("run", id="r1")) == ["Check again", "Take another file", "Delete"]
    assert labels(show("check", run="r1")) == ["Check again", "Take another file"]
    assert "f.csv:1: no such column" in text(show("check", run="r1"))
    assert "uploads" not in text(show("check", run="r1"))


def test_the_figures_never_say_more_than_is_so(settings: Settings, redis_url: str, tmp_path: Path) -> None:
    run = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 1000))
    run.outcomes(D, range(1, 1000))

    said = text(show("run", id=run.id))

    assert "99 %" in said
    assert "100 %" not in said


def test_while_rows_come_in_no_link_carries_a_number(settings: Settings, redis_url: str, tmp_path: Path) -> None:
    run = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 30, bad=(3,)))
    run.outcomes(F, [1, 2])
    assert "Rejected and failed rows, to correct" in text(show("run", id=run.id))

    run.leave(RunState.STOPPED)
    forget()

    assert "3 rejected and failed rows, to correct" in text(show("run", id=run.id))


def commands(ledger: Ledger) -> int:
    """How many commands Redis has carried out."""
    return int(ledger.client.info("stats")["total_commands_processed"])


def test_a_thousand_runs_are_listed_searched_and_paged(settings: Settings, redis_url: str) -> None:
    ledger = connections.ledger()
    for n in range(1000):
        ledger.create(f"run-{n}", definition={}, by="test", pipeline="posts", file=f"file-{n}.csv")

    before = commands(ledger)
    assert "1,000 runs" in text(show("runs"))
    assert commands(ledger) - before <= 1100, "each run is read once"
    assert "1 run fit" in text(show("runs", find="file-777.csv"))


def test_a_file_that_fills_a_day_is_said_to_take_one(settings: Settings, redis_url: str, tmp_path: Path) -> None:
    windows = [{"requests": 7, "seconds": 1}, {"requests": 1000, "seconds": 86_400}]
    raw = present(settings)["posts"].resolved()
    raw["limit"] = {"name": "jsonplaceholder", "windows": windows, "in_flight": 7}
    run = seed(settings, redis_url, write_posts(tmp_path / "p.csv", 1001), definition=from_resolved(raw))
    assert "1 day" in text(show("run", id=run.id))
    run.leave(RunState.CHECKING, "checked; nothing sent yet")

    forget()
    said = text(show("check", run=run.id))

    assert "1 day" in said
    assert "at 7 per second and 1,000 per day" in said


@pytest.mark.parametrize("address", ["127.0.0.1:9001", "localhost:9001", "[::1]:9001"])
def test_what_goes_to_this_machine_is_not_called_harmless(settings: Settings, address: str) -> None:
    here = redirected(present(settings)["posts"], f"http://{address}/posts?key=k")

    said = str(here_notice(here))

    assert f"Requests go to this machine ({address})." in said
    assert "or a tunnel to a real API" in said
    assert "k=" not in said


def test_what_goes_elsewhere_is_named_by_its_server_alone(settings: Settings) -> None:
    elsewhere = redirected(present(settings)["posts"], "https://api.example.com:8443/posts")

    assert target.in_words(elsewhere) == "api.example.com"
    assert here_notice(elsewhere) is None


def test_the_pages_say_where_rows_go_and_not_more(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTS_URL", "http://127.0.0.1:9001/posts")
    forget()

    for name in ("send", "status"):
        said = text(show(name))
        assert "this machine (127.0.0.1:9001)" in said
        assert ("or a tunnel to a real API" in said) is (name == "status")  # and of a check, before it is sent


def test_the_status_leads_to_prefects_own_pages(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_UI_URL", raising=False)
    forget()

    said = text(show("status"))

    assert '<a href="http://127.0.0.1:9" target="_blank">http://127.0.0.1:9</a>' in said
    assert "9/api" not in said


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1", "so the dashboard answers this machine only"),
        ("0.0.0.0", "other machines may reach the dashboard."),
        ("0.0.0.0", "It listens on 0.0.0.0. Who gets through to that is not known here"),
    ],
)
def test_without_a_sign_in_the_status_says_who_may_get_here_and_why(
    settings: Settings, address: str, says: str
) -> None:
    before = config.get_option("server.address")
    config.set_option("server.address", address)
    try:
        assert says in text(show("status"))
    finally:
        config.set_option("server.address", before)


def test_text_can_never_become_markup() -> None:
    evil = '<script>alert(1)</script>" onload="x'

    made = tag("div", evil, title=evil)

    assert "<script>" not in made
    assert '" onload' not in made
    for char in "\u202e\u2066\u061c\u200b\u200c\u200d\u2028\u2029\ufeff\x1b":
        assert join(f"a{char}b") == f"a⟨U+{ord(char):04X}⟩b"
    assert "<code>rowrelay up</code>" in str(theme.notice("warn", "x", "Start `rowrelay up`."))
    assert "<b>" not in str(theme.notice("warn", "`<b>`"))


def test_numbers_and_times_are_those_of_the_reader() -> None:
    german = Locale.of("de-DE", "Europe/Berlin")
    assert german.number(1234567) == "1.234.567"
    assert german.rate(6.44) == "6,4"
    for locale, number, rate in (
        ("ja-JP", "1,234,567", "6.4"), ("zh-CN", "1,234,567", "6.4"), ("ko", "1,234,567", "6.4"),
        ("th-TH", "1,234,567", "6.4"), ("ar", "1,234,567", "6.4"), (None, "1,234,567", "6.4"),
        ("es-MX", "1,234,567", "6.4"), ("es-ES", "1.234.567", "6,4"), ("de-CH", "1’234’567", "6.4"),
        ("fr", "1\u202f234\u202f567", "6,4"), ("ru-RU", "1\u202f234\u202f567", "6,4"),
    ):  # fmt: skip
        reader = Locale.of(locale, "UTC")
        assert (reader.number(1234567), reader.rate(6.44)) == (number, rate), locale
    assert Locale.of("en-US", "UTC").time(0) == "1 Jan 1970, 12:00 AM"
    assert Locale.of("xx", "No/Where").time(0) == "1 Jan 1970, 00:00"
    assert [size(n) for n in (12, 3400, 10**9)] == ["12 bytes", "3.4 kB", "1.0 GB"]


def test_charts_hold_every_request_and_outcome_once() -> None:
    seconds = {100 + n: {"sent": 7, "done": 6, "failed": 1} for n in range(60)}

    minutes = {
        0: {"done": 100},
        1: {"sent": 140, "done": 120, "failed": 20},
        2: {"sent": 280, "done": 240, "failed": 40},
    }
    requests = charts.requests_per_second(seconds, now=161, limit=7)
    outcomes = charts.outcomes_over_time(seconds, {1: minutes[1], 2: minutes[2]})
    whole = charts.outcomes_over_time(seconds, minutes)  # which hold the seconds, too
    month = charts.outcomes_over_time({}, {29_000_000 + n: {"done": 2, "unknown": 1} for n in range(0, 43_200, 7)})

    assert requests.data["requests"].sum() == 420
    assert "at most 7, against a limit of 7" in requests.alt
    assert outcomes.alt == "Outcomes over time: 360 done, 60 failed, 0 unknown."
    assert whole.alt.startswith("Outcomes over time: 460 done")
    assert month.alt.startswith("Outcomes over time: 12344 done, 0 failed, 6172 unknown")
    assert len(set(month.data["at"])) <= charts.MOST_BUCKETS + 1
    assert charts.rate_now(seconds, 161.0) == 7
    assert charts.outcomes_over_time({}, {}).alt.endswith("0 done, 0 failed, 0 unknown.")


def test_a_schedule_that_is_none_is_refused_in_words() -> None:
    assert len(schedules.coming(Rule(cron="0 6 * * 1-5", timezone="Europe/Berlin"))) == 5
    for rule, says in (
        (Rule(cron="0 6 * *"), "five fields"),
        (Rule(cron="0 0 30 2 *"), "never comes"),
        (Rule(cron="0 6 * * *", timezone="Berlin"), "no time zone"),
        (Rule(), "one rule"),
        (Rule(cron="0 6 * * *", interval_seconds=60), "one rule"),
        (Rule(rrule="FREQ=DAILY;INTERVAL=0"), "INTERVAL=0 is not 1 or more"),
        (Rule(rrule="FREQ=DAILY;UNTIL=20200105T000000"), "names no time to come"),
    ):
        with pytest.raises(RuleRefused, match=says):
            schedules.coming(rule)


def test_a_calendar_rule_means_the_clock_of_its_zone() -> None:
    rule = "FREQ=MONTHLY;BYDAY=1MO;BYHOUR=6;BYMINUTE=0;BYSECOND=0"

    times = schedules.coming(Rule(rrule=rule, timezone="Europe/Berlin"))

    assert len(times) == 5
    assert all((each.hour, each.weekday(), each.day <= 7) == (6, 0, True) for each in times)
    assert str(times[0].tzinfo) == "Europe/Berlin"


def test_every_state_has_a_colour_a_sign_and_a_word_of_its_own() -> None:
    assert set(ROW) == set(RowState)
    assert len({each.color for each in ROW.values()}) == len(RowState)
    assert len({each.sign for each in ROW.values()}) == len(RowState)


def test_rows_that_the_api_only_accepted_are_told_as_such(settings: Settings, redis_url: str, tmp_path: Path) -> None:
    made = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 6))
    made.outcomes(D, [1, 2])
    made.outcomes(RowState.ACCEPTED, [3, 4, 5, 6])
    made.leave(RunState.FINISHED)

    page, listed = show("run", id=made.id), show("runs")

    assert not page.exception
    assert "sent, waiting for the API" in text(page)
    assert "4 rows are with the API" in text(page)
    assert "33 %" in text(page)
    assert "sent, waiting for the API" in text(listed)
