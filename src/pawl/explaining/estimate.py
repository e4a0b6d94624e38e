"""What a row's prediction is made of, as a mean over background rows.

Shape legend: `F` columns, `M` background rows, `O` outputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pawl.explaining.subject import Values


@dataclass(frozen=True)
class Estimate:
    """The parts of one row.

    Attributes:
        values: `[F, O]`.
        errors: Standard errors, `[F, O]`.
        halves: Two estimates that share nothing but the row, `[2, F, O]`.
        path: Mean prediction with `k` columns as in the row, in random orders, `[F + 1, O]`.
        evaluations: Of the model.
    """

    values: Values
    errors: Values
    halves: Values
    path: Values
    evaluations: int


def over_background(every: Values, path: Values, evaluations: int) -> Estimate:
    """Returns the mean over background rows, as a sample of what they stand for.

    Args:
        every: The parts against each background row, `[M, F, O]`; the halves are every second one.
        path: As in `Estimate`.
        evaluations: As in `Estimate`.
    """
    count, values = len(every), every.mean(0)
    if count == 1:
        return Estimate(
            values, np.zeros_like(values), np.stack([values, values]), path, evaluations
        )
    errors = every.std(0, ddof=1) / math.sqrt(count)
    halves = np.stack([every[part::2].mean(0) for part in (0, 1)])
    return Estimate(values, errors, halves, path, evaluations)
