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
_EACH = 1 / 3


class Errors:
    """The error that tests may still make.

    A test gets a third of what is left. One that a candidate passes gives it back, one that it fails
    has used it up. So the number of tests need not be known before, and a chain in which most
    candidates pass is tested hardly more strictly than a single one (Wiens and Dmitrienko, The fallback
    procedure for evaluating a single family of hypotheses, 2005).

    Of steps with given candidates, each of which goes on until one fails, the chance of passing any
    that loses the margin is at most the whole: until that happens, each step that has such a candidate
    has failed, there or before it. So the first such candidate of the `i`-th of these steps gets at
    most `w / 3 (2 / 3)^(i - 1)` of the whole `w`, whatever else passed, and these sum to `w`.

    Attributes:
        left: The error that is left.

    Example:
        >>> errors = Errors(0.05)
        >>> round(errors.next, 4)
        0.0167
        >>> errors.failed()
        >>> round(errors.next, 4)
        0.0111
    """

    def __init__(self, whole: float = ALPHA) -> None:
        self.left = whole

    @property
    def next(self) -> float:
        """The error of the next test."""
        return _EACH * self.left

    def failed(self) -> None:
        """Uses up what the last test had."""
        self.left -= self.next


@dataclass(frozen=True)
class Judged:
    """What a candidate loses.

    Attributes:
        value: What it scores.
        loss: How much worse it is than the original, in the metric's units; below 0 if better.
        at_most: Upper bound of the loss, one-sided, at the test's level.
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
    non-inferiority, whose error is given (`Errors` shares 5% among several). Influences of rows and
    assumptions are those of `pawl.evidence.crossed`: rows are independent draws that had no part in
    making original or candidate; these very models are meant, not others trained alike.

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
        like: Judges as so many rows would that show the same loss and the same spread; 0 for those that
            there are. So rows for choices tell what the rows that judge are likely to show.

    Raises:
        TaskError: The metric has no value on these rows, or what is allowed is nothing.
    """

    def __init__(
        self,
        objective: Objective,
        rows: Examples,
        original: np.ndarray,
        allowed: MaxLoss,
        like: int = 0,
    ) -> None:
        self.objective = objective
        self._targets = rows.known_targets
        self._units = None if rows.blocks is None else rows.blocks.units
        self._count = len(rows) if self._units is None else len(torch.unique(self._units))
        self._share = self._count / like if like else 1.0
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

    def check_allowed(self, allowed: MaxLoss) -> None:
        """Refuses an amount as large as all that the original scores, where more is better.

        Raises:
            TaskError: It is.
        """
        value = self._original.value
        if self.objective.sign > 0 and not allowed.relative and 0 < value <= self.margin:
            raise TaskError(
                f"got {option('max_loss', allowed)}, an amount of {self.objective.metric}, of which the "
                f"bundle has {value:.3g}: all of it could be lost; write {allowed}% for a share"
            )

    def check(self, original: np.ndarray, error: float = ALPHA) -> None:
        """Refuses rows that are too few, whatever a candidate predicts.

        Args:
            original: As above.
            error: Of the test.

        Raises:
            TaskError: They are.
        """
        least, count = self(original, error), len(original)
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

    def __call__(self, predictions: np.ndarray, error: float = ALPHA) -> Judged:
        """Judges a candidate's predictions, `[R, *P]`, by a test of this error."""
        found = self._scored(predictions)
        if found is None:
            return Judged(math.nan, math.nan, math.inf, self.margin, passed=False)
        rows = len(self._targets)
        compared = crossed(
            self.objective, [found], [self._original], rows, models_vary=False, units=self._units,
            level=1.0 - error,
        )  # fmt: skip
        loss, width = 0.0 - compared.effect, compared.effect - compared.lower
        at_most = loss + math.sqrt(self._share) * width
        if self._by_steps(found):
            at_most = self._bound(loss, math.sqrt(self._share) * compared.standard_error, error)
        passed = at_most < self.margin
        return Judged(found.value, loss, at_most, self.margin, passed)

    def _bound(self, loss: float, spread: float, error: float) -> float:
        """Returns the largest loss `m` that is not refused, of a metric of labels.

        Solves `m - loss = t sqrt(max(spread^2, m s) + 2 s^2)`.
        """
        own = self._original.influence
        # Where every row is right none has an influence; one that turns wrong would have its share.
        step = self._share * max(float(own.max() - own.min()), 1.0 / len(own))
        t = float(special.stdtrit(max(1.0, self._count / self._share - 1.0), 1.0 - error))
        usual = loss + t * math.hypot(spread, math.sqrt(2) * step)
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
