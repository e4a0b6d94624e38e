"""Paired comparisons: what a difference over resplits, or over test rows and seeds, is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from pawl import rng
from pawl.errors import TaskError
from pawl.task import Objective
from pawl.training.metrics import score

ALPHA = 0.05
"""Family-wise error of a campaign's verdicts."""


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
    """

    effect: float
    interval: tuple[float, float]
    p_value: float
    n: int
    standard_error: float
    degrees: float

    def lower_bound(self, level: float = 0.95) -> float:
        """Returns the one-sided lower confidence bound of the effect."""
        if self.standard_error == 0:
            return self.effect
        return self.effect - float(stats.t.ppf(level, self.degrees)) * self.standard_error


def corrected_t(differences: Sequence[float], test_to_train: float) -> Comparison:
    """Compares two arms by their differences over random resplits of the same rows.

    Resplits share rows, so their differences are correlated and the plain paired t test calls far
    too much significant. Nadeau and Bengio (2003, section 3.1) replace the variance `s^2 / n` by
    `(1 / n + test / train) s^2`.

    Assumptions: differences are roughly normal; the correlation between resplits is about the share
    of test rows, which is a heuristic (no unbiased estimate exists, Bengio and Grandvalet 2004).
    The population is that of training sets of this size from where these rows came.

    Args:
        differences: First arm minus second arm, signed so that more is better, one per pair.
        test_to_train: Holdout rows over training rows of each split, > 0.

    Returns:
        The comparison, with `n - 1` degrees of freedom.
    """
    d = np.asarray(differences, dtype=np.float64)
    n = len(d)
    variance = float(d.var(ddof=1)) if n > 1 else math.inf
    error = math.sqrt((1.0 / n + test_to_train) * variance)
    return _comparison(float(d.mean()), error, n, max(1, n - 1))


def _comparison(effect: float, error: float, n: int, degrees: float) -> Comparison:
    if error == 0.0:
        # Without any spread (arms that do the same thing) there is nothing to test.
        p_value = 1.0 if effect == 0.0 else 0.0
        half = 0.0
    elif not math.isfinite(error):
        p_value, half = 1.0, math.inf
    else:
        p_value = float(2.0 * stats.t.sf(abs(effect) / error, degrees))
        half = float(stats.t.ppf(0.975, degrees)) * error
    return Comparison(effect, (effect - half, effect + half), p_value, n, error, degrees)


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
    return comparison.lower_bound() > -margin


@dataclass(frozen=True)
class TestGain:
    """A gain on the test rows.

    Attributes:
        gain: Final minus baseline over seeds; positive is better.
        baseline: Means over seeds, and 95% intervals of the first seed's models over rows.
        final: Likewise.
    """

    __test__ = False  # not a pytest class

    gain: Comparison
    baseline: tuple[float, tuple[float, float]]
    final: tuple[float, tuple[float, float]]


def gain_on_test(
    objective: Objective,
    baseline: Tensor,
    final: Tensor,
    targets: Tensor,
    *,
    seed: int,
    draws: int = 1000,
) -> TestGain:
    """Measures a gain on test rows that no choice has seen, over paired seeds.

    Two sources of chance are added: the test rows (variance of the mean difference over a bootstrap
    of rows, the same rows for all models) and the seeds (variance of the differences over seeds,
    divided by their number). A resampling of so few seeds would understate the second, so it enters
    by its sample variance; the degrees of freedom follow Welch and Satterthwaite.

    Assumptions: rows are independent draws; the mean difference is roughly normal. The interval is
    for these development rows: other training sets are not part of it.

    Args:
        objective: The metric.
        baseline: Predictions of the baseline, one model per seed, `[S, R, C]` or `[S, R]`.
        final: Predictions of the final recipe for the same seeds.
        targets: `[R]`.
        seed: Of the bootstrap.
        draws: Bootstrap draws (a tenth with a metric function of the user's, which is slow).
    """
    sign, seeds, rows = objective.sign, len(baseline), len(targets)
    differences = sign * (score(objective, final, targets) - score(objective, baseline, targets))
    generator = torch.Generator().manual_seed(rng.derive_seed("bootstrap", seed))
    boots_b, boots_f = [], []
    left = draws if objective.function is None else max(100, draws // 10)
    chunk = max(1, min(left, 2_000_000 // max(1, rows)))
    while left > 0:
        size = min(chunk, left)
        picked = torch.randint(rows, (size, rows), generator=generator)
        weights = torch.zeros(size, rows).scatter_add_(1, picked, torch.ones(size, rows))
        boots_b.append(
            torch.stack([score(objective, p, targets, weights) for p in _spread(baseline, size)])
        )
        boots_f.append(
            torch.stack([score(objective, p, targets, weights) for p in _spread(final, size)])
        )
        left -= size
    bootstrap_b, bootstrap_f = torch.cat(boots_b, 1), torch.cat(boots_f, 1)
    by_rows = (sign * (bootstrap_f - bootstrap_b)).mean(0)
    by_rows = by_rows[by_rows.isfinite()]
    if len(by_rows) < 2:
        raise TaskError(
            f"the metric {objective.metric!r} is not a number on resamples of the {rows} test rows; "
            "give more test rows"
        )
    row_variance = float(by_rows.var())
    seed_variance = float(differences.var()) / seeds if seeds > 1 else 0.0
    error = math.sqrt(row_variance + seed_variance)
    if seed_variance > 0:
        degrees = (row_variance + seed_variance) ** 2 / (
            row_variance**2 / max(1, rows - 1) + seed_variance**2 / (seeds - 1)
        )
    else:
        degrees = max(1, rows - 1)
    return TestGain(
        gain=_comparison(float(differences.mean()), error, seeds, degrees),
        baseline=(float(score(objective, baseline, targets).mean()), _percentiles(bootstrap_b[0])),
        final=(float(score(objective, final, targets).mean()), _percentiles(bootstrap_f[0])),
    )


def _spread(predictions: Tensor, size: int) -> list[Tensor]:
    """Returns each seed's predictions with a leading axis for the draws, not copied."""
    return [p.unsqueeze(0).expand(size, *p.shape) for p in predictions]


def _percentiles(values: Tensor) -> tuple[float, float]:
    values = values[values.isfinite()]
    low, high = torch.quantile(values.double(), torch.tensor([0.025, 0.975], dtype=torch.float64))
    return float(low), float(high)
