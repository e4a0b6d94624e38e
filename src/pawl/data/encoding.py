"""A table's rows as tensors, read by the columns of a schema.

Shape legend: `R` rows, `F` numeric features, `K` categorical columns, `T` tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pawl.data.cells import (
    Cells,
    as_booleans,
    as_dates,
    as_numbers,
    as_texts,
    read_cells,
    without_sign,
    zones,
)
from pawl.data.lost import Lost
from pawl.data.numbers import Marks, parse_numbers
from pawl.data.tokens import token_ids
from pawl.data.types import Column, Inputs, InputSpec
from pawl.errors import DataError, did_you_mean

_FEW_NAMES = 30
_THURSDAY = 3  # 1970-01-01, where Monday is 0


def encode_columns(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    inputs: Sequence[InputSpec],
    *,
    decimal: Marks | Mapping[str, Marks] = ".,",
    lost: Lost | None = None,
) -> Inputs:
    """Reads rows by the columns of a schema.

    Args:
        frame: The rows.
        columns: What to read.
        inputs: What to make of it.
        decimal: The decimal marks of numbers written as text, of all columns or of each.
        lost: What counts cells that are given, but that no model of these columns can take.

    Returns:
        `numeric` `[R, F]` float32 with NaN where missing, and `categorical` `[R, K]` int64 codes
        with 0 where missing or unknown, and each text's `[R, T]` int64 token ids, as far as `inputs`
        has them.

    Raises:
        DataError: If a column is not there.
    """
    names = [str(name) for name in frame.columns]
    there = set(names)
    for column in columns:
        if column.name not in there:
            raise DataError(missing_column(column.name, names))
    by_name = {spec.name: spec for spec in inputs}
    encoded: Inputs = _encoded_texts(frame, columns, inputs)
    if "numeric" in by_name:
        features = by_name["numeric"].features
        encoded["numeric"] = _encoded_numbers(frame, columns, features, decimal, lost)
    if "categorical" in by_name:
        kept = [column for column in columns if column.kind == "categorical"]
        codes = []
        for column in kept:
            cells = read_cells(frame[column.name])
            codes.append(_category_codes(cells, column))
            if lost is not None:
                where = ~cells.missing & (codes[-1] == 0)
                lost.add(frame[column.name], column.kind, where)
        encoded["categorical"] = torch.from_numpy(np.stack(codes, axis=1))
    if lost is not None:
        lost.rows += len(frame)
    return {spec.name: encoded[spec.name] for spec in inputs}


def features_by_column(
    columns: Sequence[Column], features: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Returns which numbers of a row are a column's: a date has three, or four with an hour.

    Args:
        columns: A table's, in order.
        features: Names of all numbers, in order.
    """
    found: dict[str, tuple[str, ...]] = {}
    place = 0
    for column in columns:
        if column.kind in ("categorical", "text"):
            continue
        width = 1
        if column.kind == "date":
            width = 4 if tuple(features[place + 3 : place + 4]) == (f"{column.name}:hour",) else 3
        found[column.name] = tuple(features[place : place + width])
        place += width
    return found


def _encoded_numbers(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    features: Sequence[str],
    decimal: Marks | Mapping[str, Marks],
    lost: Lost | None,
) -> torch.Tensor:
    block = np.empty((len(frame), len(features)), dtype=np.float32)
    place, widths = 0, features_by_column(columns, features)
    for column in columns:
        if column.name not in widths:
            continue
        marks = decimal if isinstance(decimal, str) else decimal.get(column.name)
        cells = read_cells(frame[column.name], marks if column.kind == "numeric" else None)
        if column.kind == "date":
            dates = as_dates(cells, column.date_format)
            if lost is not None:
                lost.add_zones(column.name, column.zoned, *zones(cells, dates, column.date_format))
            values = _date_parts(dates)[:, : len(widths[column.name])]
        elif column.kind == "boolean":
            values = as_booleans(cells)[:, None]
        else:
            assert marks is not None
            values = as_numbers(without_sign(cells, column.sign), marks)[:, None]
        finite, _ = finite_float32(values)
        if lost is not None:
            where = ~cells.missing & np.isnan(finite[:, 0])
            lost.add(frame[column.name], column.kind, where)
        block[:, place : place + values.shape[1]] = finite
        place += values.shape[1]
    return torch.from_numpy(block)


def _encoded_texts(
    frame: pd.DataFrame, columns: Sequence[Column], inputs: Sequence[InputSpec]
) -> Inputs:
    encoded: Inputs = {}
    texts = [column for column in columns if column.kind == "text"]
    for column, spec in zip(texts, [spec for spec in inputs if spec.tokens], strict=True):
        found, places = as_texts(read_cells(frame[column.name]))
        ids = token_ids(column.tokenizer, found, places, spec.shape[0])
        encoded[spec.name] = torch.from_numpy(ids)
    return encoded


def marks_of(frame: pd.DataFrame, columns: Sequence[Column], decimal: Marks) -> dict[str, Marks]:
    """Returns the decimal mark of each numeric column, as its cells here show it; else what may be.

    Raises:
        DataError: If a column is not there.
    """
    found: dict[str, Marks] = {}
    for column in columns:
        if column.kind != "numeric":
            continue
        if column.name not in frame.columns:
            raise DataError(missing_column(column.name, [str(name) for name in frame.columns]))
        cells = without_sign(read_cells(frame[column.name]), column.sign)
        found[column.name] = decimal
        if cells.kind in ("text", "category") and any(
            set(text) & {".", ","} for text in cells.values
        ):
            found[column.name] = cast("Marks", parse_numbers(cells.values, decimal)[1])
    return found


def missing_column(name: str, names: Sequence[str], role: str = "column") -> str:
    """The message for a column that a table lacks."""
    there = f"; it has {', '.join(map(str, names))}" if len(names) <= _FEW_NAMES else ""
    return f"the table has no {role} {name!r}{did_you_mean(name, names)}{there}"


def _category_codes(cells: Cells, column: Column) -> NDArray[np.int64]:
    texts, codes = as_texts(cells)
    known = {text: code for code, text in enumerate(column.categories, start=1)}
    if cells.kind == "number":  # a typed column has lost the zeros that a code begins with
        for text, code in list(known.items()):
            known.setdefault(text.lstrip("0") or "0", code)
    mapped = np.array([known.get(text, 0) for text in texts] + [0], dtype=np.int64)
    return mapped[codes]


def _date_parts(dates: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """`[R, 4]`: days since 1970, month 1-12, weekday 0-6 from Monday, hour with its fraction.

    Of whole seconds, as in bundles that there are.
    """
    dates = dates.astype("datetime64[s]")
    days = dates.astype("datetime64[D]")
    num_days = days.astype(np.int64)
    seconds = (dates - days).astype(np.int64)
    month = dates.astype("datetime64[M]").astype(np.int64) % 12 + 1
    parts = np.stack([num_days, month, (num_days + _THURSDAY) % 7, seconds / 3600], axis=1)
    parts[np.isnat(dates)] = np.nan
    return parts


def finite_float32(values: NDArray[Any]) -> tuple[NDArray[np.float32], int]:
    """Values as float32 with NaN in place of infinities (float32's own included), their number."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    infinite = np.isinf(narrow)
    return np.where(infinite, np.float32(np.nan), narrow), int(infinite.sum())
