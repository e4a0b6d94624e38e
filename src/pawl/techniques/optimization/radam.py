"""Rectified Adam, with decoupled weight decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.optimization.adam import EPSILON
from pawl.techniques.optimization.adamw import AdamwSettings
from pawl.techniques.record import number
from pawl.techniques.stages import UpdateTechnique, zeros
from pawl.techniques.values import StepContext


class RadamSettings(AdamwSettings):
    """Settings of `radam`."""

    learning_rate: float = number(3e-3, 1e-5, 0.05, "step size", log=True)


def coefficients(rate: Tensor, step: Tensor, settings: Any) -> dict[str, Tensor]:
    """Returns what the first moment is multiplied by, as it is and over the second's root, `[K, N]`.

    Which of the two is not 0 depends on how many gradients the second moment has seen, a difference of
    nearly equal numbers at first, hence float64.
    """
    beta1, beta2 = settings.beta1.double(), settings.beta2.double()
    rate, step = rate.double(), step.double()
    size, left = rate / (1.0 - beta1**step), 1.0 - beta2**step
    most = 2.0 / (1.0 - beta2) - 1.0
    length = most - 2.0 * step * (1.0 - left) / left
    known = length > 5.0
    safe = length.clamp_min(5.0)
    rectified = (safe - 4.0) * (safe - 2.0) * most / ((most - 4.0) * (most - 2.0) * safe)
    nothing = torch.zeros_like(size)
    return {
        "plain": torch.where(known, nothing, size).float(),
        "scaled": torch.where(known, size * (rectified * left).sqrt(), nothing).float(),
    }


def radam(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Takes a step of Adam that is shorter while the second moment is uncertain, in place.

    In the first few steps, of which the second moment says nothing, the step is that of momentum.

    Args:
        weights: `[N, P]`; first shrunk by `rate * weight_decay`.
        gradients: `[N, P]`.
        state: `exp_avg` and `exp_avg_sq`, `[N, P]`.
        context: The rate.
        settings: Adam's, `weight_decay`, and what `coefficients` returned, `[N]`.
    """
    first, second = state["exp_avg"], state["exp_avg_sq"]
    weights.mul_((1.0 - context.rate * settings.weight_decay).unsqueeze(1))
    first.lerp_(gradients, (1.0 - settings.beta1).unsqueeze(1))
    second.lerp_(gradients * gradients, (1.0 - settings.beta2).unsqueeze(1))
    scale = settings.scaled.unsqueeze(1) / second.sqrt().add_(EPSILON)
    weights.sub_(first * (scale + settings.plain.unsqueeze(1)))


def _torch(weights: list[Tensor], settings: Any) -> torch.optim.Optimizer:
    return torch.optim.RAdam(
        weights,
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=EPSILON,
        weight_decay=settings.weight_decay,
        decoupled_weight_decay=True,
    )


TECHNIQUE = UpdateTechnique(
    name="radam",
    summary="AdamW that goes carefully until it knows the size of gradients.",
    reference="Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, ICLR 2020",
    apply=radam,
    settings=RadamSettings,
    memberwise=frozenset({"learning_rate", "beta1", "beta2", "weight_decay"}),
    conflicts=frozenset({"weight_decay"}),
    init=zeros("exp_avg", "exp_avg_sq"),
    coefficients=coefficients,
    optimizer=_torch,
)
