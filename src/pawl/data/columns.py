"""A table's feature columns, inferred from development rows.

Shape legend: `R` rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pawl.data.cells import Cells, as_booleans, as_dates, as_numbers, read_cells, short
from pawl.data.encoding import finite_float32
from pawl.data.types import Column, InputSpec
from pawl.errors import DataError

MAX_CATEGORIES = 255
_MAX_ODD_SHARE = 0.05
_MIN_DATE_SHARE = 0.95
_FREE_TEXT_DISTINCT = 1000
_FREE_TEXT_SHARE = 0.5
_MIN_IDENTIFIER_ROWS = 20
_DATE_PARTS = ("days", "month", "weekday", "hour")


@dataclass
class _Found:
    """What inference has gathered so far."""

    columns: list[Column] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    missing: list[bool] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, column: Column, features: Sequence[str] = ()) -> None:
        self.columns.append(column)
        self.features.extend(features)
        self.missing.extend([column.missing] * len(features))


def infer_columns(
    frame: pd.DataFrame,
) -> tuple[tuple[Column, ...], tuple[InputSpec, ...], list[str]]:
    """Infers columns and model inputs from development rows.

    Args:
        frame: `[R, columns]`, without the target.

    Returns:
        The columns that are kept, the inputs (`numeric` and `categorical`, either absent when there
        is none), and notes on what was dropped or changed.

    Raises:
        DataError: If no column is left.
    """
    found = _Found()
    for name in frame.columns:
        _infer(str(name), read_cells(frame[name]), found)
    if not found.columns:
        reasons = "; ".join(found.notes) or "the target is the only column"
        raise DataError(
            f"no feature column is left ({reasons}); at least one column that varies is needed; "
            f"add columns or choose another target"
        )
    inputs = []
    if found.features:
        inputs.append(
            InputSpec(
                name="numeric",
                shape=(len(found.features),),
                dtype="float32",
                features=tuple(found.features),
                missing=tuple(found.missing),
            )
        )
    categorical = [column for column in found.columns if column.kind == "categorical"]
    if categorical:
        inputs.append(
            InputSpec(
                name="categorical",
                shape=(len(categorical),),
                dtype="int64",
                features=tuple(column.name for column in categorical),
                cardinalities=tuple(len(column.categories) + 1 for column in categorical),
            )
        )
    return tuple(found.columns), tuple(inputs), found.notes


def _infer(name: str, cells: Cells, found: _Found) -> None:
    missing = cells.missing
    if not name:
        found.notes.append("a column without a name was left out")
    elif cells.kind == "other":
        found.notes.append(f"column {name!r} was left out: its cells are no single values")
    elif missing.all():
        found.notes.append(f"column {name!r} was left out: every cell is missing")
    elif cells.kind in ("number", "boolean"):
        _infer_numbers(name, cells, found)
    elif cells.kind == "date":
        _infer_dates(name, as_dates(cells), found)
    elif cells.kind == "category":
        _infer_categories(name, cells, found)
    else:
        _infer_text(name, cells, found)


def _infer_text(name: str, cells: Cells, found: _Found) -> None:
    lowered = {text.lower() for text in cells.present_texts}
    if lowered <= {"true", "false"} or lowered <= {"yes", "no"}:
        typed = Cells("boolean", as_booleans(cells), cells.codes[:0])
        return _infer_numbers(name, typed, found)
    num_present = int((~cells.missing).sum())
    numbers = as_numbers(cells)
    num_odd = num_present - int((~np.isnan(numbers)).sum())
    if num_odd == 0 or num_odd / num_present < _MAX_ODD_SHARE:
        if num_odd:
            first = cells.present_texts[cells.codes[np.isnan(numbers) & ~cells.missing][0]]
            found.notes.append(
                f"column {name!r}: {num_odd} cell(s) are no numbers (such as {short(first)}) and "
                f"count as missing"
            )
        return _infer_numbers(name, Cells("number", numbers, cells.codes[:0]), found)
    dates = as_dates(cells)
    num_dates = int((~np.isnat(dates)).sum())
    if num_dates / num_present >= _MIN_DATE_SHARE:
        if num_dates < num_present:
            found.notes.append(
                f"column {name!r}: {num_present - num_dates} cell(s) are no dates and count as "
                f"missing"
            )
        return _infer_dates(name, dates, found)
    num_distinct = len(cells.values)
    varied = num_distinct > _FREE_TEXT_DISTINCT and (
        num_distinct > _FREE_TEXT_SHARE * len(cells.codes)
    )
    if varied or num_distinct == num_present >= _MIN_IDENTIFIER_ROWS:
        found.notes.append(
            f"column {name!r} was left out: {num_distinct} distinct texts in {len(cells.codes)} "
            f"rows look like free text or identifiers"
        )
        return None
    return _infer_categories(name, cells, found)


def _infer_numbers(name: str, cells: Cells, found: _Found) -> None:
    values, num_infinite = finite_float32(cells.values)
    if num_infinite:
        found.notes.append(f"column {name!r}: {num_infinite} infinite value(s) count as missing")
    absent = np.isnan(values)
    if absent.all():
        found.notes.append(f"column {name!r} was left out: every cell is missing")
    elif not absent.any() and (values == values[0]).all():
        found.notes.append(f"column {name!r} was left out: it is always {short(values[0])}")
    else:
        column = Column(
            name=name,
            kind="boolean" if cells.kind == "boolean" else "numeric",
            missing=bool(absent.any()),
        )
        found.add(column, [name])


def _infer_dates(name: str, dates: NDArray[np.datetime64], found: _Found) -> None:
    absent = np.isnat(dates)
    if not absent.any() and (dates == dates[0]).all():
        found.notes.append(f"column {name!r} was left out: it is always {dates[0]}")
        return
    has_times = bool((dates[~absent] != dates[~absent].astype("datetime64[D]")).any())
    parts = _DATE_PARTS if has_times else _DATE_PARTS[:3]
    column = Column(name=name, kind="date", missing=bool(absent.any()))
    found.add(column, [f"{name}:{part}" for part in parts])


def _infer_categories(name: str, cells: Cells, found: _Found) -> None:
    texts, codes = cells.present_texts, cells.codes
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    order = sorted(
        (code for code in range(len(texts)) if counts[code]),
        key=lambda code: (-counts[code], texts[code]),
    )
    missing = bool((codes < 0).any())
    if len(order) == 1 and not missing:
        found.notes.append(f"column {name!r} was left out: it is always {short(texts[order[0]])}")
        return
    if len(order) > MAX_CATEGORIES:
        found.notes.append(
            f"column {name!r}: the {MAX_CATEGORIES} most frequent of {len(order)} categories are "
            f"kept, the rest count as unknown"
        )
    kept = tuple(texts[code] for code in order[:MAX_CATEGORIES])
    found.add(Column(name=name, kind="categorical", categories=kept, missing=missing))
