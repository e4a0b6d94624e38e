"""How sure a blend should be, and from when on it says yes: one number, by out-of-fold predictions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from pawl.ensembling.combiners import Score
from pawl.ensembling.out_of_fold import OutOfFold
from pawl.evidence import Arm, Blend, lead
from pawl.kinds import KINDS
from pawl.models import tempered

_LEAST, _MOST, _STEPS = 0.25, 4.0, 40
_TEMPERED, _SHIFTED = ("log_loss",), ("f1", "accuracy", "balanced_accuracy")
"""Metrics that how sure a model is can change for the better, and those that a threshold can."""
_MOST_SHIFT, _SHIFTS = 4.0, 81
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def calibrated(found: OutOfFold, arm: Arm) -> Arm:
    """Returns an arm with the temperature or threshold that it scores best with out of fold.

    A temperature where the metric is the log loss; of two classes a threshold, as a shift that makes it
    one half, where the metric looks at the class that is predicted. Only where each half of the rows is
    better off with what the other half has; else the arm is as it was. Guo et al., On Calibration of
    Modern Neural Networks, ICML 2017; Lipton et al., Optimal Thresholding of Classifiers to Maximize F1
    Measure, ECML 2014.

    Args:
        found: Out-of-fold predictions of all its recipes.
        arm: A recipe's or a blend.
    """
    problem = found.pairs.session.problem
    metric, kind = problem.objective.metric, problem.schema.kind
    best: Callable[[Tensor, Score], float]
    adjusted: Callable[[Tensor, float], Tensor]
    tempers = metric in _TEMPERED and KINDS[kind].exclusive
    if tempers:
        best, adjusted = temperature_of, tempered
    elif metric in _SHIFTED and kind == "binary":
        best, adjusted = shift_of, _shifted
    else:
        return arm
    halves = [found.at(slice(start, None, 2)) for start in (0, 1)]
    for mine, other in (halves, halves[::-1]):
        value, theirs = best(mine.of_arm(arm), mine.score), other.of_arm(arm)
        if not float(other.score(adjusted(theirs, value))) > float(other.score(theirs)):
            return arm
    value = round(best(found.of_arm(arm), found.score), 4)
    blend = arm if isinstance(arm, Blend) else Blend((lead(arm),), (1.0,))
    return replace(blend, temperature=value) if tempers else replace(blend, shift=value)


def _shifted(probabilities: Tensor, shift: float) -> Tensor:
    return tempered(probabilities, 1.0, shift)


def shift_of(probabilities: Tensor, score: Score) -> float:
    """Returns the shift with the best score; of neighbors that score alike the middle one.

    Args:
        probabilities: Of two classes, `[F, R, 2]`.
        score: What is to become large.

    Example:
        >>> import torch
        >>> likely = torch.tensor([[[0.9, 0.1], [0.7, 0.3], [0.6, 0.4]]])
        >>> truth = torch.tensor([0, 1, 1])
        >>> right = lambda p: (p.argmax(-1)[0] == truth).double().mean()
        >>> from pawl.models import threshold_of
        >>> 0.1 < threshold_of(shift_of(likely, right)) < 0.3
        True
    """
    values = [_MOST_SHIFT * (2 * at / (_SHIFTS - 1) - 1) for at in range(_SHIFTS)]
    scores = [float(score(_shifted(probabilities, value))) for value in values]
    top = max(scores)
    first = scores.index(top)
    last = first
    while last + 1 < len(scores) and scores[last + 1] == top:
        last += 1
    return values[(first + last) // 2]


def temperature_of(probabilities: Tensor, score: Score) -> float:
    """Returns the temperature with the best score, from 0.25 to 4, by golden section of its logarithm.

    Args:
        probabilities: `[F, R, C]`.
        score: What is to become large; of one hill, as the logarithmic loss is.

    Example:
        >>> import torch
        >>> sure = torch.tensor([[[0.99, 0.01]] * 4])
        >>> right = torch.tensor([0, 0, 0, 1])
        >>> loss = lambda p: p.log()[0, torch.arange(4), right].mean()
        >>> temperature = temperature_of(sure, loss)
        >>> round(float(torch.tensor([0.99, 0.01]).log().div(temperature).softmax(0)[0]), 2)
        0.75
    """
    low, high = math.log(_LEAST), math.log(_MOST)

    def value(at: float) -> float:
        return float(score(tempered(probabilities, math.exp(at))))

    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = value(left), value(right)
    for _ in range(_STEPS):
        if at_left > at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = value(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = value(right)
    return math.exp((low + high) / 2)
