"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Settings, number
from pawl.techniques.stages import UpdateTechnique
from pawl.techniques.values import StepContext


class SgdSettings(Settings):
    """Settings of `sgd`."""

    learning_rate: float = number(0.05, 1e-3, 1.0, "step size", log=True)


def sgd(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Computes `w -= rate * g` in place; tensors `[N, P]`, the rate `[N]`."""
    weights.addcmul_(gradients, context.rate.unsqueeze(1), value=-1.0)


def _torch(weights: list[Tensor], settings: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(weights, lr=settings.learning_rate)


TECHNIQUE = UpdateTechnique(
    name="sgd",
    summary="Plain stochastic gradient descent.",
    reference="Robbins and Monro, A Stochastic Approximation Method, 1951",
    apply=sgd,
    settings=SgdSettings,
    memberwise=frozenset({"learning_rate"}),
    optimizer=_torch,
)
