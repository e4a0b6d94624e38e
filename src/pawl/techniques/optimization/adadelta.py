"""Adadelta."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Settings, number
from pawl.techniques.stages import UpdateTechnique, zeros
from pawl.techniques.values import StepContext

_EPSILON = 1e-6


class AdadeltaSettings(Settings):
    """Settings of `adadelta`."""

    learning_rate: float = number(1.0, 0.01, 10.0, "what steps are multiplied by", log=True)
    smoothing: float = number(0.9, 0.8, 0.99, "decay of both running squares")


def adadelta(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Scales the gradient by the running size of past steps over that of past gradients, in place.

    `d = sqrt(E[d^2] + eps) / sqrt(E[g^2] + eps) g; w -= rate d`; tensors `[N, P]`, the rest `[N]`. The
    paper has no learning rate (1).
    """
    square, steps = state["square_avg"], state["acc_delta"]
    share = (1.0 - settings.smoothing).unsqueeze(1)
    square.lerp_(gradients * gradients, share)
    delta = ((steps + _EPSILON) / (square + _EPSILON)).sqrt_().mul_(gradients)
    steps.lerp_(delta * delta, share)
    weights.addcmul_(delta, context.rate.unsqueeze(1), value=-1.0)


def _torch(weights: list[Tensor], settings: Any) -> torch.optim.Optimizer:
    return torch.optim.Adadelta(
        weights, lr=settings.learning_rate, rho=settings.smoothing, eps=_EPSILON
    )


TECHNIQUE = UpdateTechnique(
    name="adadelta",
    summary="Gradient descent with steps as large as those before, relative to the gradients.",
    reference="Zeiler, ADADELTA: An Adaptive Learning Rate Method, 2012",
    apply=adadelta,
    settings=AdadeltaSettings,
    memberwise=frozenset({"learning_rate", "smoothing"}),
    init=zeros("square_avg", "acc_delta"),
    optimizer=_torch,
)
