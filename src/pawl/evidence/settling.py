"""What it would take to prove an effect of the size that was seen."""

from __future__ import annotations

import math
from dataclasses import replace

from scipy import special

from pawl.evidence.tests import ALPHA, Comparison

_LEVEL = 0.9 * ALPHA
"""About what a last look is held against."""
_MOST = 1000


def pairs_to_settle(comparison: Comparison, folds: int) -> float | None:
    """Returns how many pairs would show a positive effect of the size that was seen.

    The part of the variance that models have shrinks with the number of pairs. That of the rows does
    not, once every row was held out: where it is too large alone, only more rows help.

    Args:
        comparison: Of the pairs so far.
        folds: Pairs that hold out every row once.

    Returns:
        A number of pairs, more than there are; infinite if no number would do; `None` if the effect is
        not positive, or too few pairs say how pairs vary.
    """
    parts, done = comparison.parts, comparison.n
    if parts is None or parts.effect <= 0:
        return None
    # What few pairs say of the rows is from the rows of their folds alone.
    parts = replace(parts, by_rows=parts.by_rows * min(1.0, done / folds))
    for pairs in range(done + 1, _MOST + 1):
        error, degrees = parts.error(pairs)
        if 2.0 * special.stdtr(degrees, -parts.effect / error) <= _LEVEL:
            return pairs
    return math.inf
