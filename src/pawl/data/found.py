"""What reading a table's columns gathers: the columns, what the model gets of them, and notes.

Shape legend: `R` rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pawl.data.cells import Cells, short
from pawl.data.numbers import Marks, told_sign
from pawl.data.types import Column, list_names
from pawl.options import ReadOptions


@dataclass
class Found:
    """What inference has gathered so far, and what it goes by."""

    options: ReadOptions
    decimal: Marks
    texts: bool
    columns: list[Column] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    missing: list[bool] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    decimal_commas: list[str] = field(default_factory=list)
    grouped: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)

    def leave_out(self, name: str, why: str) -> None:
        """Leaves a column out."""
        self.left_out.append(name)
        self.reasons.setdefault(why, []).append(name)

    def told(self) -> tuple[str, ...]:
        """Returns the notes, behind them one of each reason why columns were left out."""
        left_out = [
            f"column {names[0]!r} was left out: {why}"
            if len(names) == 1
            else f"each of the columns {list_names(names)} was left out: {why}"
            for why, names in self.reasons.items()
        ]
        return (*self.notes, *left_out)

    def add(self, column: Column, features: Sequence[str] = ()) -> None:
        """Takes a column, and the numbers that the model gets of it by their names."""
        self.columns.append(column)
        self.features.extend(features)
        self.missing.extend([column.missing] * len(features))

    def note_odd(self, name: str, cells: Cells, absent: NDArray[np.bool_], what: str) -> None:
        """Notes cells that are not empty and could not be read; what they are not is `what`."""
        odd = absent & ~cells.missing
        if odd.any():
            first = short(cells.present_texts[cells.codes[odd][0]])
            self.notes.append(
                f"column {name!r}: {odd.sum()} cell(s) are no {what} (such as {first}) and count as "
                f"missing"
            )

    def note_sign(self, name: str, cells: Cells, sign: str) -> None:
        """Notes the sign beside a column's numbers, if there is one."""
        if sign:
            first = next(text for text in cells.present_texts if sign in text)
            self.notes.append(told_sign(f"column {name!r}", sign, first))
