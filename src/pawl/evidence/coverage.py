"""How far predictions are from the truth, by rows held out; and how often that holds on the test rows.

Shape legend: `R` rows, `T` targets, 1 where there is one or where classes are predicted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.evidence.arms import Arm
from pawl.evidence.pairs import Pairs
from pawl.kinds import KINDS, Conformal, KindName

_Z = 1.959964


@dataclass(frozen=True)
class Held:
    """How often the truth of a target was inside, over the test rows.

    Attributes:
        share: Of the rows.
        interval: 95%, of the share: Wilson's; of rows that come in groups, by the groups' spread.
        size: Mean width of the intervals, or mean number of classes in a set.
    """

    share: float
    interval: tuple[float, float]
    size: float


@dataclass(frozen=True)
class Coverage:
    """What was asked for, what predictions come with, and what it held.

    Attributes:
        asked: Share of new rows.
        conformal: How far the truth is; `None` where too few rows were held out.
        held: Of each target, once the test rows were predicted.
    """

    asked: float
    conformal: Conformal | None
    held: tuple[Held, ...] = ()


def limits_of(pairs: Pairs | None, arm: Arm, coverage: float) -> Conformal | None:
    """Returns how far an arm's predictions are from the truth, by rows that its models did not see.

    Each row counts once, by the model whose fold held it out. A bundle predicts by the mean of such
    models, which is nearer to the truth than one of them: what holds for one holds for it.

    Args:
        pairs: Where it was trained; `None` for nowhere.
        arm: The arm.
        coverage: Which share of new rows to hold.

    Returns:
        `None` where too few rows were held out.
    """
    if pairs is None:
        return None
    judged = pairs.judged.get(arm.id, {})
    found = [
        (predicted, pairs.trainings.split(pair).holdout)
        for pair in range(pairs.folds)
        if judged.get(pair) is not None and (predicted := pairs.predicted(arm, pair)) is not None
    ]
    if not found:
        return None
    problem = pairs.session.problem
    predictions, rows = (torch.cat(each) for each in zip(*found, strict=True))
    truth = problem.targets.cpu()[rows]
    return Conformal.of(KINDS[problem.schema.kind], predictions.numpy(), truth.numpy(), coverage)


def held(
    conformal: Conformal,
    kind: KindName,
    predictions: NDArray[np.float32],
    targets: Tensor,
    units: Tensor | None = None,
) -> tuple[Held, ...]:
    """Returns how often the truth was inside, for each target.

    Args:
        conformal: How far it is.
        kind: What is predicted.
        predictions: Of the test rows, `[R, *P]`.
        targets: Their truth, `[R, *S]`.
        units: What varies on its own, a number for each row, `[R]`; the rows themselves by default.
    """
    inside = conformal.holds(KINDS[kind], predictions, targets.cpu().numpy())
    if KINDS[kind].has_classes:
        sizes = conformal.sets(predictions).sum(1, keepdims=True).mean(0)
    else:
        low, high = conformal.interval(predictions)
        sizes = (high - low).mean(0)
    groups = None if units is None else units.cpu().numpy()
    return tuple(
        Held(float(column.mean()), _interval(column, groups), float(size))
        for column, size in zip(inside.T, sizes, strict=True)
    )


def _interval(inside: NDArray[np.bool_], units: NDArray[np.int64] | None) -> tuple[float, float]:
    """Returns the 95% interval of the share that is inside, of rows that were drawn, `[R]`."""
    count, share = len(inside), float(inside.mean())
    if units is None:
        middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
        spread = math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
        half = _Z * spread / (1 + _Z**2 / count)
        return middle - half, middle + half
    _, which = np.unique(units, return_inverse=True)
    sums = np.bincount(which, weights=inside - share)
    half = _Z * math.sqrt(float((sums**2).sum())) / count
    return max(0.0, share - half), min(1.0, share + half)
