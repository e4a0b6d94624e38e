"""The final gain: what a difference over test rows and seeds is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pawl.errors import TaskError
from pawl.evidence.crossed import HoldoutScore, crossed, holdout_score, interval
from pawl.evidence.tests import Comparison
from pawl.task import Objective

Value = tuple[float, tuple[float, float]]
"""A score and its 95% interval."""


@dataclass(frozen=True)
class TestGain:
    """A gain on the test rows.

    Attributes:
        gain: Final minus baseline over pairs of models; positive is better.
        baseline: Mean over models, and the 95% interval, over rows, of what the models that are kept
            predict by their mean.
        final: Likewise.
    """

    __test__ = False  # not a pytest class

    gain: Comparison
    baseline: Value
    final: Value


def gain_on_test(
    objective: Objective,
    baseline: Tensor,
    final: Tensor,
    targets: Tensor,
    *,
    kept: tuple[Sequence[int], Sequence[int]] = ((0,), (0,)),
    units: Tensor | None = None,
) -> TestGain:
    """Measures a gain on test rows that no choice has seen, over pairs of models; see `crossed`.

    With one seed it is the gain of these very models: only rows vary. The interval is for these
    development rows: other training sets are not part of it.

    Args:
        objective: The metric.
        baseline: Predictions of the baseline, one model per seed, `[S, R, C]` or `[S, R]`.
        final: Predictions of the final recipe for the same seeds.
        targets: `[R]`.
        kept: Numbers of the models, of the baseline and of the final recipe, whose mean prediction the
            arms' own intervals are of; the first by default.
        units: What varies on its own, `[R]` int64 from 0; each row by default.

    Raises:
        TaskError: The metric is not a number on the test rows.
    """
    rows = torch.arange(len(targets))

    def judged(predictions: Tensor) -> HoldoutScore:
        found = holdout_score(objective, predictions, targets, rows, units)
        if found is None:
            raise TaskError(
                f"the metric {objective.metric!r} is not a number on the {len(rows)} test rows; give "
                "more test rows"
            )
        return found

    def own(predictions: Tensor, models: list[HoldoutScore], kept: Sequence[int]) -> Value:
        one = judged(predictions[list(kept)].mean(0)) if len(kept) > 1 else models[kept[0]]
        mean = sum(model.value for model in models) / len(models)
        return mean, interval(objective, one, units)

    arms = [(each, [judged(p) for p in each]) for each in (baseline, final)]
    mine, theirs = arms[1][1], arms[0][1]
    return TestGain(
        gain=crossed(objective, mine, theirs, len(rows), models_vary=len(mine) > 1, units=units),
        baseline=own(*arms[0], kept[0]),
        final=own(*arms[1], kept[1]),
    )
