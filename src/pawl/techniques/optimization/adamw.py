"""Adam with decoupled weight decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.optimization.adam import EPSILON, AdamSettings, adam, corrections
from pawl.techniques.record import number
from pawl.techniques.stages import UpdateTechnique, zeros
from pawl.techniques.values import StepContext


class AdamwSettings(AdamSettings):
    """Settings of `adamw`."""

    weight_decay: float = number(0.01, 1e-4, 1.0, "decay per step and learning rate", log=True)


def adamw(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Shrinks the weights by `rate * weight_decay`, then takes an Adam step, in place.

    Shapes as in `adam`; `weight_decay` is `[N]`.
    """
    weights.mul_((1.0 - context.rate * settings.weight_decay).unsqueeze(1))
    adam(weights, gradients, state, context, settings)


def _torch(weights: list[Tensor], settings: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        weights,
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=EPSILON,
        weight_decay=settings.weight_decay,
    )


TECHNIQUE = UpdateTechnique(
    name="adamw",
    summary="Adam with decoupled weight decay.",
    reference="Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019",
    apply=adamw,
    settings=AdamwSettings,
    memberwise=frozenset({"learning_rate", "beta1", "beta2", "weight_decay"}),
    init=zeros("exp_avg", "exp_avg_sq"),
    coefficients=corrections,
    optimizer=_torch,
)
