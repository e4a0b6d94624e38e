"""Gradient descent with classical momentum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.optimization.momentum import MomentumSettings
from pawl.techniques.stages import UpdateTechnique, zeros
from pawl.techniques.values import StepContext


def heavy_ball(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Computes `b = m b + g; w -= rate b` in place; tensors `[N, P]`, the rest `[N]`.

    `momentum` looks ahead besides (Nesterov).
    """
    buffer = state["momentum_buffer"]
    buffer.mul_(settings.momentum.unsqueeze(1)).add_(gradients)
    weights.addcmul_(buffer, context.rate.unsqueeze(1), value=-1.0)


def _torch(weights: list[Tensor], settings: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(weights, lr=settings.learning_rate, momentum=settings.momentum)


TECHNIQUE = UpdateTechnique(
    name="heavy_ball",
    summary="Gradient descent with classical momentum.",
    reference="Polyak, Some Methods of Speeding up the Convergence of Iteration Methods, 1964",
    apply=heavy_ball,
    settings=MomentumSettings,
    memberwise=frozenset({"learning_rate", "momentum"}),
    init=zeros("momentum_buffer"),
    optimizer=_torch,
)
