"""pandera models that definitions of the tests name by import path."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import pandera.pandas as pandera


class Orders(pandera.DataFrameModel):
    number: int = pandera.Field(ge=1, unique=True)
    small: np.int8
    amount: decimal.Decimal = pandera.Field(gt=0)
    paid: bool
    day: datetime.date
    at: pd.Timestamp
    note: str = pandera.Field(str_length={"max_value": 5}, nullable=True)
    rate: float | None = pandera.Field(nullable=True)

    @pandera.check("note", error="must not shout")
    def quiet(cls, notes: pd.Series) -> pd.Series:
        return ~notes.str.isupper()

    @pandera.dataframe_check(error="a small number cannot be paid")
    def plausible(cls, rows: pd.DataFrame) -> pd.Series:
        return ~((rows["number"] < 3) & rows["paid"])


class Whole(pandera.DataFrameModel):
    number: int

    @pandera.dataframe_check(error="has to be short")
    def short(cls, rows: pd.DataFrame) -> bool:
        return len(rows) < 2


class Pairs(pandera.DataFrameModel):
    """Unique by two columns together."""

    shop: str
    number: int

    class Config:
        unique = ("shop", "number")


class Indexed(pandera.DataFrameModel):
    number: int
    key: pandera.typing.Index[int]
