"""What is undone of a run and what is left alone, by which request; and that no value changes on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from flows.delivery.check import check_file
from flows.delivery.delivery import Delivery
from flows.delivery.earlier_run import file_name, lines, results_of, undoing
from flows.delivery.order import Order
from flows.delivery.renewal import renew
from flows.delivery.undoing import KeptTypes, plan, undo_definition
from flows.delivery.undone import CannotUndo
from flows.errors import DefinitionError, RowrelayError, RunBusy
from flows.ledger import keys
from flows.ledger.moves import Answer, Claim
from flows.ledger.run import Run
from flows.pipeline.definition import Definition
from flows.pipeline.file_form import said
from flows.pipeline.reading import load
from flows.records import RowState, RunState
from flows.retention import delete_run
from flows.settings import Settings
from flows.spool.spool import Spool
from flows.storage.located import opened
from tests.files.test_values import defined
from tests.harness.seeding import Seeded, seed

D, F, U = RowState.DONE, RowState.FAILED, RowState.UNKNOWN

YAML = """
name: orders
columns:
  code: {type: str, min_length: 1}
  note: {type: str, optional: true}
  price: {type: decimal, optional: true, max: 100000}
  born: {type: date, optional: true, as: unix}
key: [code]
request: {url: "https://api.example.com/orders", json: {code: "{code}"}, headers: {X-Token: "${secret:ORDERS_TOKEN}"}}
response: {keep: {orderId: id, tags: tags}, success: [201]}
undo:
  request: {method: DELETE, url: "https://api.example.com/orders/{orderId}"}
  answers: [{status: 404, means: done}]
limit: {name: orders, requests: 7, window_seconds: 1}
"""
NASTY = (
    "0012", "+49 30 1234", "=1+1", '="0012"', "'0012", "''=x", "@cmd", "-5", "1e5", "01.02.2026", "true", " padded ",
    'say "hi"', "comma, semicolon; tab\there", "line\nfeed", "carriage\r\nreturn", "Жанна 数据 😀", "null", "{brace}",
    "\ufeffmark", "---", "code", "a|b", "'", "''", "1,5", "½",
    "#N/A", "4.00638E+12",
)  # fmt: skip


@dataclass
class Shop:
    """A pipeline that can be undone, and where its runs are kept."""

    folder: Path
    settings: Settings
    redis_url: str

    def definition(self, yaml: str = YAML) -> Definition:
        """The pipeline, written into the folder where pipelines are looked for."""
        (self.folder / "orders.yaml").write_text(yaml, encoding="utf-8")
        return load(self.folder / "orders.yaml")

    def sent(self, codes: list[str], kept: dict[int, dict[str, Any]] | None = None, *, yaml: str = YAML) -> Seeded:
        """A run of these rows, all of them done, with what was kept of them."""
        file = self.folder / "orders.csv"
        quoted = ("code,note", *(f'"{code}",' for code in codes))
        file.write_text("\n".join(quoted) + "\n", encoding="utf-8")
        run = seed(self.settings, self.redis_url, file, definition=self.definition(yaml))
        for row in range(1, len(codes) + 1):
            self.done(run, row, (kept or {}).get(row, {"orderId": 100 + row}))
        return run

    def done(self, run: Seeded, row: int, kept: dict[str, Any], state: RowState = D) -> None:
        """Let a row end."""
        run.serial += 1
        epoch, names = run.delivery.lease.epoch, run.delivery.definition.kept
        run.ledger.claim(run.id, epoch, [Claim((row,), run.serial)], patience_seconds=60, idempotency_seconds=0)
        tail, detail = keys.pack(names, status=201, took_seconds=0.1, kept=kept, reason="", excerpt="")
        run.ledger.answer(run.id, [Answer(row, epoch, run.serial, state, tail, detail, None)])

    def ended(self, run: Seeded) -> Run:
        """The run, once nobody has it."""
        run.leave(RunState.FINISHED)
        return run.delivery.view.run(run.id)

    def undo(self, first: Run, name: str, *, by: Seeded) -> Seeded:
        """Check a run that undoes another; none of its rows is sent."""
        order = undoing(first, name, by.ledger, by.delivery.view, self.settings)
        order.store(by.ledger, name, by="test", only_check=True)
        made = replace(by, id=name, serial=0)
        made.delivery = Delivery(name, order.definition, self.settings, self.redis_url)
        made.delivery.lease.epoch = by.ledger.take(name, made.delivery.lease.owner, resume=False)
        with opened(order.file, self.settings, order.definition) as file:
            made.delivery.spooling.check(file, said=order.said)
        by.ledger.open(name, made.delivery.lease.epoch)
        return made


@pytest.fixture
def shop(tmp_path: Path, redis_url: str) -> Shop:
    return Shop(tmp_path, Settings(data=tmp_path / "data", pipelines=(tmp_path,)), redis_url)


def test_every_text_comes_back_as_it_was(shop: Shop, tmp_path: Path) -> None:
    definition = shop.definition()
    run = seed(shop.settings, shop.redis_url, _written(tmp_path, ["x"] * len(NASTY)), definition=definition)
    for row, text in enumerate(NASTY, 1):
        shop.done(run, row, {"orderId": text, "tags": [text, {"a": 1}]})
    first = shop.ended(run)

    planned = plan(run.delivery.view, shop.settings, first)
    (tmp_path / "undo.csv").write_bytes(
        b"".join(lines(first, run.delivery.view, shop.settings, reader=planned.definition, number="row"))
    )
    spool = Spool(str(tmp_path / "spool"), "undo")
    result = check_file(tmp_path / "undo.csv", planned.definition, spool, said=said(encoding="utf-8", delimiter=","))

    assert (result.accepted, result.rejected) == (len(NASTY), 0)
    assert [row.values["orderId"] for row in spool.read(0, len(NASTY))] == list(NASTY)
    assert [row.values["row"] for row in spool.read(0, len(NASTY))] == list(range(1, len(NASTY) + 1))


def test_the_cells_of_the_file_come_back_as_they_were_sent(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("code,note,price,born\n0012,,1.50,2026-01-31\n'0013,\"a\n'b\",1234.567,\n", encoding="utf-8")
    definition = shop.definition(YAML.replace("key:", "source: {apostrophes: keep}\nkey:"))
    run = seed(shop.settings, shop.redis_url, file, definition=definition)
    for row in (1, 2):
        shop.done(run, row, {"orderId": row})
    first = shop.ended(run)
    before = [row.values for row in run.delivery.spool.read(0, 2)]

    made = shop.undo(first, "undo-1", by=run)

    after = [row.values for row in made.delivery.spool.read(0, 2)]
    assert [{name: row[name] for name in before[0]} for row in after] == before
    assert [(row["orderId"], row["tags"], row["row"]) for row in after] == [(1, None, 1), (2, None, 2)]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "int"), (["1", "02"], "str"), ([1, "2"], "str"), ([True], "bool"), ([1.5], "float"),
        ([1, 1.5], "decimal"), ([1e300, 1], "str"), ([2**63], "str"), ([{"a": 1}], "str"), ([None], "str"),
        ([True, 1], "str"),
    ],
)  # fmt: skip
def test_what_was_kept_goes_out_as_the_json_that_it_was_where_all_rows_agree(values: list[Any], kind: str) -> None:
    types = KeptTypes()
    for value in values:
        types.add({"id": value})

    assert types.of("id") == kind


def test_the_definition_is_that_of_the_run_with_its_undo_as_the_request(shop: Shop) -> None:
    made = undo_definition(shop.definition())

    assert (made.name, made.main.method, made.main.url) == (
        "orders", "DELETE", "https://api.example.com/orders/{orderId}",
    )  # fmt: skip
    assert made.column_names == ("code", "note", "price", "born", "orderId", "tags", "row")
    assert made.columns["price"].max is None  # its rows have passed that
    assert made.columns["born"].goes_out == "unix"
    assert [(rule.status, rule.means) for rule in made.answers] == [(404, "done")]
    assert made.response.success == [200, 201, 204]
    assert (made.response.keep, made.key, made.undo, made.schedules) == ({}, [], None, [])


def test_a_body_that_is_not_stated_has_all_columns_but_the_number_of_the_row(shop: Shop) -> None:
    yaml = YAML.replace("{method: DELETE, url: ", "{method: POST, url: ")

    made = undo_definition(shop.definition(yaml))

    assert made.main.body == {name: f"{{{name}}}" for name in ("code", "note", "price", "born", "orderId", "tags")}


@pytest.mark.parametrize("lacking", [None, "", " ", ".", ".."])
def test_a_row_without_what_the_request_needs_is_left_alone(shop: Shop, lacking: Any) -> None:
    run = shop.sent(["a", "b", "c"], {2: {"orderId": lacking, "tags": ["x"]}, 3: {}})
    first = shop.ended(run)

    planned = plan(run.delivery.view, shop.settings, first)
    made = shop.undo(first, "undo-1", by=run)

    assert (planned.rows, dict(planned.alone)) == (1, {"the run kept no orderId of it": 2})
    found = run.delivery.view.run("undo-1")
    assert (found.total, found.skipped, found.counts[RowState.REJECTED]) == (3, 2, 2)
    assert [row.values["code"] for row in made.delivery.spool.read(0, 1)] == ["a"]
    assert [str(each.reasons[0]) for each in made.delivery.spool.rejections()] == [
        "the run kept no orderId of it: nothing to undo"
    ] * 2


def test_a_row_whose_column_would_leave_the_path_empty_is_left_alone(shop: Shop) -> None:
    yaml = YAML.replace("orders/{orderId}", "orders/{note}?by={code}")
    run = shop.sent(["a"], yaml=yaml)

    with pytest.raises(CannotUndo, match="1 row: its note is empty"):
        plan(run.delivery.view, shop.settings, shop.ended(run))


def test_rows_that_are_not_done_are_not_undone_and_unknown_ones_are_told_of(shop: Shop) -> None:
    definition = shop.definition()
    run = seed(shop.settings, shop.redis_url, _written(shop.folder, ["a", "b", "c", "d"]), definition=definition)
    shop.done(run, 1, {"orderId": 1})
    shop.done(run, 2, {"orderId": 2}, U)
    shop.done(run, 3, {}, F)
    first = shop.ended(run)

    planned = plan(run.delivery.view, shop.settings, first)

    assert planned.words == [
        f"1 row of run {first.id[:8]} is undone: DELETE to api.example.com.",
        "1 row left alone: unknown, so nobody knows whether there is anything to undo. Settle those first if you want"
        " them undone.",
    ]
    made = shop.undo(first, "undo-1", by=run)
    assert made.delivery.view.run("undo-1").total == 1


def test_rows_that_are_done_after_an_undo_are_all_that_the_next_one_has(shop: Shop) -> None:
    definition = shop.definition()
    run = seed(shop.settings, shop.redis_url, _written(shop.folder, ["a", "b", "c"]), definition=definition)
    shop.done(run, 1, {"orderId": 1})
    shop.done(run, 2, {"orderId": 2})
    view = run.delivery.view
    run.ledger.renew(run.id, run.delivery.lease.epoch, lease_seconds=0.001)
    earlier = shop.undo(_rests(view.run(run.id)), "undo-1", by=run)
    shop.done(earlier, 1, {})
    shop.done(run, 3, {"orderId": 3})

    planned = plan(view, shop.settings, _rests(view.run(run.id)))
    made = shop.undo(_rests(view.run(run.id)), "undo-2", by=run)

    assert (planned.rows, dict(planned.alone)) == (
        1, {"run undo-1 has undone it": 1, "run undo-1 undoes it, and has it as waiting": 1},
    )  # fmt: skip
    assert [row.values["code"] for row in made.delivery.spool.read(0, 1)] == ["c"]
    assert view.run(run.id).undone == {"undo-1": 1}


def test_a_run_that_undid_nothing_and_is_deleted_is_forgotten(shop: Shop) -> None:
    run = shop.sent(["a", "b"])
    first = shop.ended(run)
    made = shop.undo(first, "undo-1", by=run)
    made.leave(RunState.CHECKING, "checked")
    delete_run("undo-1", run.ledger, shop.settings, by="test")

    first = run.delivery.view.run(first.id)
    assert first.facts.undone_by == {}
    assert plan(run.delivery.view, shop.settings, first).rows == 2


def test_an_undo_goes_on_by_what_it_began_with_also_where_its_spool_is_gone(shop: Shop) -> None:
    run = shop.sent(["a", "b", "c"], {2: {}})
    made = shop.undo(shop.ended(run), "undo-1", by=run)
    begun = made.delivery.definition
    shop.definition(YAML.replace("requests: 7", "requests: 3").replace("DELETE", "PUT"))  # the pipeline is another now
    made.delivery.spool.delete()

    order = Order.stored(run.delivery.view.run("undo-1"), run.delivery.view, shop.settings)
    with opened(order.file, shop.settings, order.definition) as file:
        made.delivery.spooling.make_anew(file)

    assert (order.undoes, order.definition.main) == (run.id, begun.main)
    assert order.definition.limit.requests == 3  # of today
    assert [row.values["orderId"] for row in made.delivery.spool.read(0, 2)] == [101, 103]


def test_a_run_that_is_delivered_is_not_undone(shop: Shop) -> None:
    run = shop.sent(["a"])

    with pytest.raises(RunBusy):
        plan(run.delivery.view, shop.settings, run.delivery.view.run(run.id))


def test_a_pipeline_that_says_nothing_of_undo_is_refused_with_what_to_write(shop: Shop) -> None:
    yaml = "\n".join(
        each for each in YAML.splitlines() if "undo" not in each and "DELETE" not in each and "404" not in each
    )
    run = shop.sent(["a"], yaml=yaml)

    with pytest.raises(CannotUndo, match="did not say how its rows are undone") as refused:
        plan(run.delivery.view, shop.settings, shop.ended(run))
    assert "`undo:`" in refused.value.hint


def test_a_run_that_was_sent_elsewhere_is_not_undone_at_the_api_of_its_pipeline(shop: Shop) -> None:
    run = shop.sent(["a"], yaml=YAML.replace('"https://api.example.com/orders"', '"http://127.0.0.1:9/orders"'))
    shop.definition()  # what the pipeline says; the run was begun with --url

    with pytest.raises(CannotUndo, match=r"sent to 127\.0\.0\.1:9, but its undo would go to api\.example\.com"):
        plan(run.delivery.view, shop.settings, shop.ended(run))


def test_a_run_that_undoes_another_keeps_its_definition(shop: Shop) -> None:
    """By the pipeline of today its failed rows would be sent instead of undone."""
    run = shop.sent(["a"])
    first = shop.ended(run)
    made = shop.undo(first, "undo-1", by=run)
    shop.done(made, 1, {}, F)
    ended = shop.ended(made)

    with pytest.raises(DefinitionError, match="it undoes another run"):
        renew(ended, "failed", run.ledger, run.delivery.view, shop.settings, by="test")


def test_the_results_of_a_run_are_what_another_pipeline_sends(shop: Shop, tmp_path: Path) -> None:
    run = shop.sent(["0012", "'x"], {1: {"orderId": "007"}, 2: {"orderId": "8"}})
    first = shop.ended(run)
    (tmp_path / "others.yaml").write_text(
        "name: others\ncolumns: {code: {type: str}, orderId: {type: str}}\nsource: {encoding: cp1251}\n"
        'request: {url: "https://other.example/x"}\nlimit: {name: o, requests: 1, window_seconds: 1}\n',
        encoding="utf-8",
    )
    definition = load(tmp_path / "others.yaml")

    order = results_of(first, "other-1", definition, run.delivery.view, shop.settings)

    spool = Spool(str(tmp_path / "spool"), "other-1")
    with opened(order.file, shop.settings, definition) as file:
        check_file(file, definition, spool, said=order.said)
    assert [row.values for row in spool.read(0, 2)] == [
        {"code": "0012", "orderId": "007"}, {"code": "'x", "orderId": "8"},
    ]  # fmt: skip
    assert order.file == "other-1/results of orders.csv"
    assert (order.undoes, order.definition.name) == ("", "others")


def test_a_run_with_nothing_done_has_no_results_to_send(shop: Shop) -> None:
    run = seed(shop.settings, shop.redis_url, _written(shop.folder, ["a"]), definition=shop.definition())

    with pytest.raises(RowrelayError, match="no done rows"):
        results_of(shop.ended(run), "x", shop.definition(), run.delivery.view, shop.settings)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("orders.csv", "undo of orders.csv"), ("a/b.csv.gz", "undo of b.csv"), ("x" * 300, f"undo of {'x' * 150}.csv")],
)
def test_the_file_has_a_name_that_people_understand(shop: Shop, name: str, shown: str) -> None:
    run = replace(shop.ended(shop.sent(["a"])), file=name)
    run = replace(run, facts=type(run.facts)(name=""))

    assert file_name(run, "undo of") == shown


def _written(folder: Path, codes: list[str]) -> Path:
    (folder / "orders.csv").write_text("\n".join(("code", *codes)) + "\n", encoding="utf-8")
    return folder / "orders.csv"


def _rests(run: Run) -> Run:
    return replace(run, busy=False)


def test_results_are_written_as_the_pipeline_that_reads_them_wants_them(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("code,note,price,born\nA,x,1.234,2026-02-01\n", encoding="utf-8")
    run = seed(shop.settings, shop.redis_url, file, definition=shop.definition())
    shop.done(run, 1, {"orderId": "7"})
    first = shop.ended(run)
    price, born = (
        'Preis: {type: decimal, decimal: ",", group: ".", from: [price]}',
        "born: {type: date, format: M/D/YYYY}",
    )
    other = defined(tmp_path, price, born)

    (tmp_path / "results.csv").write_bytes(b"".join(lines(first, run.delivery.view, shop.settings, reader=other)))
    result = check_file(tmp_path / "results.csv", other, said=said(encoding="utf-8", delimiter=","))

    assert [row.values for row in result.first] == [{"Preis": Decimal("1.234"), "born": date(2026, 2, 1)}]
