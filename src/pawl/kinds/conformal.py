"""Conformal prediction: intervals of values and sets of classes that hold the truth as often as asked.

Shape legend: `R` rows, `C` classes, `T` targets, 1 where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawl.errors import TaskError, option
from pawl.kinds.kind import Kind

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Conformal:
    """How far the truth is from a prediction, at most, in a share of new rows.

    Of values: the interval from the prediction less the target's limit to the prediction plus it. Of
    classes: each that is predicted with a probability of 1 less the limit or more, and the likeliest.
    It holds on average over rows that are drawn as those were that it was made by, whatever the model;
    not for each kind of row.

    Attributes:
        coverage: The share, between 0 and 1.
        limits: Of each target, in its units; of classes one, of probabilities.
        rows: How many rows it was made by.

    Reference:
        Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; of classes Sadinle, Lei
        and Wasserman, Least Ambiguous Set-Valued Classifiers with Bounded Error Levels, JASA 2019; by
        models that each left rows out: Barber, Candes, Ramdas and Tibshirani, Predictive Inference with
        the Jackknife+, Annals of Statistics 2021.

    Example:
        >>> import numpy as np
        >>> from pawl.kinds import KINDS
        >>> truth = np.arange(9.0)
        >>> found = Conformal.of(KINDS["regression"], np.zeros(9), truth, 0.8)
        >>> found.limits
        (7.0,)
        >>> [each.tolist() for each in found.interval(np.array([10.0]))]
        [[[3.0]], [[17.0]]]
    """

    coverage: float
    limits: tuple[float, ...]
    rows: int

    @classmethod
    def of(
        cls, kind: Kind, predictions: NDArray[Any], targets: NDArray[Any], coverage: float
    ) -> Conformal | None:
        """Returns it by rows that the predictions' models did not see; `None` of too few rows.

        Args:
            kind: What is predicted; see `refuse_coverage`.
            predictions: `[R, *P]`.
            targets: `[R, *S]`.
            coverage: Which share of new rows to hold.
        """
        apart = _apart(kind, predictions, targets)
        rank = math.ceil((len(apart) + 1) * coverage)
        if rank > len(apart):
            return None
        limits = np.sort(apart, axis=0)[rank - 1]
        return cls(coverage, tuple(float(limit) for limit in limits), len(apart))

    def interval(self, predictions: NDArray[Any]) -> tuple[Floats, Floats]:
        """Returns lower and upper ends, each `[R, T]`, of predictions `[R]` or `[R, T]`."""
        middle = _columns(predictions)
        return middle - self.limits, middle + self.limits

    def sets(self, predictions: NDArray[Any]) -> NDArray[np.bool_]:
        """Returns which classes are in, `[R, C]`, of probabilities `[R, C]`."""
        likeliest = predictions == predictions.max(1, keepdims=True)
        found: NDArray[np.bool_] = (predictions >= 1.0 - self.limits[0]) | likeliest
        return found

    def holds(
        self, kind: Kind, predictions: NDArray[Any], targets: NDArray[Any]
    ) -> NDArray[np.bool_]:
        """Returns where the truth is inside, `[R, T]`."""
        if kind.has_classes:
            rows = np.arange(len(targets))
            return self.sets(predictions)[rows, targets.astype(np.int64), None]
        low, high = self.interval(predictions)
        truth = _columns(targets)
        found: NDArray[np.bool_] = (low <= truth) & (truth <= high)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON-ready values."""
        return {"coverage": self.coverage, "limits": list(self.limits), "rows": self.rows}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Conformal:
        """Returns what `to_dict` wrote."""
        return cls(float(given["coverage"]), tuple(map(float, given["limits"])), int(given["rows"]))


def refuse_coverage(kind: Kind, coverage: float, rows: int) -> None:
    """Refuses a coverage that predictions of a kind, or so many rows, can't have.

    Raises:
        TaskError: It is one.
    """
    if kind.has_places or (kind.has_classes and not kind.exclusive):
        raise TaskError(
            f"got {option('coverage', coverage)} for a {kind.name} task; it is for binary, multiclass, "
            "regression and multitarget, leave it out"
        )
    fewest = math.ceil(coverage / (1.0 - coverage) - 1e-9)
    if rows < fewest:
        most = math.floor(100 * rows / (rows + 1)) / 100
        raise TaskError(
            f"got {option('coverage', coverage)} and {rows} rows to learn it by; it takes at least "
            f"{fewest}: give more rows, or {option('coverage', most)} or less"
        )


def _apart(kind: Kind, predictions: NDArray[Any], targets: NDArray[Any]) -> Floats:
    """Returns how far predictions are from the truth, `[R, T]`."""
    if kind.has_classes:
        right = predictions[np.arange(len(targets)), targets.astype(np.int64)]
        return 1.0 - right.astype(np.float64)[:, None]
    return np.abs(_columns(predictions) - _columns(targets))


def _columns(values: NDArray[Any]) -> Floats:
    return values.astype(np.float64).reshape(len(values), -1)
