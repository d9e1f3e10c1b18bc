"""Whole deliveries without Prefect: what the API says, what people wish, what Redis does."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from deployments.embedded.redis_server import RedisServer
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.ledger.reasons import reason_of, records_of, with_reason
from flows.limit.status import open_limit, status
from flows.records import RowState, RunState
from tests.harness.wait import wait_until
from tests.harness.world import World, world

LIMIT: dict[str, Any] = {"name": "api", "requests": 500, "window_seconds": 1, "in_flight": 10, "grace_seconds": 0.3}
QUICK = {"delay_min_seconds": 0.01, "delay_max_seconds": 0.03}
SLOW = {"delay_min_seconds": 0.15, "delay_max_seconds": 0.2}  # so that something can happen in the middle of a run


def arrived(w: World) -> list[float]:
    """Arrival times in seconds."""
    return [arrival["at"] / 1e9 for arrival in w.arrivals()]


def done(w: World, run: str) -> int:
    return w.run(run).counts[RowState.DONE] if w.view.client.exists(f"rowrelay:run:{{{run}}}") else 0


def test_a_file_is_delivered_and_every_row_accounted_for(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs=QUICK) as w:
        ended = w.deliver("r1", file=w.file(120, bad=4))

        assert ended["state"] == RunState.FINISHED
        assert ended["counts"] == {
            "rejected": 4,
            "waiting": 0,
            "sending": 0,
            "accepted": 0,
            "done": 120,
            "failed": 0,
            "unknown": 0,
        }
        report = w.report()
        assert (report["arrivals"], report["over"], report["keys"]) == (120, 0, 120)
        records = w.view.records("r1", [1, 120, 121], names=("postId",), created=0)
        assert [record.state for record in records] == [RowState.DONE, RowState.DONE, RowState.REJECTED]
        assert all(isinstance(record.kept["postId"], int) for record in records[:2])
        assert int(ended["facts"]["peak"].split(".")[0]) <= LIMIT["requests"]


def test_when_the_api_asks_to_wait_nobody_sends_in_any_process(tmp_path: Path, redis_url: str) -> None:
    paced, knobs = {**LIMIT, "requests": 50}, {**QUICK, "retry_after_seconds": 2.0, "ban_after": None}
    with world(tmp_path, redis_url, limit=paced, knobs=knobs) as w:
        engines = [
            w.start(run, file=w.file(80, name=f"{run}.csv", first=1000 * i)) for i, run in enumerate(("a", "b"), 1)
        ]
        wait_until(lambda: min(done(w, "a"), done(w, "b")) > 10, seconds=30, what="both to send")

        w.control(refuse_seconds=0.4)
        ended = [w.ended(engine) for engine in engines]

        assert [one["counts"]["done"] for one in ended] == [80, 80]
        arrivals = w.arrivals()
        refused = [arrival["at"] / 1e9 for arrival in arrivals if arrival["answer"] == 429]
        assert refused, "the stand-in refused nothing, so this proves nothing"
        # What was on its way when the last refusal was answered may still arrive; then there is silence.
        last = max(refused) + 0.03
        silence = [at for at in arrived(w) if last + 0.05 < at < last + 1.9]
        assert silence == []
        assert len(refused) <= 2 * LIMIT["in_flight"]
        assert any("wait 2 s" in text for _, text in w.view.events("a") + w.view.events("b"))


def test_a_ban_stops_every_run_until_a_person_opens_the_limit(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs=SLOW) as w:
        engines = [
            w.start(run, file=w.file(150, name=f"{run}.csv", first=1000 * i)) for i, run in enumerate(("a", "b"), 1)
        ]
        wait_until(lambda: min(done(w, "a"), done(w, "b")) > 10, seconds=30, what="both to send")
        w.control(ban=True, **QUICK)
        ended = [w.ended(engine) for engine in engines]

        assert [one["state"] for one in ended] == [RunState.STOPPED] * 2
        assert all("rowrelay limits open api" in one["reason"] for one in ended)
        banned = [arrival for arrival in w.arrivals() if arrival["answer"] == 403]
        assert 1 <= len(banned) <= 1 + LIMIT["in_flight"]
        assert status(connect(redis_url), "api").latched

        before = len(w.arrivals())
        again = w.deliver("a", file=tmp_path / "a.csv")
        assert (again["state"], len(w.arrivals())) == (RunState.STOPPED, before)

        w.control(ban=False)
        assert open_limit(connect(redis_url), "api", "ops")
        resumed = [w.deliver(run, file=tmp_path / f"{run}.csv") for run in ("a", "b")]
        for one in resumed:
            assert one["state"] == RunState.FINISHED
            assert one["counts"]["waiting"] == 0
            assert one["counts"]["done"] + one["counts"]["failed"] + one["counts"]["unknown"] == 150
            assert one["counts"]["failed"] + one["counts"]["unknown"] <= LIMIT["in_flight"] + 1
        assert w.report()["over"] == 0


def test_a_ban_is_the_reason_also_where_one_trouble_would_stop_the_run(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs=QUICK, stop_after=1) as w:
        w.control(ban=True)
        ended = w.deliver("r1", file=w.file(30))

        assert ended["state"] == RunState.STOPPED
        assert "in a row" not in ended["reason"]
        assert "403" in ended["reason"]


def test_an_expired_token_does_not_fail_the_whole_file(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs={**QUICK, "faults": {"unauthorized": 1.0}}, stop_after=5) as w:
        ended = w.deliver("r1", file=w.file(200))

        assert ended["state"] == RunState.STOPPED
        assert "in a row failed: 401 ×" in ended["reason"]
        assert ended["counts"]["failed"] <= 5 + LIMIT["in_flight"]
        assert ended["counts"]["waiting"] >= 185

        w.control(faults={})
        assert w.deliver("r1")["counts"]["waiting"] == 0
        again = w.deliver("r1", rows="failed", request="first")
        assert again["counts"]["done"] == 200


def test_a_quota_that_is_used_up_does_not_fail_the_whole_file(tmp_path: Path, redis_url: str) -> None:
    """Each 429 asks for a pause of a window, and it is pauses that count: all under way are turned away at once."""
    knobs = {**QUICK, "ban_after": None, "retry_after_seconds": 0.5}
    with world(tmp_path, redis_url, limit=LIMIT, knobs=knobs, stop_after=4) as w:
        w.control(refuse_seconds=600)
        ended = w.deliver("r1", file=w.file(200))

        assert ended["state"] == RunState.STOPPED
        assert "The API has asked to wait 4 times in a row" in ended["reason"]
        assert ended["counts"]["failed"] <= LIMIT["in_flight"]
        assert ended["counts"]["waiting"] >= 185
        refused = w.report()["arrivals"]
        assert 4 <= refused <= 4 * LIMIT["in_flight"]

        w.control(refuse_seconds=0.001)
        assert w.deliver("r1")["counts"]["waiting"] == 0
        assert w.deliver("r1", rows="failed", request="first")["counts"]["done"] == 200


@pytest.mark.parametrize("attempts", [1, 4])
def test_an_api_that_is_down_stops_the_run_with_its_rows_waiting(tmp_path: Path, redis_url: str, attempts: int) -> None:
    nowhere = {"request": {"url": "http://127.0.0.1:9/posts"}, "retry": {"attempts": attempts}, "stop_after": 4}
    with world(tmp_path, redis_url, limit=LIMIT, knobs=QUICK, **nowhere) as w:
        ended = w.deliver("r1", file=w.file(100))

        assert ended["state"] == RunState.STOPPED
        assert ended["counts"]["waiting"] == 100


def test_failed_rows_are_sent_again_under_a_new_key_and_only_when_asked(tmp_path: Path, redis_url: str) -> None:
    with world(
        tmp_path, redis_url, limit=LIMIT, knobs={**QUICK, "faults": {"unprocessable": 0.3}}, stop_after=10**6
    ) as w:
        first = w.deliver("r1", file=w.file(100))
        assert first["counts"]["failed"] > 5
        w.control(faults={})

        assert w.deliver("r1")["counts"] == first["counts"]
        second = w.deliver("r1", rows="failed", request="once")

        assert second["counts"]["done"] == 100
        assert w.report()["keys"] == 100 + first["counts"]["failed"]
        assert w.deliver("r1", rows="failed", request="once")["counts"]["done"] == 100


def test_failed_rows_of_one_reason_are_sent_again_without_the_others(tmp_path: Path, redis_url: str) -> None:
    knobs = {**QUICK, "faults": {"unprocessable": 0.3, "unauthorized": 0.3}}
    with world(tmp_path, redis_url, limit=LIMIT, knobs=knobs, stop_after=10**6) as w:
        first = w.deliver("r1", file=w.file(100))
        whys = {reason_of(record) for some in records_of(w.view, w.run("r1"), RowState.FAILED) for record in some}
        (refused,) = [why for why in whys if "422" in why]
        count = len(with_reason(w.view, w.run("r1"), [RowState.FAILED], refused))
        assert 0 < count < first["counts"]["failed"]
        w.control(faults={})

        second = w.deliver("r1", rows="failed", request="once", reason=refused)

        assert second["counts"]["failed"] == first["counts"]["failed"] - count
        assert second["counts"]["done"] == first["counts"]["done"] + count
        assert w.report()["keys"] == 100 + count


def test_a_wish_to_send_the_failed_rows_again_sends_no_row_that_merely_waits(tmp_path: Path, redis_url: str) -> None:
    knobs = {**SLOW, "faults": {"unprocessable": 0.5}}
    with world(tmp_path, redis_url, limit=LIMIT, knobs=knobs, stop_after=10**6) as w:
        engine = w.start("r1", file=w.file(150))
        wait_until(lambda: known(w) and w.run("r1").counts[RowState.FAILED] > 5, seconds=30, what="failed rows")
        engine.send_signal(signal.SIGTERM)
        first = w.ended(engine)["counts"]
        assert first["waiting"] > 0
        w.control(faults={}, **QUICK)

        second = w.deliver("r1", rows="failed", request="once")["counts"]

        assert second["done"] == first["done"] + first["failed"]
        assert (second["failed"], second["waiting"]) == (0, first["waiting"])
        assert w.deliver("r1")["counts"]["done"] == 150


def test_a_row_that_is_sent_again_does_not_wait_behind_all_others(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs={**SLOW, "retry_after_seconds": 1.0, "ban_after": None}) as w:
        engine = w.start("r1", file=w.file(400))
        wait_until(lambda: done(w, "r1") > 10, seconds=30, what="some rows")
        w.control(refuse_seconds=0.6, **QUICK)
        assert w.ended(engine)["counts"]["done"] == 400

        keys = [arrival["key"] for arrival in w.arrivals()]
        refused = {key for key in keys if keys.count(key) > 1}
        assert refused, "the stand-in refused nothing, so this proves nothing"
        last = max(len(keys) - 1 - keys[::-1].index(key) for key in refused)
        assert last < len(keys) - 100


@pytest.mark.parametrize("by", ["signal", "ledger"])
def test_a_run_can_be_cancelled_while_its_file_is_checked(tmp_path: Path, redis_url: str, by: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs=QUICK) as w:
        engine = w.start("r1", file=w.file(400_000))
        wait_until(lambda: known(w) and w.run("r1").facts.checked_rows > 0, seconds=30, what="the check")
        if by == "signal":
            engine.send_signal(signal.SIGTERM)
        else:
            Ledger(connect(redis_url)).cancel("r1", "ops")
        ended = w.ended(engine)

        assert (ended["state"], ended["total"]) == (RunState.CANCELLED, 0)
        assert w.report()["arrivals"] == 0


def known(w: World) -> bool:
    return bool(w.view.client.exists("rowrelay:run:{r1}"))


def test_a_cancelled_run_keeps_what_is_finished_and_can_be_resumed(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs=SLOW) as w:
        engine = w.start("r1", file=w.file(200))
        wait_until(lambda: done(w, "r1") > 20, seconds=30, what="some rows")
        Ledger(connect(redis_url)).cancel("r1", "ops")
        ended = w.ended(engine)

        assert ended["state"] == RunState.CANCELLED
        assert ended["counts"]["sending"] == ended["counts"]["unknown"] == 0
        assert 20 < ended["counts"]["done"] < 200
        w.control(**QUICK)
        assert w.deliver("r1")["counts"]["done"] == 200
        assert w.report()["keys"] == w.report()["arrivals"] == 200


def test_sigterm_waits_for_what_is_under_way(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs={"delay_min_seconds": 0.2, "delay_max_seconds": 0.3}) as w:
        engine = w.start("r1", file=w.file(200))
        wait_until(lambda: done(w, "r1") > 5, seconds=30, what="some rows")
        engine.send_signal(signal.SIGTERM)
        ended = w.ended(engine)

        assert ended["state"] == RunState.CANCELLED
        assert ended["counts"]["unknown"] == ended["counts"]["sending"] == 0
        assert ended["counts"]["done"] == w.report()["arrivals"]


def test_a_run_that_is_told_to_end_when_all_is_under_way_is_finished(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs={"delay_min_seconds": 1.0, "delay_max_seconds": 1.2}) as w:
        engine = w.start("r1", file=w.file(5))
        wait_until(lambda: w.report()["arrivals"] == 5, seconds=30, what="all requests")
        engine.send_signal(signal.SIGTERM)
        ended = w.ended(engine)

        assert ended["counts"]["done"] == 5
        assert (ended["state"], ended["reason"]) == (RunState.FINISHED, "")


def test_a_zombie_that_wakes_sends_nothing_more(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs=SLOW) as w:
        zombie = w.start("r1", file=w.file(200))
        wait_until(lambda: done(w, "r1") > 20, seconds=30, what="some rows")
        zombie.send_signal(signal.SIGSTOP)
        heir = w.start("r1")
        wait_until(lambda: w.run("r1").facts.epoch == 2, seconds=20, what="the take-over")
        zombie.send_signal(signal.SIGCONT)
        w.control(**QUICK)
        ended, woken = w.ended(heir), w.ended(zombie)

        assert "taken over" in woken["stopped"]
        assert ended["state"] == RunState.FINISHED
        assert ended["counts"]["done"] + ended["counts"]["unknown"] == 200
        assert w.report()["keys_repeated"] == 0
        assert w.report()["over"] == 0


def test_a_redis_that_is_killed_and_comes_back_loses_nothing_and_the_run_goes_on(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis").start()
    try:
        with world(tmp_path, server.url, limit=LIMIT, knobs=SLOW, request={"timeout_seconds": 2.0}) as w:
            engine = w.start("r1", file=w.file(200))
            wait_until(lambda: done(w, "r1") > 40, seconds=30, what="some rows")
            acknowledged = set(w.view.select("r1", [RowState.DONE], 200).tolist())
            server.kill()
            at_kill = len(arrived(w))
            time.sleep(1.0)
            during = len(arrived(w)) - at_kill
            server.start()
            w.control(**QUICK)
            ended = w.ended(engine)

            assert during <= LIMIT["in_flight"]
            assert acknowledged <= set(w.view.select("r1", [RowState.DONE], 200).tolist())
            assert ended["state"] == RunState.FINISHED
            assert ended["counts"]["done"] == 200
            assert w.report()["over"] == w.report()["keys_repeated"] == 0
    finally:
        server.stop()


def test_a_redis_that_stays_away_stops_the_run_with_a_reason(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis").start()
    try:
        with world(tmp_path, server.url, limit=LIMIT, knobs=SLOW, request={"timeout_seconds": 2.0}) as w:
            engine = w.start("r1", file=w.file(200), give_up_seconds=2)
            wait_until(lambda: done(w, "r1") > 40, seconds=30, what="some rows")
            server.kill()
            engine.wait(30)
            assert engine.returncode != 0  # it cannot even write down how it ended; the ledger says so later
            server.start()
            w.control(**QUICK)

            assert w.deliver("r1")["counts"]["done"] >= 190
            assert w.report()["over"] == w.report()["keys_repeated"] == 0
    finally:
        server.stop()


def test_outcomes_that_a_full_redis_refuses_are_kept_and_recorded_later(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis").start()
    try:
        with world(tmp_path, server.url, limit=LIMIT, knobs={"delay_min_seconds": 0.2, "delay_max_seconds": 0.3}) as w:
            engine = w.start("r1", file=w.file(150))
            wait_until(lambda: done(w, "r1") > 20, seconds=30, what="some rows")
            client = connect(server.url)
            client.config_set("maxmemory", 1)
            time.sleep(1.0)
            at_full = len(arrived(w))
            time.sleep(1.0)
            assert len(arrived(w)) == at_full, "rows were sent although nothing could be recorded"
            client.config_set("maxmemory", 0)
            w.control(**QUICK)
            ended = w.ended(engine)

            assert ended["counts"]["done"] == 150
            assert w.report()["keys_repeated"] == 0
            assert not (tmp_path / "data" / "journal" / "r1.jsonl").exists()
    finally:
        server.stop()


def test_a_lost_spool_is_made_again_from_the_same_file_and_from_no_other(tmp_path: Path, redis_url: str) -> None:
    import shutil

    with world(tmp_path, redis_url, limit=LIMIT, knobs=SLOW) as w:
        engine = w.start("r1", file=w.file(150))
        wait_until(lambda: done(w, "r1") > 10, seconds=30, what="some rows")
        engine.kill()
        engine.wait()
        shutil.rmtree(tmp_path / "data" / "spool")
        first = w.run("r1").total
        assert first == 150

        from flows.delivery.delivery import Delivery
        from flows.errors import FileError
        from flows.pipeline.reading import load
        from flows.settings import Settings

        delivery = Delivery("r1", load(w.pipeline), Settings(data=tmp_path / "data"), redis_url)
        delivery.take(resume=True)
        other = w.file(151, name="other.csv")
        with pytest.raises(FileError, match="is not the file that this run began with"):
            delivery.spooling.make_anew(other)
        delivery.spooling.make_anew(tmp_path / "rows.csv")
        assert delivery.spooling.is_whole()

        delivery.ledger.facts("r1", spool="another", respools=1)  # killed between the new spool and its being noted
        assert not delivery.spooling.is_whole()
        delivery.spooling.make_anew(tmp_path / "rows.csv")
        assert delivery.spooling.is_whole()
        delivery.ledger.facts("r1", spool="another")
        with pytest.raises(FileError, match="is not the one that its check wrote"):
            delivery.spooling.is_whole()
        delivery.spooling.make_anew(tmp_path / "rows.csv")
