"""JSON rows of plain cells, read without a data frame.

Numbers in columns of numbers, truth values in columns of these, and known categories are what nearly
all requests hold; making a data frame of one row takes a hundred times as long. What is not plain is
left to `pawl.data.read_noting`, and what is gives the same tensors.

Shape legend: `R` rows, `F` numeric features, `K` categorical columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from pawl.data import Examples, Schema
from pawl.data.cells import MISSING, number_name

_EXACT = 2**53
_NUMBERS = frozenset((int, float, type(None)))
_TRUTHS = frozenset((bool, int, type(None)))


@dataclass(frozen=True)
class _Categories:
    """Codes of a column's categories: as text, and as numbers where all cells of a column are."""

    of_texts: Mapping[str | None, int]
    of_numbers: Mapping[str, int]

    @classmethod
    def of(cls, categories: Sequence[str]) -> Self:
        known = {text: code for code, text in enumerate(categories, start=1)}
        numbers = dict(known)
        for text, code in known.items():  # as `pawl.data.encoding` has it
            numbers.setdefault(text.lstrip("0") or "0", code)
        texts: dict[str | None, int] = {None: 0}
        texts.update((text, code) for text, code in known.items() if text == text.strip())
        texts.update((text, 0) for text in MISSING)
        return cls(texts, numbers)

    def codes(self, cells: Sequence[Any]) -> list[int] | None:
        """Returns the codes of a column's cells, or `None` if they are not plain."""
        try:
            return [self.of_texts[cell] for cell in cells]
        except KeyError:
            if not _NUMBERS.issuperset(map(type, cells)):
                return None
        except TypeError:  # a list or object
            return None
        found = [0 if cell is None else self._number(cell) for cell in cells]
        return None if -1 in found else found

    def _number(self, cell: float) -> int:
        if not -_EXACT < cell < _EXACT:  # NaN, too
            return -1
        return self.of_numbers.get(number_name(float(cell)), -1)


@dataclass(frozen=True)
class PlainRows:
    """Reads rows of plain cells by a table's schema.

    Attributes:
        numeric: Columns of numbers and truth values.
        truths: Which of them are truth values, by their places.
        categorical: Columns of categories.
    """

    numeric: tuple[str, ...]
    truths: tuple[int, ...]
    categorical: tuple[tuple[str, _Categories], ...]

    @classmethod
    def of(cls, schema: Schema) -> Self | None:
        """Returns it; `None` where the data frame always reads rows: with dates, texts, windows."""
        framed = any(c.kind in ("date", "text") for c in schema.columns)
        if schema.source != "table" or schema.window is not None or framed:
            return None
        columns = schema.columns
        numbers = [c for c in columns if c.kind != "categorical"]
        return cls(
            tuple(c.name for c in numbers),
            tuple(at for at, c in enumerate(numbers) if c.kind == "boolean"),
            tuple(
                (c.name, _Categories.of(c.categories)) for c in columns if c.kind == "categorical"
            ),
        )

    def read(self, rows: Sequence[Mapping[str, Any]]) -> Examples | None:
        """Returns the rows, or `None` if not all of their cells are plain; all columns are there."""
        inputs = {}
        if self.numeric:
            values = [row[name] for row in rows for name in self.numeric]
            for at in self.truths:
                cells = values[at :: len(self.numeric)]
                if not all(type(cell) in _TRUTHS and cell in (0, 1, None) for cell in cells):
                    return None
                values[at :: len(self.numeric)] = [
                    None if cell is None else int(cell) for cell in cells
                ]
            if not _NUMBERS.issuperset(map(type, values)):
                return None
            try:
                block = np.array(values, dtype=np.float64)  # `None` becomes NaN
            except OverflowError:
                return None
            if (np.abs(block) >= _EXACT).any():
                return None
            narrow = block.astype(np.float32).reshape(len(rows), -1)
            inputs["numeric"] = torch.from_numpy(narrow)
        if self.categorical:
            codes = []
            for name, categories in self.categorical:
                found = categories.codes([row[name] for row in rows])
                if found is None:
                    return None
                codes.append(found)
            array = np.ascontiguousarray(np.array(codes, dtype=np.int64).T)
            inputs["categorical"] = torch.from_numpy(array)
        return Examples(inputs, None)
