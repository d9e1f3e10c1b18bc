"""The facts of a run: what is written is read back, typed, also as programs before this one wrote it."""

from __future__ import annotations

import pytest
import redis

from flows.ledger import facts, keys
from flows.ledger.connection import connect
from flows.ledger.facts import Facts
from flows.records import Reading
from tests.ledger.test_ledger import RUN, begin


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return connect(redis_url)


def test_what_is_written_is_read_back(client: redis.Redis) -> None:
    ledger, view, epoch = begin(client)
    told = Facts(
        name="a.csv",
        trusted=True,
        only_check=False,
        asked_apostrophes="remove",
        readings=(Reading("cp1251", ("a,b", "1,2")),),
        delivered_in={"r0": 3},
        notices=["odd", "äöü"],
        held_by={"rate": 1.5},
        check_seconds=1.25,
        resumed_rows=0,
        peak=7,
    )
    changed = {name: getattr(told, name) for name in Facts.__struct_fields__ if getattr(told, name) is not None}
    for name in ("epoch", "serials", "requests", "begun"):  # the script's own
        del changed[name]

    ledger.facts(RUN, epoch=epoch, **changed)

    found = view.run(RUN).facts
    assert {name: getattr(found, name) for name in changed} == changed
    assert found.epoch == epoch


def test_facts_of_earlier_programs_are_read(client: redis.Redis) -> None:
    _, view, _ = begin(client)
    client.hset(
        keys.run_key(RUN),
        mapping={"check_seconds": "0.050", "skip_delivered": "0", "trusted": "1", "notices": "", "gone_since": "x",
                 "seconds": "3", "used_of_limit": "0.93", "delivered_in": '{"r0": 3}', "halted": "2"},
    )  # fmt: skip

    found = view.run(RUN).facts

    assert (found.check_seconds, found.skip_delivered, found.trusted, found.notices) == (0.05, False, True, [])
    assert (found.seconds, found.used_of_limit, found.delivered_in, found.halted) == (3.0, 0.93, {"r0": 3}, 2)
    assert (found.only_check, found.resumed_rows, found.apostrophes) == (False, -1, "keep")
    assert view.run(RUN).stored["gone_since"] == "x"


def test_what_is_no_fact_is_not_written(client: redis.Redis) -> None:
    ledger, view, _ = begin(client)

    with pytest.raises(TypeError, match="no facts of a run: naem"):
        ledger.facts(RUN, naem="a.csv")

    assert facts.written({"name": "a", "source": None, "trusted": True}) == {"name": "a", "trusted": 1}
    assert "naem" not in view.run(RUN).stored


def test_a_run_of_before_there_were_kinds_of_file_had_a_file_of_text() -> None:
    """Its spool may have to be made anew, from a file that begins like JSON."""
    older = Facts(encoding="utf-8", delimiter=";", apostrophes="keep")
    newer = Facts(encoding="utf-8", form={"kind": "json", "path": "data"})

    assert older.as_read.stated == {"kind": "csv", "encoding": "utf-8", "delimiter": ";", "apostrophes": "keep"}
    assert newer.as_read.stated == {"kind": "json", "path": "data"}
