"""Metrics over many models at once, with weights per row.

Shape legend: `...` leading axes (members), `R` rows, `C` classes. Predictions are
probabilities `[..., R, C]` or values `[..., R]`; targets `[..., R]`; weights `[..., R]` or `None`.
The definitions are scikit-learn's, and a test holds them to it. A row's influence on a metric is the
derivative in its weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pawl.errors import TaskError, did_you_mean
from pawl.task import CLASS_METRICS, KINDS, Direction, Kind, MetricFunction, Objective
from pawl.training.own_metric import name_of, score_by_function

Weighted = Callable[[Tensor, Tensor, Tensor], Tensor]


def _mean(x: Tensor, weights: Tensor) -> Tensor:
    return (x * weights).sum(-1) / weights.sum(-1)


def _accuracy(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    return _mean((p.argmax(-1) == t).to(w.dtype), w)


def _confusion(p: Tensor, t: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns true positives, predicted and actual weight per class, each `[..., C]`."""
    classes = torch.arange(p.shape[-1], device=p.device)
    predicted = (p.argmax(-1).unsqueeze(-1) == classes).to(w.dtype)
    actual = (t.unsqueeze(-1) == classes).to(w.dtype)
    w = w.unsqueeze(-1)
    return (predicted * actual * w).sum(-2), (predicted * w).sum(-2), (actual * w).sum(-2)


def _balanced_accuracy(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    hit, _, actual = _confusion(p, t, w)
    present = actual > 0
    recall = torch.where(present, hit / actual.clamp_min(1e-12), 0.0)
    return recall.sum(-1) / present.sum(-1)


def _f1(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    hit, predicted, actual = _confusion(p, t, w)
    total = predicted + actual
    f1 = torch.where(total > 0, 2 * hit / total.clamp_min(1e-12), 0.0)
    if p.shape[-1] == 2:
        return f1[..., 1]
    return f1.sum(-1) / (total > 0).sum(-1)


def _log_loss(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    p = p.clamp(torch.finfo(torch.float32).eps, 1.0)
    p = p / p.sum(-1, keepdim=True)
    chosen = p.gather(-1, t.expand(p.shape[:-1]).unsqueeze(-1)).squeeze(-1)
    return _mean(-chosen.log(), w)


def _curve(score: Tensor, positive: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns, by falling score, cumulated positive and negative weight and those before each tie.

    Only at the last row of a run of equal scores do the values count; elsewhere "before" equals
    "after", so that differences vanish. Where it is one model that
    is scored, the other rows are left out.
    """
    order = _by_falling(score)
    score = score.gather(-1, order)
    if order.numel() == order.shape[-1]:
        order, score = order.flatten(), score.flatten()
        ends = torch.cat([score[1:] != score[:-1], score.new_ones(1, dtype=torch.bool)])
        w, positive = w[..., order], positive[..., order].to(w.dtype)
        both = []
        for value in (w * positive, w * (1.0 - positive)):
            after = value.cumsum(-1)[..., ends]
            both += [after, torch.nn.functional.pad(after[..., :-1], (1, 0))]
        return both[0], both[1], both[2], both[3]
    shape = torch.broadcast_shapes(  # type: ignore[no-untyped-call]
        order.shape, positive.shape, w.shape
    )
    order = order.expand(shape)
    w = w.expand(shape).gather(-1, order)
    positive = positive.expand(shape).gather(-1, order).to(w.dtype)
    last = torch.ones_like(score, dtype=torch.bool)
    last[..., :-1] = score[..., 1:] != score[..., :-1]
    last = last.expand(shape)
    cumulated = []
    for value in (w * positive, w * (1.0 - positive)):
        after = value.cumsum(-1)
        at_ends = torch.where(last, after, 0.0).cummax(-1).values
        before = torch.zeros_like(after)
        before[..., 1:] = at_ends[..., :-1]
        cumulated += [torch.where(last, after, before), before]
    return cumulated[0], cumulated[1], cumulated[2], cumulated[3]


def _by_falling(score: Tensor) -> Tensor:
    """Returns the rows' indices by falling score, `[..., R]`; ties are in any order."""
    if score.device.type != "cpu":
        return score.argsort(dim=-1, descending=True)
    # NumPy sorts many numbers at once, PyTorch one by one: six times as long.
    return torch.from_numpy(np.argsort(-score.detach().numpy(), axis=-1))


def _binary_auc(score: Tensor, positive: Tensor, w: Tensor) -> Tensor:
    up, up_before, out, out_before = _curve(score, positive, w)
    area = ((out - out_before) * (up + up_before)).sum(-1) / 2
    total = up[..., -1] * out[..., -1]
    return torch.where(total > 0, area / total.clamp_min(1e-12), torch.nan)


def _roc_auc(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    w = w.double()
    if p.shape[-1] == 2:
        return _binary_auc(p[..., 1], t == 1, w)
    each = [_binary_auc(p[..., c], t == c, w) for c in range(p.shape[-1])]
    return torch.stack(each, -1).nanmean(-1)


def _average_precision(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    up, up_before, out, _ = _curve(p[..., 1], t == 1, w.double())
    precision = up / (up + out).clamp_min(1e-12)
    total = up[..., -1]
    return torch.where(
        total > 0, ((up - up_before) * precision).sum(-1) / total.clamp_min(1e-12), torch.nan
    )


def _rmse(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    return _mean((p.double() - t.double()) ** 2, w.double()).sqrt()


def _mae(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    return _mean((p.double() - t.double()).abs(), w.double())


def _r2(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    t, w = t.double(), w.double()
    spread = _mean((t - _mean(t, w).unsqueeze(-1)) ** 2, w)
    error = _mean((p - t) ** 2, w)
    # As scikit-learn: constant targets give 1 if they are met exactly, else 0.
    constant = (error == 0).to(error.dtype)
    return torch.where(spread > 0, 1.0 - error / torch.where(spread > 0, spread, 1.0), constant)


@dataclass(frozen=True)
class Metric:
    """A built-in metric: what it measures, for which kinds, and whether more is better."""

    name: str
    summary: str
    kinds: tuple[Kind, ...]
    direction: Direction
    function: Weighted


_CLASSES: tuple[Kind, ...] = ("binary", "multiclass")
_VALUES: tuple[Kind, ...] = ("regression",)
METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("accuracy", "share of right classes", _CLASSES, "maximize", _accuracy),
        Metric("balanced_accuracy", "mean recall of the classes", _CLASSES, "maximize",
               _balanced_accuracy),
        Metric("f1", "F1 of the second class; mean over classes if more than two", _CLASSES,
               "maximize", _f1),
        Metric("roc_auc", "area under the ROC curve (one against the rest if multi-class)",
               _CLASSES, "maximize", _roc_auc),
        Metric("average_precision", "area under the precision-recall curve", ("binary",),
               "maximize", _average_precision),
        Metric("log_loss", "mean negative log-likelihood", _CLASSES, "minimize", _log_loss),
        Metric("rmse", "root mean squared error", _VALUES, "minimize", _rmse),
        Metric("mae", "mean absolute error", _VALUES, "minimize", _mae),
        Metric("r2", "coefficient of determination", _VALUES, "maximize", _r2),
    )
}  # fmt: skip
DEFAULT_METRICS: dict[Kind, str] = {
    "binary": "roc_auc",
    "multiclass": "accuracy",
    "regression": "rmse",
}
assert set(DEFAULT_METRICS) == set(KINDS)
assert {name for name, m in METRICS.items() if "regression" not in m.kinds} == CLASS_METRICS


def check_metric(
    metric: str | MetricFunction | None, direction: Direction | None, kind: Kind | None = None
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
    metric: str | MetricFunction | None, direction: Direction | None, kind: Kind
) -> Objective:
    """Returns the objective that a task's metric and direction name.

    Raises:
        TaskError: No such metric, one of another kind, or a function without a direction.
    """
    if metric is None:
        metric = DEFAULT_METRICS[kind]
    check_metric(metric, direction, kind)
    if isinstance(metric, str):
        return Objective(metric=metric, direction=METRICS[metric].direction)
    assert direction is not None
    return Objective(metric=name_of(metric), direction=direction, function=metric)


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
    if weights is None:
        weights = torch.ones(targets.shape[-1:], dtype=torch.float64, device=targets.device)
    value = METRICS[objective.metric].function(predictions, targets, weights).double()
    rows = predictions.isfinite()
    if objective.metric in _by_probabilities():
        rows = rows.all(-1)
    return torch.where(rows.all(-1), value, torch.nan)


def _by_probabilities() -> set[str]:
    return {name for name, m in METRICS.items() if "regression" not in m.kinds}
