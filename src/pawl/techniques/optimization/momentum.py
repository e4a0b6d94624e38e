"""Gradient descent with Nesterov momentum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Settings, number
from pawl.techniques.stages import UpdateTechnique, zeros
from pawl.techniques.values import StepContext


class MomentumSettings(Settings):
    """Settings of `momentum`."""

    learning_rate: float = number(0.02, 1e-4, 0.5, "step size", log=True)
    momentum: float = number(0.9, 0.5, 0.99, "share of the last step that is kept")


def momentum(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Computes `b = m b + g; w -= rate (g + m b)` in place; tensors `[N, P]`, the rest `[N]`."""
    share = settings.momentum.unsqueeze(1)
    buffer = state["momentum_buffer"]
    buffer.mul_(share).add_(gradients)
    weights.addcmul_(gradients + share * buffer, context.rate.unsqueeze(1), value=-1.0)


def _torch(weights: list[Tensor], settings: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        weights, lr=settings.learning_rate, momentum=settings.momentum, nesterov=True
    )


TECHNIQUE = UpdateTechnique(
    name="momentum",
    summary="Gradient descent with Nesterov momentum.",
    reference="Sutskever et al., On the Importance of Initialization and Momentum, 2013",
    apply=momentum,
    settings=MomentumSettings,
    memberwise=frozenset({"learning_rate", "momentum"}),
    init=zeros("momentum_buffer"),
    optimizer=_torch,
)
