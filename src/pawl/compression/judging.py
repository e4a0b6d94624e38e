"""What a compressed model loses: a paired test of non-inferiority against the original."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special
from torch import Tensor

from pawl.data.types import Examples
from pawl.errors import TaskError, option
from pawl.evidence import ALPHA, HoldoutScore, crossed, holdout_score
from pawl.options.amounts import MaxLoss
from pawl.task import Objective
from pawl.training.metrics import METRICS

_MOVED = 0.5
"""A metric of which fewer rows than this share move is one of steps."""


@dataclass(frozen=True)
class Judged:
    """What a candidate loses.

    Attributes:
        value: What it scores.
        loss: How much worse it is than the original, in the metric's units; below 0 if better.
        at_most: Upper bound of the loss, one-sided, at the judge's level.
        allowed: What may be lost.
        passed: Whether the bound is below it.
    """

    value: float
    loss: float
    at_most: float
    allowed: float
    passed: bool


class Judge:
    """Judges predictions of some rows by what the original predicts of them.

    A candidate passes if the loss of the metric is shown to be below the margin: a one-sided test of
    non-inferiority at level `ALPHA / tests`, so that over all tests of a judge the chance of passing
    anything that loses more is at most `ALPHA` (Bonferroni). Influences of rows and assumptions are
    those of `pawl.evidence.crossed`: rows are independent draws that had no part in making original or
    candidate; these very models are meant, not others trained alike.

    A metric of labels moves in steps, and of two models that are nearly alike most rows have the same
    label: what has not been seen yet is then most of the variance, and the usual one, 0 if no label
    changed, lets up to 20% of those pass that lose the margin. Its bound is where a loss of `m` could
    just be refused: with the variance that such a loss has at least, `m s`, `s` being the step of a row
    (as score tests have it; Tango, Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design, 1998), and with two rows more, one changed each way (Bonett
    and Price, Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data, 2012).

    Args:
        objective: The metric.
        rows: With targets, `R` of them.
        original: What the original predicts of them, `[R, *P]`.
        allowed: What may be lost.
        tests: How many candidates may be judged, at most.

    Raises:
        TaskError: The metric has no value on these rows, or what is allowed is nothing.
    """

    def __init__(
        self,
        objective: Objective,
        rows: Examples,
        original: np.ndarray,
        allowed: MaxLoss,
        tests: int = 1,
    ) -> None:
        self.objective, self.level = objective, 1.0 - ALPHA / max(1, tests)
        self._targets = rows.known_targets
        self._units = None if rows.blocks is None else rows.blocks.units
        self._count = len(rows) if self._units is None else len(torch.unique(self._units))
        own = self._scored(original)
        if own is None:
            raise TaskError(
                f"the metric {objective.metric!r} is not a number on the {len(rows):,} rows that judge; "
                "give more rows"
            )
        self._original = own
        self.margin = allowed.margin(own.value)
        if self.margin <= 0:
            raise TaskError(
                f"got {option('max_loss', allowed)}, and the bundle scores {own.value:g}, of which that "
                "is nothing; give an amount in the metric's units"
            )

    def check(self, original: np.ndarray) -> None:
        """Refuses rows that are too few, whatever a candidate predicts.

        Args:
            original: As above.

        Raises:
            TaskError: They are.
        """
        least, count = self(original), len(original)
        if not least.passed:
            raise TaskError(
                f"{count:,} rows judge, too few to show a loss below {self.margin:.3g} of "
                f"{self.objective.metric}: {least.at_most:.3g} is the least they can; give more rows, "
                f"or a larger {option('max_loss')}"
            )

    @property
    def value(self) -> float:
        """What the original scores."""
        return self._original.value

    def __call__(self, predictions: np.ndarray) -> Judged:
        """Judges a candidate's predictions, `[R, *P]`."""
        found = self._scored(predictions)
        if found is None:
            return Judged(math.nan, math.nan, math.inf, self.margin, passed=False)
        rows = len(self._targets)
        compared = crossed(
            self.objective, [found], [self._original], rows, models_vary=False, units=self._units,
            level=self.level,
        )  # fmt: skip
        at_most = 0.0 - compared.lower
        if self._by_steps(found):
            at_most = self._bound(-compared.effect, compared.standard_error)
        passed = at_most < self.margin
        return Judged(found.value, 0.0 - compared.effect, at_most, self.margin, passed)

    def _bound(self, loss: float, error: float) -> float:
        """Returns the largest loss `m` that is not refused, of a metric of labels.

        Solves `m - loss = t sqrt(max(error^2, m s) + 2 s^2)`.
        """
        own = self._original.influence
        # Where every row is right none has an influence; one that turns wrong would have its share.
        step = max(float(own.max() - own.min()), 1.0 / len(own))
        t = float(special.stdtrit(max(1.0, self._count - 1.0), self.level))
        usual = loss + t * math.hypot(error, math.sqrt(2) * step)
        half = loss + t * t * step / 2
        under = half * half - loss * loss + 2 * (t * step) ** 2
        return max(usual, half + math.sqrt(under)) if under >= 0 else usual

    def _by_steps(self, found: HoldoutScore) -> bool:
        known = METRICS.get(self.objective.metric)
        if self.objective.function is None and (known is None or not known.of_labels):
            return False
        difference: Tensor = found.influence - self._original.influence
        moved = (difference - difference.median()).abs() > 1e-12
        return float(moved.double().mean()) < _MOVED

    def _scored(self, predictions: np.ndarray) -> HoldoutScore | None:
        values = torch.from_numpy(predictions)
        return holdout_score(
            self.objective, values, self._targets, torch.arange(len(values)), self._units
        )
