"""What settings are worth against others, over seeds.

A pair is a seed that both arms ran with. Assumptions: seeds are independent draws of all that is random
in the function, and mean differences are roughly normal. Where all differences are one number they are
seen not to be normal; then it is only assumed that without a difference either sign is as likely. What
is estimated is the difference over other seeds, for the data that the function uses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pawl.evidence.tests import ALPHA, Comparison, comparison

_ROUNDINGS = 8
Scores = Mapping[int, float | None]
"""An arm's scores by seed; `None` where a run failed."""


def counted(scores: Scores, worst: float) -> dict[int, float]:
    """Returns scores by seed; a run that failed counts as the worst of all runs."""
    return {seed: worst if score is None else score for seed, score in scores.items()}


def compare(sign: float, first: Mapping[int, float], second: Mapping[int, float]) -> Comparison:
    """Compares two arms by a paired t test over the seeds that both have.

    `effect = mean(d)`, `d` the differences by seed, its standard error `sd(d) / sqrt(n)` with `n - 1`
    degrees of freedom. Differences that are one number but for rounding have no spread to go by; what
    they are worth follows from their signs (`_all_alike`).

    Args:
        sign: `+1` when more is better, `-1` when less is.
        first: Scores by seed; a positive effect favors this arm.
        second: The other's.
    """
    seeds = [seed for seed in first if seed in second]
    pairs = np.array([(first[seed], second[seed]) for seed in seeds], dtype=np.float64)
    count = len(pairs)
    if count == 0:
        return comparison(0.0, math.inf, 0, 1.0)
    differences = sign * (pairs[:, 0] - pairs[:, 1])
    effect = float(differences.mean())
    if count == 1:
        return comparison(effect, math.inf, 1, 1.0)
    rounding = _ROUNDINGS * float(np.finfo(np.float64).eps * np.abs(pairs).max())
    if float(np.ptp(differences)) <= rounding:
        return _all_alike(effect if abs(effect) > rounding else 0.0, count)
    spread = float(differences.std(ddof=1))
    return comparison(effect, spread / math.sqrt(count), count, count - 1.0)


def _all_alike(effect: float, count: int) -> Comparison:
    """Returns what so many differences are worth that are all the same number.

    If arms made no difference, either could have been the better one of a pair, whatever the others
    were: of the `2^n` ways to give signs to the differences two are as extreme as what was seen, so
    `p = 2^(1 - n)`, exactly (the sign-flip test of Fisher, The Design of Experiments, 1935). The
    interval has the effects that this test does not reject: the number alone from six pairs on, every
    number with fewer.

    >>> [round(_all_alike(0.1, n).p_value, 4) for n in (2, 5, 10)]
    [0.5, 0.0625, 0.002]
    """
    one_sided = 0.5**count
    half = 0.0 if 2 * one_sided <= ALPHA else math.inf
    below = 0.0 if one_sided <= ALPHA else math.inf
    p_value = 2 * one_sided if effect else 1.0
    interval = effect - half, effect + half
    return Comparison(effect, interval, p_value, count, 0.0, count - 1.0, effect - below)


def mean_with_interval(scores: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Returns the mean over seeds and its 95% interval (of t)."""
    values = np.asarray(scores, dtype=np.float64)
    if len(values) < 2:
        return float(values.mean()), (-math.inf, math.inf)
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    found = comparison(float(values.mean()), error, len(values), len(values) - 1.0)
    return found.effect, found.interval
