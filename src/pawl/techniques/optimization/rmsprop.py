"""RMSprop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Settings, number
from pawl.techniques.stages import UpdateTechnique, zeros
from pawl.techniques.values import StepContext


class RmspropSettings(Settings):
    """Settings of `rmsprop`."""

    learning_rate: float = number(1e-3, 1e-5, 0.05, "step size", log=True)
    smoothing: float = number(0.99, 0.9, 0.999, "decay of the squared gradient's average")


def rmsprop(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Divides the gradient by the root of its running square; in place, tensors `[N, P]`."""
    square = state["square_avg"]
    square.lerp_(gradients * gradients, (1.0 - settings.smoothing).unsqueeze(1))
    weights.addcmul_(gradients / square.sqrt().add_(1e-8), context.rate.unsqueeze(1), value=-1.0)


def _torch(weights: list[Tensor], settings: Any) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(weights, lr=settings.learning_rate, alpha=settings.smoothing)


TECHNIQUE = UpdateTechnique(
    name="rmsprop",
    summary="Gradient descent scaled by a running root mean square of the gradient.",
    reference="Tieleman and Hinton, Lecture 6.5 - RMSProp, Coursera, 2012",
    apply=rmsprop,
    settings=RmspropSettings,
    memberwise=frozenset({"learning_rate", "smoothing"}),
    init=zeros("square_avg"),
    optimizer=_torch,
)
