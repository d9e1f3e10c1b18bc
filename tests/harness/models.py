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


class Exact(pandera.DataFrameModel):
    """Types that pandas would make other values of."""

    tiny: pandera.typing.Series[pd.Int8Dtype] = pandera.Field(nullable=True, ge=0)
    unsigned: pandera.typing.Series[pd.UInt8Dtype] = pandera.Field(nullable=True, le=200)
    wide: pandera.typing.Series[pd.Int32Dtype] = pandera.Field(nullable=True)
    short: pandera.typing.Series[np.float32] = pandera.Field(nullable=True)
    at: pandera.typing.Series[pd.DatetimeTZDtype] = pandera.Field(
        dtype_kwargs={"unit": "s", "tz": "UTC"}, nullable=True
    )
    stamp: pandera.typing.Series[pd.Timestamp] = pandera.Field(nullable=True)
    kind: pandera.typing.Series[pd.CategoricalDtype] = pandera.Field(
        dtype_kwargs={"categories": ["a", "b"], "ordered": False}, nullable=True
    )
    word: pandera.typing.Series[object] = pandera.Field(nullable=True)


class Drops(pandera.DataFrameModel):
    email: str = pandera.Field(str_startswith="m")

    class Config:
        drop_invalid_rows = True


class Timed(pandera.DataFrameModel):
    took: pandera.typing.Series[np.timedelta64]


class _Rearranged(pandera.DataFrameModel):
    email: str
    name: str = pandera.Field(str_length={"min_value": 1})


class Filtered(_Rearranged):
    @pandera.dataframe_parser
    def without_a(cls, rows: pd.DataFrame) -> pd.DataFrame:
        return rows[rows["name"] != "A"]


class Sorted(_Rearranged):
    @pandera.dataframe_parser
    def by_email(cls, rows: pd.DataFrame) -> pd.DataFrame:
        return rows.sort_values("email")


class Renumbered(_Rearranged):
    @pandera.dataframe_parser
    def by_email(cls, rows: pd.DataFrame) -> pd.DataFrame:
        return rows.sort_values("email").reset_index(drop=True)


class Doubled(_Rearranged):
    @pandera.dataframe_parser
    def twice(cls, rows: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([rows, rows])


class Narrowed(_Rearranged):
    class Config:
        strict = False

    @pandera.dataframe_parser
    def less(cls, rows: pd.DataFrame) -> pd.DataFrame:
        return rows.rename(columns={"name": "Name"}).assign(name=rows["name"])[::-1]


class Parsed(_Rearranged):
    """Parsers that change values alone."""

    @pandera.parser("email")
    def lower(cls, emails: pd.Series) -> pd.Series:
        return emails.str.lower()

    @pandera.dataframe_parser
    def full(cls, rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(name=rows["name"].str.strip(), both=rows["name"] + rows["email"])


class ParserFails(_Rearranged):
    @pandera.dataframe_parser
    def wrong(cls, rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(name=rows["surname"])


class CheckFails(_Rearranged):
    @pandera.check("name", error="must be plausible")
    def divides(cls, names: pd.Series) -> pd.Series:
        return names.str.len() > 10 / (len(names) - 3)
