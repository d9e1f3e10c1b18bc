"""JSON Lines and JSON: records as a second reader finds them, each at its place; what is none is said."""

# ruff: noqa: E501  a message stands in one piece

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from flows.delivery.check import check_file
from flows.errors import ColumnsDiffer, FileError
from flows.pipeline.column import Column
from flows.pipeline.file_form import FileForm
from flows.pipeline.pipelines import shipped
from flows.pipeline.reading import load
from flows.records import Reason, Rejection
from flows.source.header import Called
from flows.source.json_walk import Walk
from flows.source.source import open_file
from flows.source.spelled_columns import Columns
from flows.source.spelling import canonical, spellings
from flows.source.table import NotSpelled
from tests.files.test_fuzz import MOST_MIB, bounded, mutated, peak_of

POSTS = load(shipped() / "posts.yaml", environ={})
Found = tuple[list[tuple[int, list[str]]], list[tuple[int, str]]]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("json") / "rows"


def read(
    path: Path, data: str | bytes, wanted: dict[str, bool] | None = None, form: FileForm | None = None, **called: Any
) -> Found:
    """(line and wanted cells of each row, line and reason of each rejection)."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    rows: list[tuple[int, list[str]]] = []
    rejections: list[Rejection] = []
    with open_file(path, wanted, form=form or FileForm(), called=Called(**called)) as source:
        for frame in source.frames(7):
            rows += zip(frame.lines.tolist(), frame.text.astype(object).to_numpy().tolist(), strict=True)
            rejections += frame.rejections
    return rows, [(each.line, each.reasons[0].check) for each in rejections]


def refused(path: Path, data: str, form: FileForm | None = None) -> str:
    with pytest.raises(FileError) as refusal:
        read(path, data, form=form)
    return str(refusal.value).removeprefix(str(path))


def test_numbers_keep_their_digits(path: Path) -> None:
    texts = [
        "0.1", "1.10", "12345678901234567890.123", "123456789012345678901234567890", "-0.5", "0.00000001", "5.0", "7",
        "1" * 300 + ".5",
    ]  # fmt: skip

    lines = read(path, "".join(f'{{"n": {text}, "s": "x"}}\n' for text in texts))[0]
    array = read(path, "[" + ",".join(f'{{"n": {text}, "s": "x"}}' for text in texts) + "]")[0]

    assert [cells[0] for _, cells in lines] == [cells[0] for _, cells in array] == texts


def test_an_exponent_is_written_out_as_long_as_a_number_can_be_read(path: Path) -> None:
    rows = read(path, '{"n": 1.5e3}\n{"n": 1E-3}\n{"n": 1e400}\n')[0]

    assert [cells for _, cells in rows] == [["1500"], ["0.001"], ["1E+400"]]


def test_values_are_text_as_their_columns_read_them(path: Path) -> None:
    columns = {
        "price": Column(type="decimal", decimal=","),
        "on": Column(type="bool"),
        "more": Column(type="json"),
        "tags": Column(type="list", split=";"),
        "note": Column(type="str"),
    }
    data = (
        '{"price": 0.10, "on": true, "more": "text", "tags": ["a", "b"], "note": null}\n'
        '{"price": 5, "on": false, "more": {"a": [1.50]}, "tags": ["c"], "note": "x"}\n'
    )

    rows = read(path, data, dict.fromkeys(columns, False), columns=columns)[0]

    assert [cells for _, cells in rows] == [
        ["0,10", "true", '"text"', "a;b", ""],
        ["5", "false", '{"a":[1.50]}', "c", "x"],
    ]


def test_each_line_is_a_new_chance(path: Path) -> None:
    bad = {
        2: ('{"a": 1,}', "must be JSON: expecting property name enclosed in double quotes at character 9"),
        3: ("[1]", "is no object of names and values"),
        4: ("null", "is no object of names and values"),
        6: ('{"a": 1, "b": 0, "a": 2}', "must be JSON: it states 'a' twice"),
        7: ('{"a" : 1, "a": 2}', "must be JSON: it states 'a' twice"),
        8: ('{"a": {"b": 1, "b": 2}}', "must be JSON: it states 'b' twice"),
        9: ('{"a": "\\u0022:", "a": 2}', "must be JSON: it states 'a' twice"),
        10: ('{"a": "\\ud800"}', "must be JSON: it holds half a character (a surrogate alone)"),
        11: ('{"a": NaN}', "must be JSON: it has NaN, which is no number of JSON"),
        12: ('{"a": 1e99999999999999999999}', "must be JSON: it has a number that is too large"),
        13: ('{"a": "\\u0000"}', "holds a NUL character"),
        14: ('{"a": ' + "9" * 5000 + "}", "must be JSON: it has a number that is too long"),
        15: ('{"a": ' + "[" * 100_000, "must be JSON: it is nested too deep"),
        16: ('{"a": "' + "x" * (1 << 20) + '"}', "is longer than 1,048,576 characters"),
        17: ('{"a": 1} {"a": 2}', "must be JSON: extra data at character 10"),
    }
    good = {1: '{"a": 1}', 5: "  ", 18: '{"a" :3}\r', 19: '{"a": "x : y"}', 20: '{"a": "\\":"}', 21: "", 22: '{"a": 4}'}
    lines = [good.get(line) or bad.get(line, ("",))[0] for line in range(1, 23)]

    rows, rejections = read(path, "\n".join(lines))

    assert rows == [(1, ["1"]), (18, ["3"]), (19, ["x : y"]), (20, ['":']), (22, ["4"])]
    assert rejections == [(line, why) for line, (_, why) in bad.items()]


def test_a_field_that_may_be_missing_is_found_however_late_it_comes(path: Path) -> None:
    data = '{"a": 1}\n' * 1200 + '{"a": 2, "note": "here", "other": 1}\n'
    path.write_text(data)

    with open_file(path, {"a": False, "note": True, "never": True}) as source:
        rows = [cells for frame in source.frames() for cells in frame.text.astype(object).to_numpy().tolist()]
        assert source.absent == ("never",)
        assert [each for each in source.notices if "(other; the first in line 1201)" in each]

    assert rows[-1] == ["2", "here", ""]
    assert len(rows) == 1201


def test_a_late_field_that_is_another_name_of_a_column_ends_the_reading(path: Path) -> None:
    data = '{"a": 1}\n' * 1200 + '{"a": 2, "Note ": "here"}\n'

    with pytest.raises(FileError, match=r"rows:1201: 'Note ' comes here for the first time"):
        read(path, data, {"a": False, "n": True}, others={"n": ["note"]})
    listed = "[" + data.strip().replace("\n", ",") + "]"
    with pytest.raises(FileError, match=r"rows: \[1200\]: 'Note ' comes here for the first time"):
        read(path, listed, {"a": False, "n": True}, others={"n": ["note"]})


def test_a_field_that_is_called_otherwise_is_asked_for(path: Path) -> None:
    with pytest.raises(ColumnsDiffer) as refusal:
        read(path, '{"E-mail": "a@example.com"}\n', {"email": False})

    assert refusal.value.names == ("E-mail",)
    assert refusal.value.samples == (("a@example.com",),)


def test_a_name_with_points_leads_into_objects(path: Path) -> None:
    data = (
        '{"id": 1, "address": {"city": "Rome", "geo": {"lat": 41.90}}, "a.b": "own"}\n'
        '{"id": 2, "address": null}\n{"id": 3, "address": {"city": null}}\n'
    )

    rows = read(path, data, {"id": False, "address.city": True, "address.geo.lat": True, "a.b": True})[0]

    assert [cells for _, cells in rows] == [["1", "Rome", "41.90", "own"], ["2", "", "", ""], ["3", "", "", ""]]


def test_what_is_not_taken_apart_is_json(path: Path) -> None:
    rows = read(path, '{"id": 1, "more": {"a": [1.50, "x", null]}}\n')[0]

    assert rows == [(1, ["1", '{"a":[1.50,"x",null]}'])]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_the_encoding_is_that_of_the_mark(path: Path, encoding: str) -> None:
    assert read(path, '{"a": "é"}\n{"a": 2}\n'.encode(encoding))[0] == [(1, ["é"]), (2, ["2"])]
    assert read(path, '[{"a": "é"}]'.encode(encoding))[0] == [(1, ["é"])]


def test_another_encoding_may_be_named(path: Path) -> None:
    data = '{"a": "Zürich"}\n'.encode("cp1252")

    with pytest.raises(FileError, match="is not valid utf-8: byte 0xFC"):
        read(path, data)
    assert read(path, data, form=FileForm(encoding="cp1252"))[0] == [(1, ["Zürich"])]


# -- lists in a file ---------------------------------------------------------------------------------------------------

MEND = "\nWhat follows is not certain: mend it there."
NESTED = '{"total": 2, "data": {"items": [{"a": 1}, {"a": 2}, null]}, "codes": [1, [{"x": 1}]], "none": []}'


def test_the_only_list_of_objects_is_found_wherever_it_is(path: Path) -> None:
    rows, rejections = read(path, NESTED)

    assert rows == [(1, ["1"]), (2, ["2"])]
    assert rejections == [(3, "is no object of names and values")]
    with open_file(path) as source:
        assert source.kind == "json"
        assert source.origin.place(2, "a") == "data.items[1].a"


def test_of_several_lists_one_has_to_be_named(path: Path) -> None:
    two = '{"x": [{"a": 1}], "y": {"z": [{"a": 2}]}}'

    assert refused(path, two) == (
        ": has more than one list of objects: x, y.z\nSay which one: --path x (in a definition source: {path: x})."
    )
    assert read(path, two, form=FileForm(path="y.z"))[0] == [(1, ["2"])]
    assert refused(path, two, FileForm(path="y")) == ": has no list at y\nLeave path out, or mend it."
    assert ": items, items\n" in refused(path, '{"items": [{"a": 1}], "items": [{"a": 2}]}')


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ('{\n"a": 1}\n{\n"a": 2}\n', ":3: is no valid JSON: other data behind its end (column 1)\nIf records stand one below the other, write each in one line (jq -c .), or all in a list: [{…}, {…}]."),
        ("[]", ": is JSON without a list of objects\nEach row must be an object in a list: [{…}, {…}]."),
        ("[1, 2]", ": is JSON without a list of objects\nEach row must be an object in a list: [{…}, {…}]."),
        ('[{"a": 1}, {"a":', ": is cut off: its JSON has no end\nCopy or download it again."),
        ('[{"a": 1}', ": is cut off: its JSON has no end\nCopy or download it again."),
        ('[{"a": "x', ": is cut off: its JSON has no end\nCopy or download it again."),
        ('[{"a": 1},\n {"a": 2,}]', f":2: is no valid JSON: a mistake: expecting property name enclosed in double quotes (column 10){MEND}"),
        ('[{"a": 1},\n {"a" 2}, {"a": 3}]', f":2: is no valid JSON: a mistake: expecting ':' delimiter (column 7){MEND}"),
        ('[{"a": 1} {"a": 2}]', f":1: is no valid JSON: , or ] is missing (column 11){MEND}"),
        ('[{"a": 1}] x', f":1: is no valid JSON: other data behind its end (column 12){MEND}"),
        ('{"a": [{"b": 1}], 5: 6}', f':1: is no valid JSON: " is missing (column 19){MEND}'),
        ('[{"a": ' + "[" * 100_000 + "]", f":1: is no valid JSON: values that are nested too deep (column 2){MEND}"),
        ('[{"a": "' + "x" * (4 << 20) + '"}]', f":1: is no valid JSON: a value that is longer than 1,048,576 characters (column 2){MEND}"),
    ],
    ids=lambda value: value[:24].strip() or "data",
)  # fmt: skip
def test_what_is_no_list_of_objects_is_refused_with_its_place(path: Path, data: str, said: str) -> None:
    assert refused(path, data) == said


@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_is_one_row_which_is_said(path: Path, indent: int | None) -> None:
    path.write_text(json.dumps({"id": 1, "name": "  Ada  ", "tags": ["x"], "address": {"city": "Bonn"}}, indent=indent))

    with open_file(path, {"id": False, "name": False, "address.city": False}) as source:
        (frame,) = source.frames()
        notices = source.notices

        assert source.ignored == ("tags",)  # not the address, of which a field is wanted

    assert frame.text.to_numpy().tolist() == [["1", "  Ada  ", "Bonn"]]
    assert ["is one object, which is read as one row" in each for each in notices] == ([True] if indent else [])
    assert refused(path, '{"a": [\n1]}', FileForm(path="b")) == ": has no list at b\nLeave path out, or mend it."
    assert "is one object of more than 1,048,576" in refused(
        path, "{\n" + ",".join(f'"{at}": "{at:0999}"' for at in range(1100)) + "}"
    )


def test_a_list_that_was_found_in_a_file_is_named(path: Path) -> None:
    path.write_text('{"count": 1, "data": {"items": [{"a": 1}]}}')
    with open_file(path) as source:
        list(source.frames())
        assert source.notices == ("the rows are those of the list data.items; what stands around it was passed over",)
    with open_file(path, form=FileForm(path="data.items")) as source:
        list(source.frames())
        assert source.notices == ()


def test_columns_that_differ_are_told_with_the_list_that_they_are_from(path: Path) -> None:
    path.write_text('{"id": 1, "lines": [{"sku": "a"}]}')

    with pytest.raises(ColumnsDiffer) as refusal:
        open_file(path, {"id": False})
    assert refusal.value.hint.endswith(
        "These are those of the list lines. If the object around it is a row, write it in a list."
    )
    with pytest.raises(ColumnsDiffer) as refusal:
        open_file(path, {"id": False}, form=FileForm(path="lines"))
    assert "the object around it" not in refusal.value.hint


def test_a_header_in_brackets_is_no_json(path: Path) -> None:
    assert read(path, "[id],[name]\n1,x\n")[0] == [(2, ["1", "x"])]
    assert read(path, "{id},{name}\n1,x\n")[0] == [(2, ["1", "x"])]


@pytest.mark.parametrize("how", [{}, {"indent": 1}, {"separators": (",", ":")}], ids=["json", "indented", "dense"])
def test_a_long_list_is_read_in_pieces(path: Path, how: dict[str, Any]) -> None:
    records = [{"id": at, "n": {"k": [{"a": 1}, {"id": at}]}, "s": "x" * (at % 90)} for at in range(9000)]
    text = json.dumps({"rows": records}, **how)
    walk = Walk(iter([text[at : at + 65_536] for at in range(0, len(text), 65_536)]), lambda *_, **__: FileError("no"))

    one_by_one = [len(items.raws) for _ in walk.lists(None) for items in walk.items()]
    rows = read(path, text)[0]

    assert [cells[0] for _, cells in rows] == [str(at) for at in range(9000)]
    assert rows[8999] == (9000, ["8999", '{"k":[{"a":1},{"id":8999}]}', "x" * (8999 % 90)])
    assert sum(one_by_one) < 2000  # the others were decoded many at once


# -- as other readers read ---------------------------------------------------------------------------------------------

keys = st.sampled_from(["a", "b", "c", 'q"', "x:y", "é"])
scalars = (
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(st.characters(exclude_categories=("Cs",)), max_size=9)
    | st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**20), max_value=10**20)
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)
objects = st.lists(st.dictionaries(keys, values, min_size=1, max_size=5), min_size=1, max_size=30)


def written(value: Any) -> str:
    """JSON by the standard library, decimals as numbers."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


@bounded(300)
@given(objects, st.booleans())
@example([{"a": Decimal("0.10"), "b": -0}, {"b": True, "a": [Decimal("1.50"), {}]}], True)
def test_the_standard_library_finds_the_same_values(path: Path, records: list[dict[str, Any]], lines: bool) -> None:
    texts = [written(record) for record in records]
    data = "\n".join(texts) if lines else "[" + " ,\n".join(texts) + "]"
    names = list(dict.fromkeys(key for record in records for key in record))
    others = [json.loads(text, parse_float=Decimal) for text in texts]
    assume(any(canonical(value).strip() for other in others for value in other.values()))  # else there is no row at all
    form = FileForm(kind="jsonl" if lines else "json")
    path.write_bytes(data.encode())

    with open_file(path, None, form=form) as source:
        frames = list(source.frames())

    assert list(source.columns) == names
    places = {line: cells for frame in frames for line, cells in zip(frame.lines.tolist(), frame.cells, strict=True)}
    rejected = {each.line for frame in frames for each in frame.rejections}
    for at, other in enumerate(others, 1):
        expected = [canonical(other.get(name)) for name in names]
        if at in places:
            assert places[at] == expected
        elif any(cell.strip() for cell in expected):  # a row without content is no row
            assert at in rejected
            assert any("\0" in cell or not cell.strip("-=_ \t") for cell in expected)


@bounded(200)
@given(
    st.sampled_from([Column(type=kind) for kind in ("int", "float", "decimal", "str", "bool", "date", "json", "list")]
    + [Column(type="decimal", decimal=",", group="."), Column(type="str", map={"5": "five"}), Column(type="list", split=";")]),
    st.integers(-(10**14), 10**14) | st.decimals(allow_nan=False, allow_infinity=False, places=2, max_value=10**9),
)  # fmt: skip
def test_a_column_at_once_is_spelled_as_its_cells_one_by_one(column: Column, number: int | Decimal) -> None:
    from flows.source.gathered import listed
    from flows.source.spelled_columns import Columns
    from flows.source.table import NotSpelled

    spell = spellings(["c"], {"c": 0}, {"c": column}, nested=True)[0]

    def one(value: Any) -> str:
        try:
            return spell(value)
        except NotSpelled as exc:
            return exc.text

    for values in ([number] * 3, [number, None, "x"], [True, False], ["a", '"', None], [number, True]):
        (texts,), _ = Columns(["c"], [spell]).texts([values])
        assert list(listed(texts)) == [one(value) for value in values]


# -- whatever is in a file ---------------------------------------------------------------------------------------------

VALID = (
    b'{"userId": 1, "title": "a", "body": "b"}\n{"userId": 2, "title": "c", "body": null}\n',
    b'[{"userId": 1, "title": "a", "body": "b"},\n {"userId": 2, "title": "c", "body": {"x": [1, 2]}}]',
    b'{"meta": [1, {}], "data": {"items": [{"userId": 1, "title": "\\u00e9", "body": 1e5}]}, "end": null}',
    '\ufeff{"userId": 1, "title": "é", "body": "\\""}'.encode("utf-16"),
)
PIECES = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"\\ud83d", b"null", b"NaN", b"1e999", b"-", b"0" * 30,
    b"\n", b"\r\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"[" * 3000, b'{"a":' * 500, b'{"userId": 1}', b'"userId": 2, ',
)  # fmt: skip
pieces = st.sampled_from(PIECES) | st.binary(max_size=4)
cuts = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 20), pieces), max_size=5)
raws = st.builds(mutated, st.sampled_from(VALID), cuts) | st.lists(pieces, max_size=30).map(
    lambda some: b'{"userId": 1,' + b"".join(some)
)


@bounded(600)
@given(raws, st.sampled_from([None, "json", "jsonl"]), st.sampled_from([None, "data.items", "x"]))
def test_any_bytes_are_rows_and_rejections_that_add_up_or_a_refusal(
    path: Path, raw: bytes, kind: Any, where: str | None
) -> None:
    path.write_bytes(raw)

    try:
        result = check_file(path, POSTS, said=FileForm(kind=kind, path=where))
    except FileError as refusal:
        said = str(refusal)
    else:
        assert result.rows == result.accepted + result.rejected > 0
        return
    assert said.startswith(str(path))


Make = Callable[[], bytes]
FLOODS: dict[str, Make] = {
    "keys.jsonl": lambda: b"{" + b",".join(b'"%d":0' % at for at in range(2_000_000)) + b"}\n",
    "lists.jsonl": lambda: b'{"a":1}\n{"a":[' + b"[]," * 5_000_000 + b"[]]}\n",
    "deep.jsonl": lambda: b'{"a":1}\n' + b'{"a":' * 3_000_000,
    "line.jsonl": lambda: b'{"a":"' + b"x" * (20 << 20),
    "keys.json": lambda: b"[{" + b",".join(b'"%d":0' % at for at in range(2_000_000)) + b"}]",
    "lists.json": lambda: b'[{"a":1},{"a":[' + b"[]," * 5_000_000 + b"[]]}]",
    "deep.json": lambda: b'[{"a":' * 2_000_000,
    "numbers.json": lambda: b'{"n":[' + b"1," * 5_000_000 + b'1],"rows":[{"a":1}]}',
}


@pytest.mark.slow
def test_no_file_takes_memory_or_time_without_measure(tmp_path: Path) -> None:
    for name, make in FLOODS.items():
        (tmp_path / name).write_bytes(make())

    assert peak_of(*(tmp_path / name for name in FLOODS)) < MOST_MIB


def test_a_value_that_has_no_text_is_of_its_own_row_also_beside_nulls() -> None:
    def spell(value: object) -> str:
        if isinstance(value, timedelta):
            raise NotSpelled("is no length of time", "1 day")
        return str(value)

    texts, faults = Columns(["n"], [spell]).texts([[None, "a", None, timedelta(days=1), "b"]])

    assert list(texts[0]) == ["", "a", "", "1 day", "b"]
    assert faults == {3: (Reason("n", "is no length of time", "1 day"),)}
