"""The constant predictor: what a failed training is worth, and what a model that learned beats."""

from __future__ import annotations

import warnings

from torch import Tensor

from pawl.data.types import Schema
from pawl.errors import TaskError
from pawl.kinds import KINDS
from pawl.task import Objective
from pawl.training.metrics import score

_SAME = 1e-6
"""Predictions that differ by less than this share of their size are the same."""


def constant_predictions(schema: Schema, targets: Tensor, count: int) -> Tensor:
    """Returns the same prediction for each row: the class shares, or the mean, of training rows.

    Args:
        schema: The data's.
        targets: Of the training rows, `[R, *S]`.
        count: Number of rows to predict.

    Returns:
        `[count, *P]`, on the CPU.
    """
    one = KINDS[schema.kind].constant(targets.cpu(), schema.num_outputs)
    return one.expand(count, *one.shape).contiguous()


def same_for_all(predictions: Tensor) -> bool:
    """Tells whether predictions `[R, C]` or `[R]` are the same for every row."""
    spread = (predictions - predictions[:1]).abs().max()
    return bool(spread <= _SAME * predictions.abs().max())


def has_value(objective: Objective, predictions: Tensor, targets: Tensor) -> bool:
    """Tells whether the metric is a number for these predictions: one of the user's may not be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return bool(score(objective, predictions, targets).isfinite())
        except TaskError:
            return False


def nothing_learned(
    objective: Objective, predictions: Tensor, targets: Tensor, constant: Tensor
) -> str | None:
    """Returns why predictions show that a model learned nothing, or `None` if it learned something.

    Args:
        objective: The metric.
        predictions: `[R, C]` or `[R]`.
        targets: `[R]`.
        constant: What the constant predictor says of the same rows.
    """
    if same_for_all(predictions):
        return "it predicts the same for every row"
    if not has_value(objective, constant, targets):
        return None
    mine, constants = (float(score(objective, p, targets)) for p in (predictions, constant))
    if objective.sign * (mine - constants) <= 0:
        return no_better(objective, mine, constants)
    return None


def no_better(objective: Objective, mine: float, constant: float) -> str:
    """Says that a score is no better than the constant predictor's."""
    return (
        f"its {objective.metric.replace('_', ' ')} is {mine:.4g}, no better than the {constant:.4g} of "
        "predicting the same for every row"
    )
