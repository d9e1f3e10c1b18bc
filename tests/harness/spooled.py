"""Rows for a spool."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flows.records import Row


def numbers(start: int, stop: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    rows = np.arange(start, stop)
    return pd.DataFrame({"n": pd.array(rows, dtype="Int64"), "t": [f"text {row}" for row in rows]}), rows + 1, rows + 2


def row(number: int) -> Row:
    return Row(number + 1, number + 2, {"n": number, "t": f"text {number}"})
