"""Parts of rows that have something in common: a class, a category, a quarter of a column's numbers.

Shape legend: `R` rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pawl.data.types import Examples, Schema

LEAST_ROWS = 20
_MOST_CATEGORIES, _MOST_CLASSES = 8, 50
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
Named = tuple[str, NDArray[np.bool_]]


def classes_of(schema: Schema, targets: NDArray[np.int64]) -> Iterator[Named]:
    """Yields the rows of each class, `[R]`, the most frequent 50.

    Args:
        schema: Of a kind with one class a row.
        targets: `[R]`.
    """
    present, counts = np.unique(targets, return_counts=True)
    for code in np.sort(present[np.argsort(-counts, kind="stable")][:_MOST_CLASSES]):
        name = schema.classes[int(code)] if schema.classes else str(int(code))
        yield f"{schema.target} is {name}", targets == code


def slices_of(schema: Schema, rows: Examples) -> Iterator[Named]:
    """Yields kinds of rows of a table, `[R]`, that have at least 20 rows, and not all.

    The eight most frequent categories of each column; quarters of each column of numbers, and the rows
    that miss them.
    """
    known = {column.name: column.categories for column in schema.columns}
    for spec in schema.inputs:
        if schema.source != "table" or spec.name not in ("numeric", "categorical"):
            continue
        values = rows.inputs[spec.name].numpy()
        for at, name in enumerate(spec.features):
            named = (
                _categories(name, values[:, at], known.get(name, ()))
                if spec.name == "categorical"
                else _quarters(name, values[:, at])
            )
            for told, inside in named:
                if LEAST_ROWS <= inside.sum() < len(inside):
                    yield told, inside


def _categories(name: str, codes: NDArray[np.int64], known: tuple[str, ...]) -> Iterator[Named]:
    names = ("missing or unknown", *(f"is {each}" for each in known))
    counts = np.bincount(codes, minlength=len(names))[: len(names)]
    for code in np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]:
        yield f"{name} {names[code]}", codes == code


def _quarters(name: str, values: NDArray[np.float32]) -> Iterator[Named]:
    there = np.isfinite(values)
    yield f"{name} missing", ~there
    if not there.any():
        return
    edges = np.unique(np.quantile(values[there], _QUARTERS))
    for at, (low, high) in enumerate(pairwise(edges)):
        above = values > low if at else values >= low
        yield f"{name} {low:.4g} to {high:.4g}", there & above & (values <= high)
