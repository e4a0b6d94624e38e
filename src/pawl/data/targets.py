"""The targets of rows, one column or several, as they were read; and as a tensor.

Shape legend: `R` rows, `T` targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.data.labels import Labels, encode_labels
from pawl.data.types import TargetColumn
from pawl.errors import DataError
from pawl.kinds import KINDS, KindName


@dataclass(frozen=True)
class Targets:
    """Targets as they were read.

    Attributes:
        columns: At least one, of the same rows.
    """

    columns: tuple[Labels, ...]

    @property
    def name(self) -> str:
        """What messages call them."""
        return ", ".join(column.name for column in self.columns)

    @property
    def present(self) -> NDArray[np.bool_]:
        """`[R]`: which rows have all of them."""
        there: NDArray[np.bool_] = np.logical_and.reduce([each.present for each in self.columns])
        return there

    @property
    def told_missing(self) -> str:
        """What messages say behind their name of missing cells; see `Labels`."""
        several = len(self.columns) > 1
        return "".join(
            f"{f', {each.name!r}' if several else ''}{each.told_missing}"
            for each in self.columns
            if each.spelled
        )

    @property
    def num_infinite(self) -> int:
        """How many infinite values became missing."""
        return sum(column.num_infinite for column in self.columns)

    def take(self, rows: NDArray[Any]) -> Targets:
        """Returns the rows of a mask or of indices."""
        return Targets(tuple(column.take(rows) for column in self.columns))


def require_columns(targets: Targets, wanted: Targets | Sequence[TargetColumn]) -> None:
    """Raises `DataError` unless there are as many targets as are needed."""
    columns = wanted.columns if isinstance(wanted, Targets) else wanted
    if len(targets.columns) != len(columns):
        raise DataError(
            f"got {len(targets.columns)} target(s) a row, and {len(columns)} are needed, as in the data "
            "they go with"
        )


def encode_targets(targets: Targets, kind: KindName, columns: Sequence[TargetColumn]) -> Tensor:
    """Turns targets, none of them missing, into a tensor `[R, *S]` of the kind's type.

    Raises:
        DataError: If one is no known class, or no number where a number is asked for.
    """
    each = [
        encode_labels(labels, column.classes)
        for labels, column in zip(targets.columns, columns, strict=True)
    ]
    what = KINDS[kind]
    return torch.stack(each, dim=1).to(what.target_dtype) if what.target_axes else each[0]
