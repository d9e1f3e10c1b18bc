"""Where the columns of a file are not called as the pipeline calls them: what is proposed, and what a person says."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.commands.mapping import mapping_of
from flows.delivery.check import check_file
from flows.errors import BadFile, ColumnsDiffer, RowrelayError
from flows.pipeline.column import Column
from flows.pipeline.definition import Definition
from flows.pipeline.proposal import Proposal, propose
from tests.files.test_values import defined

MAIL = {"type": "str", "pattern": r"[^@\s]+@[^@\s]+"}


def proposed(columns: dict[str, dict[str, object]], header: str, *rows: str) -> Proposal:
    rules = {name: Column.model_validate(column) for name, column in columns.items()}
    return propose(rules, header.split(","), [row.split(",") for row in rows])


def test_what_is_left_is_paired_where_the_values_leave_one_way() -> None:
    columns: dict[str, dict[str, object]] = {
        "country": {"type": "str", "one_of": ["DE", "FR"]}, "amount": {"type": "decimal"}, "pieces": {"type": "int"}
    }  # fmt: skip
    rows = ["DE,1.50,3", "Germany,2,7", "FR,3.25,1"]

    found = proposed(columns, "Land,Betrag,Zahl", *(row.replace("3.25", "3;25") for row in rows))

    assert {pair.column: pair.name for pair in found.pairs} == {"country": "Land", "amount": "Betrag", "pieces": "Zahl"}
    assert found.of("amount").why == "of the columns that are left only its values fit"  # type: ignore[union-attr]
    # With a column more on either side, or values that fit two, nobody can tell.
    assert [
        pair.column for pair in proposed(columns, "Land,Betrag,Zahl,Rest", *(f"{row},1" for row in rows)).pairs
    ] == []
    assert not proposed({"amount": {"type": "decimal"}, "price": {"type": "decimal"}}, "a,b", "1,2", "3,4").pairs


def pairs(made: Proposal) -> dict[str, str]:
    return {pair.column: pair.name for pair in made.pairs}


@pytest.mark.parametrize(
    ("columns", "header", "found"),
    [
        ({"email": {"type": "str"}}, "E-mail,x", {"email": "E-mail"}),
        ({"firstName": {"type": "str"}}, "First name,Last name", {"firstName": "First name"}),
        ({"email": {"type": "str"}}, "Customer E-mail,Name", {"email": "Customer E-mail"}),
        ({"title": {"type": "str"}}, "titel,body", {"title": "titel"}),
        ({"city": {"type": "str", "from": ["Ort"]}}, "ORT,x", {"city": "ORT"}),
        ({"stadt": {"type": "str"}}, "Städt,x", {"stadt": "Städt"}),
        ({"phone": {"type": "str"}}, "E-mail,x", {}),
        ({"a": {"type": "str"}, "b": {"type": "str"}}, "A,B", {"a": "A", "b": "B"}),
        ({"email": {"type": "str"}}, "E-mail,e_mail", {}),  # one as likely as the other
    ],
)
def test_names_that_are_alike_are_proposed(
    columns: dict[str, dict[str, object]], header: str, found: dict[str, str]
) -> None:
    assert pairs(proposed(columns, header)) == found


def test_values_tell_where_names_do_not() -> None:
    columns: dict[str, dict[str, object]] = {
        "email": MAIL,
        "born": {"type": "date", "format": "DD.MM.YYYY"},
        "name": {"type": "str"},
        "price": {"type": "decimal"},
    }

    made = proposed(columns, "Kontakt,geboren,x,n", "a@b.de,01.02.1990,Anna,1", "c@d.de,31.12.1980,Bob,2")

    assert pairs(made) == {"email": "Kontakt", "born": "geboren"}
    assert (made.missing, made.left) == (("name", "price"), ("x", "n"))
    assert [(pair.score, pair.why) for pair in made.pairs] == [(0.7, "its 2 values fit"), (0.7, "its 2 values fit")]


def test_values_that_do_not_fit_speak_against_a_name() -> None:
    made = proposed({"email": MAIL}, "email name,Kontakt", "Anna,a@b.de", "Bob,b@c.de")

    assert pairs(made) == {"email": "Kontakt"}


def test_nothing_is_proposed_where_two_columns_would_do_as_well() -> None:
    made = proposed({"email": MAIL}, "one,two", "a@b.de,c@d.de")

    assert (made.pairs, made.left) == ((), ("one", "two"))


def test_a_first_line_that_holds_values_is_no_header() -> None:
    assert proposed({"email": MAIL}, "x@y.de,Zoe", "a@b.de,Anna").pairs == ()


def test_a_proposal_says_how_to_take_it_up() -> None:
    made = proposed({"email": MAIL, "name": {"type": "str"}}, "E-mail,Name (full)")

    assert [str(pair) for pair in made.pairs] == [
        "email may be \"E-mail\": --map 'E-mail=email', or from: [E-mail] in the definition",
        'name may be "Name (full)": --map \'Name (full)=name\', or from: ["Name (full)"] in the definition',
    ]


# What a person says.


@pytest.fixture
def contacts(tmp_path: Path) -> Definition:
    return defined(tmp_path, "email: {type: str}", "name: {type: str, optional: true}")


def written(folder: Path, text: str) -> Path:
    (folder / "f.csv").write_text(text, encoding="utf-8")
    return folder / "f.csv"


def test_a_refusal_proposes_and_has_what_a_page_needs(contacts: Definition, tmp_path: Path) -> None:
    file = written(tmp_path, "E-mail,Name\na@b.de,Anna\n")

    with pytest.raises(ColumnsDiffer) as refused:
        check_file(file, contacts)

    assert refused.value.hint == "email may be \"E-mail\": --map 'E-mail=email', or from: [E-mail] in the definition"
    assert (refused.value.names, refused.value.samples) == (("E-mail", "Name"), (("a@b.de", "Anna"),))


def test_a_mapping_is_followed_and_told(contacts: Definition, tmp_path: Path) -> None:
    file = written(tmp_path, "E-mail,email,Name\na@b.de,old,Anna\n")

    result = check_file(file, contacts, mapping={"E-mail": "email"})

    assert result.first[0].values == {"email": "a@b.de", "name": "Anna"}
    assert result.ignored == ("email",)
    assert "the column 'E-mail' of the file is taken for email, as was said" in result.notices


def test_a_column_that_only_looks_like_one_can_be_said_to_be_none(contacts: Definition, tmp_path: Path) -> None:
    file = written(tmp_path, "email,names\na@b.de,Anna\n")
    with pytest.raises(ColumnsDiffer):
        check_file(file, contacts)

    result = check_file(file, contacts, mapping={"names": ""})

    assert result.first[0].values == {"email": "a@b.de", "name": None}
    assert result.notices[0] == "the column 'names' of the file is left out, as was said"


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        (
            {"E-mail": "mail"},
            "'E-mail' was said to be mail, and the pipeline has no such column; did you mean `email`?",
        ),
        ({"E-mail": "email", "Name": "email"}, "both 'E-mail' and 'Name' were said to be email"),
        ({"Mail": "email"}, "has no column 'Mail', which was said to be email"),
        ({"Name": "email", "E-mail": "name", "x": "email"}, "both 'Name' and 'x' were said to be email"),
    ],
)
def test_a_mapping_that_cannot_be_followed_is_refused(
    contacts: Definition, tmp_path: Path, mapping: dict[str, str], said: str
) -> None:
    with pytest.raises(BadFile) as refused:
        check_file(written(tmp_path, "E-mail,Name\na@b.de,Anna\n"), contacts, mapping=mapping)

    assert said in str(refused.value)


def test_what_is_said_at_the_command_line_is_read() -> None:
    assert mapping_of(["E-mail=email", "a=b=c", "x="]) == {"E-mail": "email", "a=b": "c", "x": ""}
    for text in ("email", "=email", " =x"):
        with pytest.raises(RowrelayError, match="does not say which column is which"):
            mapping_of([text])
    with pytest.raises(RowrelayError, match="twice"):
        mapping_of(["a=b", "a=c"])
