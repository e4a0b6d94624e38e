"""Two plainer explanations of a row beside Shapley values: what is lost without a column, and LIME.

Shape legend: `F` columns, `M` background rows, `S` samples, `O` outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pawl.data.types import Inputs
from pawl.explaining.estimate import Estimate, over_background
from pawl.explaining.mixing import Mixer
from pawl.explaining.subject import Feature, Subject, Values, count_of

_WIDTH = 0.25
_RIDGE = 1e-3


def ablated(
    subject: Subject, features: Sequence[Feature], row: Inputs, background: Inputs
) -> Estimate:
    """Returns by how much the prediction falls where one column alone is that of background rows.

    `f(x) - mean_b f(b_i, x without i)`: feature ablation with the background in the place of a fixed
    baseline. What columns do only together counts for each of them, so the parts do not add up.

    Args:
        subject: What is explained.
        features: `F` columns.
        row: One row.
        background: `M` rows.
    """
    mixer = Mixer(features, row, background)
    rows, columns = np.nonzero(mixer.apart()[0])
    masks = np.ones((len(rows) + 1, len(features)), dtype=bool)
    masks[np.arange(len(rows)), columns] = False
    found = mixer.values(subject, np.append(rows, 0), masks)
    whole = found[-1]
    each = np.zeros((count_of(background), len(features), len(whole)))
    each[rows, columns] = whole - found[:-1]
    return over_background(each, np.zeros((0, len(whole))), len(masks))


def lime(
    subject: Subject,
    features: Sequence[Feature],
    row: Inputs,
    background: Inputs,
    samples: int,
    seed: int,
) -> tuple[Estimate, Values]:
    """Returns a linear model of the prediction near a row, and how well it fits, `[O]`.

    Ribeiro, Singh and Guestrin 2016, on whether a column is the row's or a background row's: samples
    keep a random number of columns, count by `exp(-d^2 / 0.25^2)` with `d = 1 - sqrt(share kept)`, and a
    ridge regression on the outputs themselves gives each column's part. There is no lasso, whose usual
    strength is made for outputs far larger than probabilities, and zeroes all. The fit is weighted R2.

    Args:
        subject: What is explained.
        features: `F` columns.
        row: One row.
        background: `M` rows, which take turns.
        samples: `S`.
        seed: Of the samples.
    """
    mixer, columns = Mixer(features, row, background), len(features)
    generator = np.random.default_rng(seed)
    gone = generator.integers(1, columns + 1, samples)
    gone[:1] = 0  # the row itself
    masks = np.argsort(np.argsort(generator.random((samples, columns)), 1), 1) >= gone[:, None]
    turns = generator.permutation(np.arange(samples) % count_of(background))
    found = mixer.values(subject, turns, masks)
    weights = np.exp(-((1.0 - np.sqrt(masks.mean(1))) ** 2) / _WIDTH**2)
    values, errors, fit = _fitted(masks, found, weights)
    halves = [_fitted(masks[p::2], found[p::2], weights[p::2])[0] for p in (0, 1)]
    estimate = Estimate(values, errors, np.stack(halves), np.zeros((0, found.shape[1])), len(masks))
    return estimate, fit


def _fitted(
    masks: NDArray[np.bool_], found: Values, weights: Values
) -> tuple[Values, Values, Values]:
    """Returns a weighted ridge regression's slopes, their standard errors, `[F, O]`, and its R2, `[O]`.

    Errors are robust to variances that differ (White 1980).
    """
    x = np.concatenate([np.ones((len(masks), 1)), masks], 1)
    weighed = x * weights[:, None]
    inner = x.T @ weighed
    inner[np.arange(1, len(inner)), np.arange(1, len(inner))] += _RIDGE * weights.sum()
    inverse = np.linalg.inv(inner)
    slopes = inverse @ weighed.T @ found
    left = found - x @ slopes
    spread = inverse @ weighed.T
    errors = np.sqrt((spread**2) @ (left**2))
    mean = (weights[:, None] * found).sum(0) / weights.sum()
    total = (weights[:, None] * (found - mean) ** 2).sum(0)
    missed = (weights[:, None] * left**2).sum(0)
    fit = 1.0 - np.divide(missed, total, out=np.zeros_like(missed), where=total > 0)
    return slopes[1:], errors[1:], fit
