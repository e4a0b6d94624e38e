"""Readings of a model and its optimizer between the steps of a loop of the user's own.

Shape legend: `P` weights.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pawl.diagnosing.record import Reading, UnitReading, WeightReading
from pawl.diagnosing.units import called_functions, unit_readings
from pawl.loops.slopes import values

_MOST_ROWS = 256
Batch = tuple[tuple[Any, ...], dict[str, Any]]
"""Arguments of a call of the model."""


class Reader:
    """Reads weights, gradients and activations.

    Args:
        model: Whose; a compiled one is read as the module that it was made of.
        optimizer: Which updates it.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.model: nn.Module = getattr(model, "_orig_mod", model)
        self._optimizer = optimizer
        self._start: dict[str, tuple[nn.Parameter, Tensor]] = {}
        self._functional: dict[str, type[nn.Module]] | None = None
        self._before: dict[str, Tensor] = {}
        self._gradient: Tensor | None = None
        self.trouble = ""
        for name, p in self._known():
            self._far(name, p)

    @property
    def parameters(self) -> int:
        """Weights that are trained."""
        return sum(p.numel() for _, p in self._known() if p.requires_grad)

    @property
    def rate(self) -> float:
        """Learning rate of the first group of weights."""
        known = self._optimizer.param_groups[0].get("lr")
        return float(known) if isinstance(known, float | int | Tensor) else math.nan

    @torch.no_grad()
    def read(self, step: int, losses: tuple[float, float], batch: Batch | None) -> Reading:
        """Returns a reading before a step, by the gradients that are there.

        Args:
            step: Steps taken.
            losses: Of training and of validation rows.
            batch: What the model was last called with.
        """
        weights, bad = [], 0
        self._before = {}
        for name, p in self._known():
            if not p.requires_grad:
                continue
            slope = None if p.grad is None else values(p.grad)
            bad += int((~p.isfinite()).sum()) + (
                0 if slope is None else int((~slope.isfinite()).sum())
            )
            self._before[name] = p.detach().clone()
            weights.append(
                WeightReading(
                    name=name,
                    axes=p.dim(),
                    norm=float(p.norm()),
                    gradient=0.0 if slope is None else float(slope.norm()),
                    moved=0.0,
                    distance=self._far(name, p),
                )
            )
        self._gradient = self._flat()
        train, valid = losses
        return Reading(
            step=step, rate=self.rate, train_loss=train, valid_loss=valid, train_score=math.nan,
            valid_score=math.nan, batch_loss=train, noise=math.nan, signal=math.nan, non_finite=bad,
            weights=tuple(weights), units=self._units(batch),
        )  # fmt: skip

    @torch.no_grad()
    def moved(self) -> list[float]:
        """Returns how far each tensor has moved since the reading, over its norm then."""
        now = dict(self.model.named_parameters())
        found = [_over(now[name] - old, old) for name, old in self._before.items()]
        self._before = {}
        return found

    @torch.no_grad()
    def noise(self, rows: int) -> tuple[float, float]:
        """Returns trace of the covariance of rows' gradients and squared norm of the expected one.

        By the gradients of two batches one step apart, `g` and `h`: half the squared norm of their
        difference times the rows of a batch, and their product. Both are unbiased as far as a step does
        not change the gradient, and may be below 0 by chance.
        """
        first, second = self._gradient, self._flat()
        self._gradient = None
        if first is None or second is None or first.shape != second.shape or not rows:
            return math.nan, math.nan
        return rows * float((first - second).square().sum()) / 2, float(first @ second)

    def _known(self) -> list[tuple[str, nn.Parameter]]:
        """Returns the parameters whose size is known: a lazy layer's is at its first call."""
        return [(n, p) for n, p in self.model.named_parameters() if not is_lazy(p)]

    def _far(self, name: str, p: nn.Parameter) -> float:
        """Returns how far a parameter is from where it was first seen, over its norm there.

        NaN of one that is new, such as in the place of another.
        """
        known, start = self._start.get(name, (None, p))
        if known is not p:
            self._start[name] = p, p.detach().clone()
            return math.nan
        start = start.to(p)
        return _over(p - start, start)

    def _flat(self) -> Tensor | None:
        slopes = [p.grad for p in self.model.parameters() if p.requires_grad]
        if any(slope is None or slope.is_sparse for slope in slopes) or not slopes:
            return None
        return torch.cat(
            [values(slope).flatten().double() for slope in slopes if slope is not None]
        )

    def _units(self, batch: Batch | None) -> tuple[UnitReading, ...]:
        """Returns what activations return; nothing of a model that cannot be copied or traced."""
        if batch is None or self.trouble:
            return ()
        args, options = _fewer(batch)
        try:
            run = lambda module: module(*args, **options)  # noqa: E731
            if self._functional is None:
                self._functional = called_functions(self.model, run)
            return unit_readings(self.model, self._functional, run)
        except Exception as error:  # somebody else's model
            self.trouble = f"{type(error).__name__}: {error}"
            return ()


def rows_of(batch: Batch | None) -> int:
    """Returns the rows of a batch: the length of its first tensor; 0 without one."""
    given = [] if batch is None else [*batch[0], *batch[1].values()]
    return next((len(x) for x in given if isinstance(x, Tensor) and x.dim()), 0)


def _fewer(batch: Batch) -> Batch:
    """Returns the first rows of a batch, of all tensors that have as many."""
    rows = rows_of(batch)

    def cut(x: Any) -> Any:
        if isinstance(x, Tensor):
            x = x.detach()
            return x[:_MOST_ROWS] if x.dim() and len(x) == rows else x
        return x

    args, options = batch
    return tuple(map(cut, args)), {name: cut(x) for name, x in options.items()}


def _over(change: Tensor, size: Tensor) -> float:
    return float(change.norm()) / max(float(size.norm()), 1e-12)


__all__ = ["Batch", "Reader", "rows_of"]
