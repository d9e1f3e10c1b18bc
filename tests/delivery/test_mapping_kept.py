"""What a person says of a file's columns is kept with the run, and so is what a page needs to ask for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from flows.delivery.delivery import Delivery
from flows.delivery.order import Order
from flows.errors import ColumnsDiffer
from flows.ledger.ledger import Ledger
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.settings import Settings
from tests.files.test_values import defined

Begun = Callable[[Definition], Delivery]


@pytest.fixture
def contacts(tmp_path: Path) -> Definition:
    return defined(tmp_path, "email: {type: str}", "name: {type: str}")


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    return Settings(data=tmp_path / "data", redis_url=redis_url)


@pytest.fixture
def begun(settings: Settings, redis_url: str) -> Iterator[Begun]:
    """Begins deliveries of `r1`, and lets go of each at the end: a lease that is kept on would hold others' runs up."""
    made: list[Delivery] = []

    def begin(definition: Definition) -> Delivery:
        made.append(Delivery("r1", definition, settings, redis_url))
        return made[-1]

    yield begin
    for delivery in made:
        delivery.release()


def written(folder: Path, header: str = "E-mail,name") -> Path:
    (folder / "f.csv").write_text(f"{header}\na@b.de,{'A' * 100}\n")
    return folder / "f.csv"


def test_a_resume_reads_the_file_with_what_was_said_of_its_columns(
    contacts: Definition, settings: Settings, redis_url: str, tmp_path: Path, begun: Begun
) -> None:
    file, ledger = written(tmp_path), Ledger(redis.Redis.from_url(redis_url))
    order = Order(contacts, str(file), trusted=True, mapping={"E-mail": "email"})
    order.store(ledger, "r1", by="test", only_check=False)
    delivery = begun(contacts)
    delivery.take(resume=False)
    delivery.spooling.check(file, mapping=order.mapping)
    before = delivery.spool.read(0, 9)
    delivery.put_down("checked")

    again = Order.stored(delivery.view.run("r1"), View(ledger.client), settings)
    shutil.rmtree(delivery.spool.folder)
    resumed = begun(again.definition)
    resumed.take(resume=True)
    resumed.spooling.make_anew(file)

    assert again.mapping == {"E-mail": "email"}
    assert resumed.spool.read(0, 9) == before
    assert before[0].values["email"] == "a@b.de"
    notices = [text for _, text in delivery.view.events("r1")]
    assert "the column 'E-mail' of the file is taken for email, as was said" in notices


def test_a_refused_check_keeps_the_columns_of_the_file_and_some_values(
    contacts: Definition, settings: Settings, redis_url: str, tmp_path: Path, begun: Begun
) -> None:
    file, ledger = written(tmp_path), Ledger(redis.Redis.from_url(redis_url))
    Order(contacts, str(file)).store(ledger, "r1", by="test", only_check=True)
    delivery = begun(contacts)
    delivery.take(resume=False)

    with pytest.raises(ColumnsDiffer):
        delivery.spooling.check(file)

    facts = delivery.view.run("r1").facts
    assert facts.header == ("E-mail", "name")
    assert facts.header_rows == (("a@b.de", "A" * 80),)
    assert facts.asked_map == {}


def test_a_check_that_succeeds_after_a_refused_one_asks_nothing_more(
    contacts: Definition, settings: Settings, redis_url: str, tmp_path: Path, begun: Begun
) -> None:
    file, ledger = written(tmp_path), Ledger(redis.Redis.from_url(redis_url))
    Order(contacts, str(file)).store(ledger, "r1", by="test", only_check=True)
    delivery = begun(contacts)
    delivery.take(resume=False)
    with pytest.raises(ColumnsDiffer):
        delivery.spooling.check(file)

    delivery.spooling.check(written(tmp_path, "email,name"))

    assert delivery.view.run("r1").facts.header == ()
