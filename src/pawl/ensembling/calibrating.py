"""How sure a blend should be: one number for all its probabilities, by out-of-fold predictions."""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Tensor

from pawl.ensembling.combiners import Score
from pawl.ensembling.out_of_fold import OutOfFold
from pawl.evidence import Arm, Blend, lead
from pawl.kinds import KINDS
from pawl.models import tempered

_LEAST, _MOST, _STEPS = 0.25, 4.0, 40
_METRICS = ("log_loss",)
"""Metrics that how sure a model is can change for the better."""
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def calibrated(found: OutOfFold, arm: Arm) -> Arm:
    """Returns an arm with the temperature that its out-of-fold predictions score best with.

    Where each half of the rows is better off with the temperature of the other; else as it was. Guo et
    al., On Calibration of Modern Neural Networks, ICML 2017.

    Args:
        found: Out-of-fold predictions of all its recipes.
        arm: A recipe's or a blend.
    """
    problem = found.pairs.session.problem
    if problem.objective.metric not in _METRICS or not KINDS[problem.schema.kind].exclusive:
        return arm
    halves = [found.at(slice(start, None, 2)) for start in (0, 1)]
    for mine, other in (halves, halves[::-1]):
        value, theirs = temperature_of(mine.of_arm(arm), mine.score), other.of_arm(arm)
        if not float(other.score(tempered(theirs, value))) > float(other.score(theirs)):
            return arm
    value = round(temperature_of(found.of_arm(arm), found.score), 4)
    if isinstance(arm, Blend):
        return replace(arm, temperature=value)
    return Blend((lead(arm),), (1.0,), value)


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
