"""Metrics over many models at once, with weights per row.

Shape legend: `...` leading axes (members), `R` rows, `C` classes, `T` targets. Predictions are
probabilities `[..., R, C]` or values `[..., R]`; targets `[..., R]`; weights `[..., R]` or `None`.
Of several targets, predictions and targets are `[..., R, T]`, and a metric is its mean over targets,
where it is a number (the macro average), unless it says that it takes all at once. Places (steps of a
sequence, pixels) count like rows, with their row's weight. The definitions are
scikit-learn's, and a test holds them to it. A row's influence on a metric is the derivative in its
weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pawl.errors import TaskError, did_you_mean
from pawl.kinds import KINDS, NOTHING, Kind, KindName
from pawl.task import CLASS_METRICS, Direction, MetricFunction, Objective
from pawl.training import metric_functions as functions
from pawl.training.own_metric import name_of, score_by_function

Weighted = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Metric:
    """A built-in metric.

    Attributes:
        name: Its name.
        summary: What it measures.
        kinds: For which kinds.
        direction: Whether more is better.
        function: Of predictions, targets and weights; see the head of the file.
        at_once: Whether the function takes all targets at once, where there are several.
        of_labels: Whether only the labels that predictions stand for count, so that it moves in steps.
    """

    name: str
    summary: str
    kinds: tuple[KindName, ...]
    direction: Direction
    function: Weighted
    at_once: bool = False
    of_labels: bool = False

    def score(self, kind: Kind, p: Tensor, t: Tensor, w: Tensor) -> Tensor:
        """Returns the metric over the rows, one number per leading index."""
        if kind.has_places:
            return self.function(*_places(kind, p, t, w))
        if self.at_once or not kind.target_axes:
            return self.function(p, t, w)
        p, t, w = p.transpose(-1, -2), t.transpose(-1, -2), w.unsqueeze(-2)
        if kind.has_classes:  # each label is a class against its absence
            p, t = torch.stack([1.0 - p, p], -1), t.long()
        return self.function(p, t, w).nanmean(-1)


def _places(kind: Kind, p: Tensor, t: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns places as rows, each with its row's weight, and without any where it has no class."""
    axes = kind.target_axes
    w = w.view(*w.shape, *([1] * axes)).expand(*w.shape, *t.shape[-axes:])
    if kind.has_classes:
        w, t = w * (t != NOTHING), t.clamp_min(0)
        p = p.flatten(-2 - axes, -2)
    else:
        p = p.flatten(-1 - axes)
    return p, t.flatten(-1 - axes), w.flatten(-1 - axes)


_CLASSES: tuple[KindName, ...] = ("binary", "multiclass", "multilabel")
_AT_PLACES: tuple[KindName, ...] = ("sequence", "dense")
_EVERY: tuple[KindName, ...] = (*_CLASSES, *_AT_PLACES)
_VALUES: tuple[KindName, ...] = ("regression", "multitarget", "dense_regression")
METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("accuracy", "share of right classes", _EVERY, "maximize", functions.accuracy,
               of_labels=True),
        Metric("balanced_accuracy", "mean recall of the classes", _EVERY, "maximize",
               functions.balanced_accuracy, of_labels=True),
        Metric("f1", "F1 of the second class; mean over classes if more than two", _EVERY,
               "maximize", functions.f1, of_labels=True),
        Metric("roc_auc", "area under the ROC curve (one against the rest if multi-class)",
               _CLASSES, "maximize", functions.roc_auc),
        Metric("average_precision", "area under the precision-recall curve",
               ("binary", "multilabel"), "maximize", functions.average_precision),
        Metric("f1_micro", "F1 over all labels of all rows", ("multilabel",), "maximize",
               functions.f1_micro, at_once=True, of_labels=True),
        Metric("exact_match", "share of rows with all labels right", ("multilabel",), "maximize",
               functions.exact_match, at_once=True, of_labels=True),
        Metric("log_loss", "mean negative log-likelihood", _EVERY, "minimize", functions.log_loss),
        Metric("perplexity", "exponential of the mean negative log-likelihood of a step",
               ("sequence",), "minimize", functions.perplexity),
        Metric("mean_iou", "intersection over union of each class, the mean over those there are",
               ("dense",), "maximize", functions.mean_iou, of_labels=True),
        Metric("rmse", "root mean squared error", _VALUES, "minimize", functions.rmse),
        Metric("mae", "mean absolute error", _VALUES, "minimize", functions.mae),
        Metric("r2", "coefficient of determination", _VALUES, "maximize", functions.r2),
    )
}  # fmt: skip
assert {name for name, m in METRICS.items() if "binary" in m.kinds} == CLASS_METRICS


def check_metric(
    metric: str | MetricFunction | None, direction: Direction | None, kind: KindName | None = None
) -> None:
    """Refuses a metric that does not exist, is for another kind, or lacks its direction.

    Raises:
        TaskError: One of these.
    """
    if metric is None:
        return
    if not isinstance(metric, str):
        if not callable(metric):
            raise TaskError(
                f"got the metric {metric!r}; give a function of targets and predictions, or one of "
                f"{', '.join(METRICS)}"
            )
        if direction not in ("maximize", "minimize"):
            raise TaskError(
                "a metric of your own needs direction='maximize' or 'minimize'; "
                f"got direction={direction!r}"
            )
        return
    found = METRICS.get(metric)
    fitting = [name for name, m in METRICS.items() if kind is None or kind in m.kinds]
    if found is None or metric not in fitting:
        what = "unknown metric" if found is None else f"metric for {' or '.join(found.kinds)} only:"
        allowed = "allowed are" if kind is None else f"for {kind}:"
        raise TaskError(
            f"{what} {metric!r}{did_you_mean(metric, fitting)}; {allowed} {', '.join(fitting)}"
        )
    if direction not in (None, found.direction):
        raise TaskError(f"metric {metric!r} is to {found.direction}, got direction={direction!r}")


def make_objective(
    metric: str | MetricFunction | None, direction: Direction | None, kind: KindName
) -> Objective:
    """Returns the objective that a task's metric and direction name.

    Raises:
        TaskError: No such metric, one of another kind, or a function without a direction.
    """
    if metric is None:
        metric = KINDS[kind].default_metric
    check_metric(metric, direction, kind)
    if isinstance(metric, str):
        return Objective(kind=kind, metric=metric, direction=METRICS[metric].direction)
    assert direction is not None
    return Objective(kind=kind, metric=name_of(metric), direction=direction, function=metric)


def bounds(objective: Objective) -> tuple[float, float]:
    """Returns the least and the most that a metric can be."""
    if objective.function is not None:
        return -math.inf, math.inf
    if objective.direction == "minimize":
        return 0.0, math.inf
    return (-math.inf if objective.metric == "r2" else 0.0), 1.0


def score(
    objective: Objective, predictions: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Returns the objective's metric over the rows, one number per leading index (float64).

    Predictions that are not finite give NaN.

    Raises:
        TaskError: The user's metric raised, or returned something that is not a number.
    """
    if objective.function is not None:
        return score_by_function(objective, predictions, targets, weights)
    kind = KINDS[objective.kind]
    if weights is None:
        count = targets.shape[-1 - kind.target_axes]
        weights = torch.ones(count, dtype=torch.float64, device=targets.device)
    value = METRICS[objective.metric].score(kind, predictions, targets, weights).double()
    finite = predictions.isfinite().flatten(-1 - kind.prediction_axes).all(-1)
    return torch.where(finite, value, torch.nan)
