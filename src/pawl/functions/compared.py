"""What settings are worth against others, over seeds.

A pair is a seed that both arms ran with. Assumptions: seeds are independent draws of all that is random
in the function, and mean differences are roughly normal. What is estimated is the difference over other
seeds, for the data that the function uses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pawl.evidence.tests import Comparison, comparison

Scores = Mapping[int, float | None]
"""An arm's scores by seed; `None` where a run failed."""


def counted(scores: Scores, worst: float) -> dict[int, float]:
    """Returns scores by seed; a run that failed counts as the worst of all runs."""
    return {seed: worst if score is None else score for seed, score in scores.items()}


def compare(sign: float, first: Mapping[int, float], second: Mapping[int, float]) -> Comparison:
    """Compares two arms by a paired t test over the seeds that both have.

    `effect = mean(d)`, `d` the differences by seed, its standard error `sd(d) / sqrt(n)` with `n - 1`
    degrees of freedom. Where all differences are the same number, nothing varies that a test could go
    by: that is no evidence, and the p-value is 1.

    Args:
        sign: `+1` when more is better, `-1` when less is.
        first: Scores by seed; a positive effect favors this arm.
        second: The other's.
    """
    seeds = [seed for seed in first if seed in second]
    differences = sign * np.array([first[seed] - second[seed] for seed in seeds])
    count = len(differences)
    if count == 0:
        return comparison(0.0, math.inf, 0, 1.0)
    effect = float(differences.mean())
    if count == 1:
        return comparison(effect, math.inf, 1, 1.0)
    spread = float(differences.std(ddof=1))
    if spread == 0.0 and effect != 0.0:
        return comparison(effect, math.inf, count, count - 1.0)
    return comparison(effect, spread / math.sqrt(count), count, count - 1.0)


def mean_with_interval(scores: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Returns the mean over seeds and its 95% interval (of t)."""
    values = np.asarray(scores, dtype=np.float64)
    if len(values) < 2:
        return float(values.mean()), (-math.inf, math.inf)
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    found = comparison(float(values.mean()), error, len(values), len(values) - 1.0)
    return found.effect, found.interval
