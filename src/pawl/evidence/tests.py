"""Paired comparisons over resplits, and what several of them, or several looks, are worth together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

ALPHA = 0.05
"""Family-wise error of a campaign's verdicts."""
_LARGEST = 700.0  # exponents beyond it overflow
_SAME = 1e-9
"""Differences that spread by less, relative to their mean, differ by floating-point rounding."""


@dataclass(frozen=True)
class Comparison:
    """A paired comparison; a positive effect favors the first arm, whatever the metric's direction.

    Attributes:
        effect: Mean difference in the metric's units.
        interval: 95% interval of the effect, not corrected for other comparisons.
        p_value: Two-sided, of no difference.
        n: Number of pairs.
        standard_error: Of the effect.
        degrees: Degrees of freedom of the t distribution used.
        lower: One-sided 95% lower confidence bound of the effect.
    """

    effect: float
    interval: tuple[float, float]
    p_value: float
    n: int
    standard_error: float
    degrees: float
    lower: float


def corrected_t(differences: Sequence[float], test_to_train: float) -> Comparison:
    """Compares two arms by their differences over random resplits of the same rows.

    Resplits share rows, so their differences are correlated and the plain paired t test calls far
    too much significant. Nadeau and Bengio (2003, section 3.1) replace the variance `s^2 / n` by
    `(1 / n + test / train) s^2`.

    Assumptions: differences are roughly normal; the correlation between resplits is about the share
    of test rows, which is a heuristic (no unbiased estimate exists, Bengio and Grandvalet 2004).
    The population is that of training sets of this size from where these rows came.

    Differences that are all the same, other than zero, have no spread to go by: a metric on so few
    rows moves in steps that hide it. They get the variance that rounding to such a step has, `d^2 / 12`
    (Sheppard), so that they never count as certain.

    Args:
        differences: First arm minus second arm, signed so that more is better, one per pair.
        test_to_train: Holdout rows over training rows of each split, > 0.

    Returns:
        The comparison, with `n - 1` degrees of freedom.
    """
    d = np.asarray(differences, dtype=np.float64)
    n = len(d)
    mean = float(d.mean())
    variance = float(d.var(ddof=1)) if n > 1 else math.inf
    if np.ptp(d) <= _SAME * abs(mean):
        variance = mean * mean / 12 if n > 1 else math.inf
    error = math.sqrt((1.0 / n + test_to_train) * variance)
    return comparison(mean, error, n, max(1, n - 1))


def corrected_ratio_t(
    first: Sequence[float], second: Sequence[float], test_to_train: float
) -> Comparison:
    """Compares the losses of two arms by their ratio; see `corrected_t`.

    A loss without an upper bound (a squared error, a log loss) that is ten times as large on one
    split and fifty times on another has differences that spread as widely as their mean, and no number
    of pairs would show that the second arm is worse on all of them. The logarithms of the ratios do.
    Where losses differ by a few percent, ratios and differences say the same.

    Args:
        first: Losses of the first arm, one per pair, > 0.
        second: Losses of the second.
        test_to_train: As in `corrected_t`.

    Returns:
        The comparison in units of the loss, positive if the first arm's is smaller: what the mean ratio,
        and the ends of its interval, make of the second arm's geometric mean.
    """
    logs = np.log(np.asarray(second, dtype=np.float64)), np.log(np.asarray(first, dtype=np.float64))
    ratio = corrected_t(list(logs[0] - logs[1]), test_to_train)
    reference = math.exp(float(logs[0].mean()))

    def saved(log_ratio: float) -> float:
        return -math.inf if log_ratio < -_LARGEST else reference * -math.expm1(-log_ratio)

    effect = saved(ratio.effect)
    return replace(
        ratio,
        effect=effect,
        interval=(saved(ratio.interval[0]), saved(ratio.interval[1])),
        standard_error=ratio.standard_error * (reference - effect),
        lower=saved(ratio.lower),
    )


def comparison(effect: float, error: float, n: int, degrees: float) -> Comparison:
    """Returns what an effect with this standard error and these degrees of freedom is worth."""
    if error == 0.0:
        p_value, half, one_sided = (1.0 if effect == 0.0 else 0.0), 0.0, 0.0
    elif not math.isfinite(error):
        p_value, half, one_sided = 1.0, math.inf, math.inf
    else:
        p_value = float(2.0 * special.stdtr(degrees, -abs(effect) / error))
        half = float(special.stdtrit(degrees, 0.975)) * error
        one_sided = float(special.stdtrit(degrees, 0.95)) * error
    interval = effect - half, effect + half
    return Comparison(effect, interval, p_value, n, error, degrees, effect - one_sided)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted for their number (Holm 1979): at most 5% that any rejected is true.

    Needs no assumption on how the comparisons depend on each other.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return [float(p) for p in adjusted]


def spending(looks: Sequence[int]) -> dict[int, float]:
    """Returns the share of alpha that each planned look may spend; the shares sum to one.

    Later looks, with more pairs, get more: shares are proportional to `sqrt(n)`.
    """
    weights = [math.sqrt(n) for n in looks]
    return {n: w / sum(weights) for n, w in zip(looks, weights, strict=True)}


def sequential_p(p_values: Sequence[float], shares: Sequence[float]) -> float:
    """Combines the p-values of the looks taken so far into one that may be held against alpha.

    Weighted Bonferroni: the smallest of `p / share`. Valid however the looks depend on each other
    and whenever the series is stopped, as long as the shares sum to at most one and do not follow
    from the results.

    Args:
        p_values: One per look.
        shares: Of alpha, one per look.
    """
    return min(1.0, *(p / share for p, share in zip(p_values, shares, strict=True)))


def non_inferior(comparison: Comparison, margin: float) -> bool:
    """Tells whether the first arm is worse by less than `margin` (one-sided, 95%)."""
    return comparison.lower > -margin
