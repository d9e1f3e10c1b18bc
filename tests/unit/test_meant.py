"""What a refused cell may have meant: proposed only where it can be read in one way, and where its column takes it."""

from __future__ import annotations

from typing import Any

import pytest

from flows.pipeline.column import Column
from flows.pipeline.meant import meant

AGE: dict[str, Any] = {"type": "int", "optional": True, "min": 0}


@pytest.mark.parametrize(
    ("column", "text", "becomes"),
    [
        ({"type": "decimal"}, "1,5", "1.5"),
        ({"type": "decimal"}, "1.234,50", "1234.50"),
        ({"type": "decimal"}, "1\u00a0234,5", "1234.5"),
        ({"type": "decimal"}, "−3,5", "-3.5"),
        ({"type": "decimal"}, "0,435", "0.435"),
        ({"type": "decimal"}, "1,234", None),  # 1.234, or 1234
        ({"type": "decimal"}, "007,5", None),
        ({"type": "decimal"}, "12,50 €", None),
        ({"type": "decimal", "decimal": ","}, "1,234.50", "1234,50"),
        ({"type": "int"}, "12,00", "12"),
        ({"type": "int"}, "1 234", "1234"),
        ({"type": "int"}, "1.234", None),
        ({"type": "int"}, "12,5", None),
        ({"type": "int"}, "n/a", None),  # it must be there
        (AGE, "n/a", ""),
        (AGE, " 7\u200b", "7"),
        (AGE, "-5,0", None),  # below its least
        ({"type": "date"}, "01.02.1990", "1990-02-01"),
        ({"type": "date"}, "31/12/2024", "2024-12-31"),
        ({"type": "date"}, "05/06/2024", None),  # in May, or in June
        ({"type": "date"}, "05/05/2024", "2024-05-05"),
        ({"type": "date"}, "2024-12-31 00:00:00", "2024-12-31"),
        ({"type": "date"}, "2024-12-31 10:00:00", None),
        ({"type": "date"}, "31.12.24", None),
        ({"type": "date", "format": "DD.MM.YYYY"}, "2/13/2020", "13.02.2020"),
        ({"type": "datetime"}, "01.02.1990 12:30", "1990-02-01T12:30:00"),
        ({"type": "datetime"}, "01.02.1990", None),
        ({"type": "bool"}, "Да", "true"),
        ({"type": "bool"}, "maybe", None),
        ({"type": "str", "one_of": ["new", "paid"]}, " Paid ", "paid"),
        ({"type": "str", "one_of": ["new", "paid"]}, "neu", None),
        ({"type": "str", "one_of": ["a", "A"]}, "a ", None),
        ({"type": "str", "pattern": "[^@ ]+@[^@ ]+"}, "\u200ba@b.de ", "a@b.de"),
        ({"type": "str", "pattern": "[^@ ]+@[^@ ]+"}, "a b", None),
        ({"type": "int", "map": {"Да": 1, "Нет": 0}}, "да", "Да"),
    ],
)
def test_a_cell_is_proposed_only_where_it_can_be_one_thing(
    column: dict[str, Any], text: str, becomes: str | None
) -> None:
    assert meant(Column.model_validate(column), text) == becomes
