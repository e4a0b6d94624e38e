"""Whether predictions mean what they say: probabilities against frequencies, values against values.

Shape legend: `R` rows, `B` bins, `D` draws.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pawl.explaining.judged import Bin, Calibration
from pawl.explaining.subject import Subject, Values
from pawl.rng import derive_seed

_BINS, _LEAST_ROWS, _MOST_ROWS = 10, 20, 20_000
_DRAWS = 400
Owners = Callable[[NDArray[np.int64]], NDArray[np.int64]]
FEWEST = 40
"""Rows below which there is no curve."""


def calibration(
    subject: Subject, values: Values, targets: NDArray[np.float64], *, seed: int
) -> Calibration:
    """Compares predictions with what is true, in bins of equally many rows.

    Of two classes the second's probability, of several the predicted one's (Guo et al. 2017), of labels
    all of them, of values the values. Even a perfectly calibrated model has an error above 0 on few
    rows, so what chance alone would make is drawn, too (Broecker and Smith 2007): outcomes by the
    predicted probabilities; of values, residuals without their mean in the bin. The interval is by the
    basic bootstrap over rows, which takes much of that excess out, and goes down to 0 where chance would
    do; rows are taken to be independent draws.

    Args:
        subject: What is explained.
        values: Predictions, `[R, O]`; of more than 20,000 rows as many are drawn.
        targets: `[R]`, or `[R, O]` of several.
        seed: Of the draws.
    """
    generator = np.random.default_rng(derive_seed(seed, "calibration"))
    if len(values) > _MOST_ROWS:
        some = np.sort(generator.permutation(len(values))[:_MOST_ROWS])
        values, targets = values[some], targets[some]
    what, predicted, actual, owners = _pairs(subject, values, targets)
    bins = max(2, min(_BINS, len(values) // _LEAST_ROWS))
    told = _binned(predicted, actual, bins, subject.kind.has_classes)
    error = _error(predicted[None], actual[None], bins)[0]
    rows = len(values)
    drawn = generator.integers(0, rows, (_DRAWS, rows))
    resampled = np.array(
        [_error(predicted[at][None], actual[at][None], bins)[0] for at in map(owners, drawn)]
    )
    low, high = 2 * error - np.quantile(resampled, [0.975, 0.025])
    chance = _by_chance(predicted, actual, bins, generator, subject.kind.has_classes)
    if error <= np.quantile(chance, 0.95):
        low = 0.0
    return Calibration(
        what=what,
        bins=told,
        error=float(error),
        interval=(max(0.0, float(low)), max(0.0, float(high))),
        by_chance=(float(chance.mean()), float(np.quantile(chance, 0.95))),
        rows=rows,
    )


def _pairs(
    subject: Subject, values: Values, targets: NDArray[np.float64]
) -> tuple[str, Values, Values, Owners]:
    """Returns what is compared, both sides `[N]`, and which of them rows own."""
    rows = len(values)

    def one(at: NDArray[np.int64]) -> NDArray[np.int64]:
        return at

    if subject.schema.kind == "binary":
        return f"Probability of {subject.outputs[1]}", values[:, 1], (targets == 1) * 1.0, one
    if subject.kind.exclusive:
        best = values.argmax(1)
        return (
            "Probability of the predicted class",
            values[np.arange(rows), best],
            (targets == best) * 1.0,
            one,
        )
    if values.shape[1] == 1:
        return subject.outputs[0], values[:, 0], targets, one
    width = values.shape[1]
    what = "Probability of a label" if subject.kind.has_classes else subject.outputs[0]
    if not subject.kind.has_classes:
        return what, values[:, 0], targets[:, 0], one

    def owned(at: NDArray[np.int64]) -> NDArray[np.int64]:
        every: NDArray[np.int64] = (at[:, None] * width + np.arange(width)).ravel()
        return every

    return what, values.ravel(), targets.ravel(), owned


def _edges(count: int, bins: int) -> NDArray[np.int64]:
    return np.linspace(0, count, bins + 1).round().astype(np.int64)


def _error(predicted: Values, actual: Values, bins: int) -> Values:
    """Returns the mean distance over bins, weighted by rows; `[D, N]` to `[D]`."""
    order = np.argsort(predicted, axis=1, kind="stable")
    gaps = np.take_along_axis(actual - predicted, order, axis=1)
    edges = _edges(gaps.shape[1], bins)
    sums = np.add.reduceat(gaps, edges[:-1], axis=1)
    error: Values = np.abs(sums).sum(1) / gaps.shape[1]
    return error


def _binned(predicted: Values, actual: Values, bins: int, classes: bool) -> list[Bin]:
    order = np.argsort(predicted, kind="stable")
    edges = _edges(len(order), bins)
    found = []
    for low, high in pairwise(edges):
        own = order[low:high]
        mean, count = float(actual[own].mean()), len(own)
        if classes:
            interval = wilson(mean, count)
        else:
            spread = float(actual[own].std(ddof=1)) / np.sqrt(count)
            half = float(special.stdtrit(count - 1, 0.975)) * spread
            interval = (mean - half, mean + half)
        found.append(
            Bin(predicted=float(predicted[own].mean()), actual=mean, interval=interval, rows=count)
        )
    return found


def wilson(share: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Returns the 95% interval of a share (Wilson 1927)."""
    scale = 1.0 + z**2 / count
    center = (share + z**2 / (2 * count)) / scale
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / scale
    return max(0.0, float(center - half)), min(1.0, float(center + half))


def _by_chance(
    predicted: Values,
    actual: Values,
    bins: int,
    generator: np.random.Generator,
    classes: bool,
) -> Values:
    """Returns the errors of a perfectly calibrated model, `[D]`."""
    if classes:
        drawn: Values = np.where(generator.random((_DRAWS, len(predicted))) < predicted, 1.0, 0.0)
        return _error(np.broadcast_to(predicted, drawn.shape), drawn, bins)
    order = np.argsort(predicted, kind="stable")
    edges = _edges(len(order), bins)
    centered: Values = (actual - predicted)[order]
    for low, high in pairwise(edges):
        centered[low:high] -= centered[low:high].mean()
    signs = generator.choice([-1.0, 1.0], (_DRAWS, len(order)))
    fair: Values = predicted[order] + signs * centered
    return _error(np.broadcast_to(predicted[order], fair.shape), fair, bins)
