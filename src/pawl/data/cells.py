"""A table's cells: what one column holds, whether it came as text or typed.

Text is factorized first, so that parsing works on distinct texts only. Shape legend: `R` rows,
`U` distinct texts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pawl.data.dates import parse_dates, with_zones
from pawl.data.numbers import Marks, find_sign, parse_numbers, unsigned

MISSING = frozenset(
    ("", "NaN", "nan", "NA", "N/A", "n/a", "#N/A", "null", "NULL", "None", "?", "<NA>", "NaT")
)
"""Texts that stand for a missing cell, after white space at their ends is gone."""

_BOOLEANS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
_MAX_WHOLE = 1e15
_LONG = 40
_FEW = 100


@dataclass(frozen=True)
class Cells:
    """One column's cells.

    Attributes:
        kind: How they came: `number`, `boolean` and `date` are typed; `text` may still hold numbers
            or dates; `category` is text that the user declared categorical; `other` is lists and
            the like, which pawl does not use.
        values: `[R]` float64 with NaN (number, boolean), `[R]` datetime64[us] with NaT (date), or
            `[U]` distinct texts without missing ones (text, category).
        codes: `[R]` indices into the texts, -1 where missing; empty for typed cells.
        zoned: Whether typed dates had a zone; they are in UTC then.
    """

    kind: Literal["number", "boolean", "date", "text", "category", "other"]
    values: NDArray[Any]
    codes: NDArray[np.int64]
    zoned: bool = False

    @property
    def missing(self) -> NDArray[np.bool_]:
        """`[R]`: where nothing is given."""
        mask: NDArray[np.bool_]
        mask = self.codes < 0 if self.kind in ("text", "category") else pd.isna(self.values)
        return mask

    @property
    def present_texts(self) -> list[str]:
        """The distinct texts."""
        return [str(text) for text in self.values]


def read_cells(column: pd.Series[Any], marks: Marks | None = None) -> Cells:
    """Reads a column of any dtype.

    Times with a zone become UTC; durations become seconds.

    Args:
        column: `[R]`.
        marks: With the decimal marks that may be, text that is nothing but plain numbers and missing
            cells is read as what it is in most long tables: numbers.
    """
    none = np.empty(0, dtype=np.int64)
    dtype = column.dtype
    types = pd.api.types
    if isinstance(dtype, pd.CategoricalDtype):
        return _text(column.astype(object), "category")
    if types.is_bool_dtype(dtype):
        return Cells("boolean", column.to_numpy(np.float64, na_value=np.nan), none)
    if types.is_datetime64_any_dtype(dtype):
        zoned = column.dt.tz is not None
        plain = column.dt.tz_convert("UTC").dt.tz_localize(None) if zoned else column
        return Cells("date", plain.to_numpy().astype("datetime64[us]"), none, zoned)
    if types.is_timedelta64_dtype(dtype):
        return Cells("number", column.dt.total_seconds().to_numpy(np.float64), none)
    if types.is_complex_dtype(dtype):
        return Cells("other", np.zeros(len(column)), none)
    if types.is_numeric_dtype(dtype):
        return Cells("number", column.to_numpy(np.float64, na_value=np.nan), none)
    if marks is not None and (numbers := _plain_numbers(column, marks)) is not None:
        return Cells("number", numbers, none)
    return _text(column, "text")


def with_numbers(frame: pd.DataFrame, marks: Marks, but: Collection[str]) -> pd.DataFrame:
    """Returns a table with its columns of plain numbers as numbers; see `read_cells`.

    Text takes several times their memory, and each look at it is slow.

    Args:
        frame: `[R, columns]`.
        marks: The decimal marks that may be.
        but: Names of columns that stay as they are.
    """
    read = {name: _plain_numbers(frame[name], marks) for name in frame.columns if name not in but}
    return frame.assign(**{name: found for name, found in read.items() if found is not None})


def _plain_numbers(column: pd.Series[Any], marks: Marks) -> NDArray[np.float64] | None:
    """Returns a column's numbers, NaN where missing, if `parse_numbers` reads every cell that is given.

    `None` also for what looks like codes, and for what needs more than one look.

    Args:
        column: `[R]` text.
        marks: Which decimal marks may be.
    """
    if not isinstance(column.dtype, pd.StringDtype) or column.dtype.storage != "pyarrow":
        return None
    texts = pa.array(column, from_pandas=True)
    # Arrow is slow where most cells are none: a few tell.
    few = texts.take(np.arange(0, len(texts), max(1, len(texts) // _FEW)))
    try:
        _as_float(few)
        read = _as_float(texts)
    except pa.ArrowInvalid:
        return None
    if marks[0] == "," and pc.any(pc.match_substring(texts, ".")).as_py():
        return None
    zeros = texts.filter(pc.starts_with(texts, "0"))
    if pc.any(pc.match_substring_regex(zeros, r"^0\d")).as_py():
        return None
    values: NDArray[np.float64] = read.to_numpy(zero_copy_only=False)
    return values if np.isfinite(values).sum() == len(values) - read.null_count else None


def _as_float(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    absent = pc.is_in(texts, value_set=pa.array([*sorted(MISSING), None], texts.type))
    return pc.if_else(absent, None, texts).cast(pa.float64())


def _text(column: pd.Series[Any], kind: Literal["text", "category"]) -> Cells:
    try:
        codes, distinct = pd.factorize(column)
    except TypeError:  # unhashable: lists, dicts, arrays
        return Cells("other", np.zeros(len(column)), np.empty(0, dtype=np.int64))
    values = list(distinct)
    if values and all(isinstance(value, bool | np.bool_) for value in values):
        typed = np.array([float(value) for value in values] + [np.nan])
        return Cells("boolean", typed[codes], np.empty(0, dtype=np.int64))
    if any(isinstance(value, tuple | bytes) for value in values):
        return Cells("other", np.zeros(len(column)), np.empty(0, dtype=np.int64))
    texts = [_as_text(value) for value in values]
    # Stripping makes texts equal that were not; the missing ones become -1.
    order = {text: code for code, text in enumerate(dict.fromkeys(texts)) if text not in MISSING}
    compact = {text: code for code, text in enumerate(order)}
    recode = np.array([compact.get(text, -1) for text in texts] + [-1], dtype=np.int64)
    return Cells(kind, np.array(list(compact), dtype=object), recode[codes])


def _as_text(value: object) -> str:
    if isinstance(value, float | np.floating):
        return number_name(float(value))
    return str(value).strip()


def number_name(value: float) -> str:
    """A number as a class or category: `3` for 3.0, `0.5` for 0.5."""
    return str(int(value)) if abs(value) < _MAX_WHOLE and value == int(value) else repr(value)


def short(value: object) -> str:
    """A cell as messages show it, cut where it is long."""
    text = repr(value) if isinstance(value, str) else f"{value:g}"
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."


def as_numbers(cells: Cells, marks: Marks = ".,") -> NDArray[np.float64]:
    """`[R]` numbers, NaN where missing or no number; infinities stay. See `parse_numbers`."""
    if cells.kind in ("number", "boolean"):
        return cells.values
    if cells.kind not in ("text", "category"):
        return np.full(len(cells.values), np.nan)
    return _spread(parse_numbers(cells.values, marks)[0], cells.codes, np.nan)


def sign_of(cells: Cells, marks: Marks, *, every: bool = True) -> str:
    """The sign of money or percent beside a column's numbers; empty if there is none.

    Args:
        cells: The column's.
        marks: The decimal marks that may be.
        every: Whether all cells must read so; otherwise some.
    """
    if cells.kind not in ("text", "category"):
        return ""
    sign = find_sign(cells.values, every=every)
    if sign and every and np.isnan(parse_numbers(unsigned(cells.values, sign), marks)[0]).any():
        return ""
    return sign


def without_sign(cells: Cells, sign: str) -> Cells:
    """A column's cells without the sign beside its numbers."""
    if not sign or cells.kind not in ("text", "category"):
        return cells
    return replace(cells, values=unsigned(cells.values, sign))


def as_booleans(cells: Cells) -> NDArray[np.float64]:
    """`[R]` 1 for true, yes and 1.0, 0 for false, no and 0.0, NaN for everything else."""
    if cells.kind in ("number", "boolean"):
        return np.where(np.isin(cells.values, (0.0, 1.0)), cells.values, np.nan)
    if cells.kind not in ("text", "category"):
        return np.full(len(cells.values), np.nan)
    known = np.array([_BOOLEANS.get(text.lower(), np.nan) for text in cells.present_texts])
    numbers, _ = parse_numbers(cells.values, ".,")
    known = np.where(np.isin(numbers, (0.0, 1.0)), numbers, known).astype(np.float64)
    return _spread(known, cells.codes, np.nan)


def as_dates(cells: Cells, date_format: str = "ymd") -> NDArray[np.datetime64]:
    """`[R]` datetime64[us], NaT where missing or no date; see `parse_dates`."""
    if cells.kind == "date":
        return cells.values
    if cells.kind in ("boolean", "other"):
        return np.full(len(cells.values), np.datetime64("NaT", "us"))
    texts, codes = as_texts(cells)
    dates = parse_dates(np.array(texts, dtype=object), date_format)
    return _spread(dates, codes, np.datetime64("NaT", "us"))


def zones(
    cells: Cells, dates: NDArray[np.datetime64], date_format: str = "ymd"
) -> tuple[bool, bool]:
    """Whether any of a column's dates, as `as_dates` read them, has a zone, and whether any has none."""
    present = ~np.isnat(dates)
    if cells.kind == "date":
        return cells.zoned and bool(present.any()), not cells.zoned and bool(present.any())
    if cells.kind not in ("text", "category"):
        return False, False
    zoned = with_zones(cells.values[np.unique(cells.codes[present])], date_format)
    return bool(zoned.any()), not zoned.all()


def as_texts(cells: Cells) -> tuple[list[str], NDArray[np.int64]]:
    """`([U] texts, [R] codes)`, -1 where missing; typed cells are written out."""
    if cells.kind in ("text", "category"):
        return cells.present_texts, cells.codes
    if cells.kind == "other":
        return [], np.full(len(cells.values), -1, dtype=np.int64)
    codes, distinct = pd.factorize(cells.values)
    if cells.kind == "number":
        return [
            number_name(value) if np.isfinite(value) else str(value) for value in distinct
        ], codes
    if cells.kind == "boolean":
        return [str(bool(value)) for value in distinct], codes
    return [str(pd.Timestamp(value)) for value in distinct], codes


def _spread(distinct: NDArray[Any], codes: NDArray[np.int64], missing: Any) -> NDArray[Any]:
    """Distinct values onto the rows; code -1 takes the missing value appended last."""
    return np.append(distinct, np.array([missing], dtype=distinct.dtype))[codes]
