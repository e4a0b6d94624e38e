"""The arithmetic of metrics: over many models at once, with weights per row, differentiable in them.

Shape legend: `...` leading axes (members), `R` rows, `C` classes, `T` targets. Predictions `p` are
probabilities `[..., R, C]` or values `[..., R]`, targets `t` `[..., R]`, weights `w` `[..., R]`; of all
labels at once `p` and `t` are `[..., R, T]`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def mean(x: Tensor, weights: Tensor) -> Tensor:
    """Returns the weighted mean over the rows."""
    return (x * weights).sum(-1) / weights.sum(-1)


def accuracy(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Returns the share of rows whose most probable class is right."""
    return mean((p.argmax(-1) == t).to(w.dtype), w)


def confusion(p: Tensor, t: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the weights of what is right, is predicted and is there, each `[..., C]`."""
    predicted = p.argmax(-1)
    shape = torch.broadcast_shapes(predicted.shape, t.shape, w.shape)  # type: ignore[no-untyped-call]
    predicted, t, w = predicted.expand(shape), t.expand(shape), w.expand(shape)
    none = w.new_zeros(*shape[:-1], p.shape[-1])
    return (
        none.scatter_add(-1, t, w * (predicted == t)),
        none.scatter_add(-1, predicted, w),
        none.scatter_add(-1, t, w),
    )


def balanced_accuracy(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Returns the mean over the classes that are there of the share of their rows that is found."""
    hit, _, actual = confusion(p, t, w)
    present = actual > 0
    recall = torch.where(present, hit / actual.clamp_min(1e-12), 0.0)
    return recall.sum(-1) / present.sum(-1)


def f1(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Returns `2 hit / (predicted + actual)` of the second of two classes; of more their mean."""
    hit, predicted, actual = confusion(p, t, w)
    total = predicted + actual
    f1 = torch.where(total > 0, 2 * hit / total.clamp_min(1e-12), 0.0)
    if p.shape[-1] == 2:
        return f1[..., 1]
    return f1.sum(-1) / (total > 0).sum(-1)


def log_loss(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Returns the mean of `-log p` of the right class, `p` being at least float32's epsilon."""
    p = p.clamp(torch.finfo(torch.float32).eps, 1.0)
    p = p / p.sum(-1, keepdim=True)
    chosen = p.gather(-1, t.expand(p.shape[:-1]).unsqueeze(-1)).squeeze(-1)
    return mean(-chosen.log(), w)


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


def binary_auc(score: Tensor, positive: Tensor, w: Tensor) -> Tensor:
    """Returns how often a positive row has a larger score than a negative one, ties counting half."""
    up, up_before, out, out_before = _curve(score, positive, w)
    area = ((out - out_before) * (up + up_before)).sum(-1) / 2
    total = up[..., -1] * out[..., -1]
    return torch.where(total > 0, area / total.clamp_min(1e-12), torch.nan)


def roc_auc(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Returns the area under the ROC curve; of several classes the mean of each against the rest."""
    w = w.double()
    if p.shape[-1] == 2:
        return binary_auc(p[..., 1], t == 1, w)
    each = [binary_auc(p[..., c], t == c, w) for c in range(p.shape[-1])]
    return torch.stack(each, -1).nanmean(-1)


def average_precision(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Returns the sum over thresholds of precision times the step in recall."""
    up, up_before, out, _ = _curve(p[..., 1], t == 1, w.double())
    precision = up / (up + out).clamp_min(1e-12)
    total = up[..., -1]
    return torch.where(
        total > 0, ((up - up_before) * precision).sum(-1) / total.clamp_min(1e-12), torch.nan
    )


def rmse(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Returns the root of the mean squared error."""
    return mean((p.double() - t.double()) ** 2, w.double()).sqrt()


def mae(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Returns the mean absolute error."""
    return mean((p.double() - t.double()).abs(), w.double())


def r2(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Returns `1 - mean squared error / variance`."""
    t, w = t.double(), w.double()
    spread = mean((t - mean(t, w).unsqueeze(-1)) ** 2, w)
    error = mean((p - t) ** 2, w)
    # As scikit-learn: constant targets give 1 if they are met exactly, else 0.
    constant = (error == 0).to(error.dtype)
    return torch.where(spread > 0, 1.0 - error / torch.where(spread > 0, spread, 1.0), constant)


def perplexity(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Returns `exp(log loss)`: among how many equally likely classes a model is left to choose."""
    return log_loss(p, t, w).exp()


def mean_iou(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Returns `hit / (predicted + actual - hit)`, the mean over classes that are predicted or there."""
    hit, predicted, actual = confusion(p, t, w)
    union = predicted + actual - hit
    shares = torch.where(union > 0, hit / union.clamp_min(1e-12), 0.0)
    return shares.sum(-1) / (union > 0).sum(-1)


def f1_micro(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Returns `2 hit / (predicted + actual)` over all labels of all rows, `[..., R, T]`."""
    predicted, actual, w = (p > 0.5).to(w.dtype), t.to(w.dtype), w.unsqueeze(-1)
    hit = (predicted * actual * w).sum((-1, -2))
    total = ((predicted + actual) * w).sum((-1, -2))
    return torch.where(total > 0, 2 * hit / total.clamp_min(1e-12), 0.0)


def exact_match(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Returns the share of rows whose labels `[..., R, T]` are all right."""
    return mean(((p > 0.5) == (t == 1)).all(-1).to(w.dtype), w)
