"""What a difference over folds is worth: rows and models are crossed, and both vary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pawl.evidence.tests import Comparison, Parts, comparison
from pawl.task import Objective
from pawl.training.metrics import bounds, score

_GROUPS = 100
"""Groups of rows that a metric function of the user's is computed without, one at a time."""
_LARGEST = 700.0  # exponents beyond it overflow
_SAME = 1e-9
"""An error below this share of its effect is floating-point rounding."""


@dataclass(frozen=True, eq=False)
class HoldoutScore:
    """What a model scores on held-out rows, and what each of them has to do with it.

    Attributes:
        value: The metric.
        rows: The held-out rows, `[R]`.
        influence: Of each row on the metric, `[R]` float64; sums to zero.
    """

    value: float
    rows: Tensor
    influence: Tensor


def holdout_score(
    objective: Objective,
    predictions: Tensor,
    targets: Tensor,
    rows: Tensor,
    units: Tensor | None = None,
) -> HoldoutScore | None:
    """Scores predictions of held-out rows; `None` if the metric is not a number there.

    A row's influence is the derivative of the metric in the row's weight (the infinitesimal
    jackknife; Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982). A metric function
    of the user's has none: up to 100 groups of rows, always the same, are left out one by one.

    Args:
        objective: The metric.
        predictions: `[R, C]` or `[R]`.
        targets: `[R]`.
        rows: Which rows of the data these are, `[R]` int64.
        units: What varies on its own, of all rows of the data; see `crossed`.
    """
    if objective.function is None:
        weights = torch.ones(len(rows), dtype=torch.float64, requires_grad=True)
        value = score(objective, predictions, targets, weights)
        if not bool(value.isfinite()):
            return None
        (influence,) = torch.autograd.grad(value, weights)
        influence = influence.nan_to_num()  # the root of an error that is zero has no derivative
    else:
        value = score(objective, predictions, targets)
        if not bool(value.isfinite()):
            return None
        groups = (rows if units is None else units[rows]) % _GROUPS
        influence = _by_groups(objective, predictions, targets, groups, float(value))
    influence = influence - influence.mean()
    return HoldoutScore(
        float(value.detach()), rows, influence * math.sqrt(len(rows) / max(1, len(rows) - 1))
    )


def _by_groups(
    objective: Objective, predictions: Tensor, targets: Tensor, groups: Tensor, value: float
) -> Tensor:
    influence = torch.zeros(len(groups), dtype=torch.float64)
    for group in set(groups.tolist()):
        mine = groups == group
        kept = (~mine).to(torch.float64)
        without = float(score(objective, predictions, targets, kept)) if kept.any() else math.nan
        if math.isfinite(without):
            influence[mine] = (value - without) / int(mine.sum())
    return influence


def interval(
    objective: Objective, judged: HoldoutScore, units: Tensor | None = None
) -> tuple[float, float]:
    """Returns the 95% interval of a model's score, for other rows from where these came.

    Args:
        objective: The metric.
        judged: The score.
        units: What varies on its own, of all rows of the data; see `crossed`.
    """
    code = _units(objective, len(judged.rows), units)[judged.rows]
    influence, count = _summed(judged.influence.unsqueeze(0), code), len(torch.unique(code))
    error = math.sqrt(float((influence**2).sum()) * _few_groups(count, units))
    low, high = comparison(judged.value, error, count, max(1, count - 1)).interval
    least, most = bounds(objective)
    return max(low, least), min(high, most)


def crossed(
    objective: Objective,
    first: Sequence[HoldoutScore],
    second: Sequence[HoldoutScore],
    rows: int,
    *,
    models_vary: bool = True,
    units: Tensor | None = None,
    level: float = 0.95,
) -> Comparison:
    """Compares two arms by what their models score on the same held-out rows, pair by pair.

    Pairs are folds of a repeated cross-validation, or seeds that share all rows, with one model of
    each arm. The variance of the mean difference has a part of rows, by the influence of each row on
    it (Bayle et al., Cross-validation Confidence Intervals for Test Error, 2020), and a part of models:
    what differences vary over pairs more than their rows explain (Owen, The Pigeonhole Bootstrap,
    2007, on crossed effects), divided by the number of pairs. Degrees of freedom follow Welch and
    Satterthwaite.

    Losses (all positive, smaller is better) are compared by the logarithm of the ratio of their means:
    without an upper bound, a large difference spreads as widely as its mean, and no number of pairs
    would show it. The effect is the difference of the means all the same.

    Where rows come in groups or follow each other in time, what varies is whole groups, or stretches of
    time: a unit's influence is the sum of its rows', and the variance between units has the usual factor
    `G / (G - 1)` for `G` of them (Liang and Zeger, Longitudinal data analysis using generalized linear
    models, 1986).

    Assumptions: rows (or units) are independent draws, and none had a part in choosing the arms; a
    model's score depends little on any one training row (stability); the mean is roughly normal. What is
    estimated is the difference for models trained on such a share of these very rows.

    Args:
        objective: The metric.
        first: One per pair, the arm that a positive effect favors.
        second: Likewise, on the same rows.
        rows: How many rows the data has.
        models_vary: Whether others trained alike are meant too, or these very models.
        units: What varies on its own, of all rows of the data, `[rows]` int64 from 0; each row by
            default.
        level: Of the one-sided lower bound.
    """
    pairs = len(first)
    if pairs == 0:
        return comparison(0.0, math.inf, 0, 1.0)
    mine, theirs = (
        torch.tensor([each.value for each in arm], dtype=torch.float64) for arm in (first, second)
    )
    ratio = objective.sign < 0 and bool((mine > 0).all()) and bool((theirs > 0).all())
    scales = (float(mine.mean()), float(theirs.mean())) if ratio else (1.0, 1.0)
    effect = float(objective.sign * (mine.mean() - theirs.mean()))
    on_scale = math.log(scales[1] / scales[0]) if ratio else effect
    deviations = objective.sign * (mine / scales[0] - theirs / scales[1])
    shares = torch.zeros(pairs, rows, dtype=torch.float64)
    for pair, (a, b) in enumerate(zip(first, second, strict=True)):
        influence = a.influence / scales[0] - b.influence / scales[1]
        shares[pair, a.rows] = objective.sign * influence
    code = _units(objective, rows, units)
    count = len(torch.unique(code[torch.cat([each.rows for each in first])]))
    shares = _summed(shares, code) * math.sqrt(_few_groups(count, units))
    parts = (
        crossed_parts(on_scale, deviations, shares, count) if models_vary and pairs > 1 else None
    )
    if parts is not None:
        error, degrees = parts.error(pairs)
    elif models_vary:  # one pair does not say how pairs vary
        error, degrees = math.inf, 1.0
    else:
        error, degrees = math.sqrt(float((shares.mean(0) ** 2).sum())), max(1.0, count - 1.0)
    if error <= _SAME * abs(on_scale):
        # Every row says the same, so that nothing varies. A metric on few rows moves in steps: the
        # variance of rounding to one of them (Sheppard) keeps the result from counting as certain.
        error, degrees = abs(on_scale) / math.sqrt(12 * pairs), max(1.0, pairs - 1.0)
        parts = None
    result = replace(comparison(on_scale, error, pairs, degrees, level), parts=parts)
    return _in_units(result, effect, scales[1]) if ratio else result


def _units(objective: Objective, rows: int, units: Tensor | None) -> Tensor:
    """Returns what varies on its own, `[rows]`: of a metric function of the user's, groups of it."""
    code = torch.arange(rows) if units is None else units
    return code % _GROUPS if objective.function is not None else code


def _few_groups(count: int, units: Tensor | None) -> float:
    """Returns the factor for the variance of few units; of rows, their influences have it."""
    return 1.0 if units is None or count < 2 else count / (count - 1)


def _summed(shares: Tensor, code: Tensor) -> Tensor:
    """Returns the sums over rows of the same unit, `[P, units]`."""
    if len(code) == int(code.max()) + 1 and bool((code == torch.arange(len(code))).all()):
        return shares  # each row on its own
    return shares.new_zeros(len(shares), int(code.max()) + 1).index_add_(1, code, shares)


def crossed_parts(effect: float, deviations: Tensor, shares: Tensor, units: int) -> Parts:
    """Returns the parts of the variance of the mean over two pairs or more.

    Args:
        effect: The mean difference.
        deviations: Of each pair, `[P]`.
        shares: Of each row (or group of rows) in each pair, `[P, N]`; zero where it was not held out.
        units: How many rows (or groups) were held out at all.
    """
    pairs = len(deviations)
    by_rows = float((shares.mean(0) ** 2).sum())
    each = float((shares**2).sum(1).mean())  # variance of one pair by its rows
    common = (pairs * by_rows - each) / (pairs - 1)  # covariance of two, by rows that they share
    spread = float(deviations.var())
    return Parts(effect, by_rows, max(0.0, spread - each + common), spread, units)


def _in_units(result: Comparison, effect: float, reference: float) -> Comparison:
    """Returns a comparison of the logarithms of two losses' means in units of the loss."""

    def saved(log_ratio: float) -> float:
        return -math.inf if log_ratio < -_LARGEST else reference * -math.expm1(-log_ratio)

    return replace(
        result,
        effect=effect,
        interval=(saved(result.interval[0]), saved(result.interval[1])),
        standard_error=result.standard_error * (reference - effect),
        lower=saved(result.lower),
    )
