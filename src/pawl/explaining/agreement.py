"""How far two estimates of the same things agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import spearmanr


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Returns Spearman's correlation of two series, -1 to 1; 0 where one of them is constant.

    Example:
        >>> rank_correlation([1.0, 2.0, 3.0], [2.0, 4.0, 9.0]) > 0.999
        True
        >>> rank_correlation([1.0, 2.0, 3.0], [5.0, 5.0, 5.0])
        0.0
    """
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.nan_to_num(spearmanr(one, other).statistic))
