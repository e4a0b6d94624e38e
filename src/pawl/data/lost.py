"""Cells that are given, but that no model of a schema's columns can take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pawl.data.cells import short
from pawl.options import ColumnKind

_WORDS: dict[ColumnKind, str] = {
    "numeric": "no finite number and count as missing",
    "boolean": "no truth value and count as missing",
    "date": "no date and count as missing",
    "categorical": "no category of the model and count as unknown",
}


@dataclass(frozen=True)
class LostCells:
    """Those of one column.

    Attributes:
        column: Its name.
        kind: What it holds.
        count: Number of them.
        first: The first one, as messages show it.
        row: Its row, from 1.
        rows: How many rows were read.
    """

    column: str
    kind: ColumnKind
    count: int
    first: str
    row: int
    rows: int = 0

    def __str__(self) -> str:
        return (
            f"column {self.column!r}: {self.count} of {self.rows} cells are {_WORDS[self.kind]}; the "
            f"first is {self.first} in row {self.row}"
        )


@dataclass
class Lost:
    """Counts them, over all parts in which the rows are read.

    Attributes:
        rows: How many rows were read before this part.
        notes: What else a reader should know of the cells, a line each.
    """

    rows: int = 0
    notes: list[str] = field(default_factory=list)
    _found: dict[str, LostCells] = field(default_factory=dict)

    def add(self, column: pd.Series, kind: ColumnKind, where: NDArray[np.bool_]) -> None:
        """Counts a column's cells in, those where the mask says so, `[R]`."""
        if not where.any():
            return
        name, row = str(column.name), int(where.argmax())
        known = self._found.get(name)
        if known is None:
            first = short(str(column.iloc[row]))
            known = LostCells(name, kind, 0, first, self.rows + row + 1)
        self._found[name] = replace(known, count=known.count + int(where.sum()))

    def add_zones(self, name: str, trained: str, zoned: bool, plain: bool) -> None:
        """Notes that times have a zone where those that the model knows have none, or the other way.

        Args:
            name: The column's.
            trained: Which times had zones where the columns are from; see `Column`.
            zoned: Whether some here have one.
            plain: Whether some here have none.
        """
        note = ""
        if trained == "all" and plain:
            note = "times without a zone count as UTC; those that the model learned from have zones"
        elif zoned and not trained:
            note = (
                "times with a zone are read in UTC; those that the model learned from have no zone"
            )
        note = f"column {name!r}: {note}" if note else ""
        if note and note not in self.notes:
            self.notes.append(note)

    def __iter__(self) -> Iterator[LostCells]:
        for each in self._found.values():
            yield replace(each, rows=self.rows)
