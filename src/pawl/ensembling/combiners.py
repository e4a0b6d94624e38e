"""How models become one: by the weights of their predictions, chosen on rows that none trained on.

Shape legend: `M` models, `F` passes over the folds, `R` rows, `P` the shape of a row's prediction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]
"""Of predictions `[..., F, R, *P]`, larger is better, `[...]`; NaN where there is none."""
Loss = Callable[[Tensor], Tensor]
"""Of predictions `[F, R, *P]`, smaller is better, `[]`; it has gradients, and is convex in them."""

_ROUNDS = 25
_STEPS, _RATE, _NOTHING = 400, 1.0, 1e-3
_DIGITS = 6
"""Scores that agree in so many digits are equal: what is in already stays."""


class Combiner(Protocol):
    """Chooses weights."""

    def __call__(self, predictions: Tensor, score: Score, loss: Loss, most: int, /) -> Tensor:
        """Returns weights `[M]`, none below 0, summing to one.

        Args:
            predictions: `[M, F, R, *P]`, the best model first.
            score: What is to become large.
            loss: What the kind of task is trained by, for those that need gradients.
            most: Most models with a weight.
        """


def greedy(predictions: Tensor, score: Score, loss: Loss, most: int) -> Tensor:
    """Adds models one at a time, each as often as it helps; the best prefix of the series counts.

    Caruana et al., Ensemble Selection from Libraries of Models, ICML 2004: from nothing, with
    replacement, on the metric itself. Among equal scores a model that is in already is taken, then the
    one that comes first; of equal prefixes the shortest.

    Example:
        >>> import torch
        >>> truth = torch.tensor([0.0, 1.0, 2.0, 3.0])
        >>> errors = torch.tensor([[0.4, -0.4, 0.4, -0.4], [-0.5, 0.5, -0.5, 0.5], [2.0, 2.0, 2.0, 2.0]])
        >>> score = lambda p: -((p - truth) ** 2).mean((-1, -2))
        >>> greedy((truth + errors).unsqueeze(1), score, lambda p: -score(p), most=3)
        tensor([0.5556, 0.4444, 0.0000])
    """
    del loss
    count = len(predictions)
    times = torch.zeros(count, dtype=torch.int64)
    total = torch.zeros_like(predictions[0], dtype=torch.float64)
    series: list[tuple[float, Tensor]] = []
    for taken in range(_ROUNDS):
        allowed = times > 0 if int((times > 0).sum()) >= most else torch.ones_like(times).bool()
        scores = torch.full((count,), -torch.inf, dtype=torch.float64)
        for index in allowed.nonzero().flatten().tolist():
            scores[index] = score((total + predictions[index]) / (taken + 1))
        scores = scores.nan_to_num(nan=-torch.inf)
        best = _best(scores, times)
        if best is None:
            break
        times[best] += 1
        total = total + predictions[best]
        series.append((_rounded(float(scores[best])), times.clone()))
    if not series:
        return torch.eye(count)[0]
    top = max(value for value, _ in series)
    chosen = next(times for value, times in series if value == top)
    return chosen.float() / chosen.sum()


def mean(predictions: Tensor, score: Score, loss: Loss, most: int) -> Tensor:
    """Weighs the best models equally: as many as score best, the first ones first."""
    del loss
    found = []
    for count in range(1, min(most, len(predictions)) + 1):
        value = float(score(predictions[:count].double().mean(0)))
        found.append(_rounded(value) if math.isfinite(value) else -math.inf)
    count = 1 + max(range(len(found)), key=found.__getitem__)
    weights = torch.zeros(len(predictions))
    weights[:count] = 1.0 / count
    return weights


def linear(predictions: Tensor, score: Score, loss: Loss, most: int) -> Tensor:
    """Takes the weights with the least loss: stacking with a linear model, whose weights are shares.

    Breiman, Stacked Regressions, Machine Learning 1996: none below 0, as is best there, and here of one
    sum, by exponentiated gradients. Weights below the largest `most` are dropped, and the others found
    anew. If the metric prefers the best model alone, it gets all.
    """
    kept = torch.arange(len(predictions))
    usable = predictions.flatten(1).isfinite().all(1)
    kept = kept[usable]
    if not len(kept):
        return torch.eye(len(predictions))[0]
    best = int(kept[0])
    found = _least(predictions[kept], loss)
    if len(kept) > most:
        kept = kept[found.argsort(descending=True, stable=True)[:most].sort().values]
        found = _least(predictions[kept], loss)
    blend = score(torch.tensordot(found, predictions[kept].double(), dims=1))
    weights = torch.zeros(len(predictions))
    if bool(blend >= score(predictions[best].double())):
        weights[kept] = found.float()
    else:
        weights[best] = 1.0
    return weights / weights.sum()


def _least(predictions: Tensor, loss: Loss) -> Tensor:
    """Returns shares with nearly the least loss, `[M]` float64; those next to nothing are nothing."""
    each = predictions.double()
    logarithms = torch.zeros(len(each), dtype=torch.float64)
    scale = float(loss(each.mean(0)).abs().clamp_min(1e-12))
    best, least = logarithms.softmax(0), math.inf
    for _ in range(_STEPS):
        shares = logarithms.softmax(0).requires_grad_()
        value = loss(torch.tensordot(shares, each, dims=1))
        if float(value.detach()) < least:  # where errors cancel in the mean, steps are too long
            best, least = shares.detach(), float(value.detach())
        (gradient,) = torch.autograd.grad(value, shares)
        logarithms = logarithms - _RATE * gradient / scale
        logarithms = logarithms - logarithms.max()
    best = torch.where(best < _NOTHING, 0.0, best)
    return best / best.sum()


def _best(scores: Tensor, times: Tensor) -> int | None:
    values = [_rounded(float(value)) for value in scores]
    top = max(values)
    if top == -torch.inf:
        return None
    equal = [index for index, value in enumerate(values) if value == top]
    return max(equal, key=lambda index: (bool(times[index]), -index))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


COMBINERS: Mapping[str, Combiner] = {"greedy": greedy, "mean": mean, "linear": linear}
"""By the name that `--ensemble` takes."""
