"""Adam with decoupled weight decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.optimization.adam import EPSILON, AdamSettings, adam, corrections
from pawl.techniques.record import Stage, Technique, number


class AdamwSettings(AdamSettings):
    """Settings of `adamw`."""

    weight_decay: float = number(0.01, 1e-4, 1.0, "decay per step and learning rate", log=True)


def adamw(
    weights: Tensor,
    gradients: Tensor,
    slots: dict[str, Tensor],
    rate: Tensor,
    step: Tensor,
    settings: Any,
) -> None:
    """Shrinks the weights by `rate * weight_decay`, then takes an Adam step, in place.

    Shapes as in `adam`; `weight_decay` is `[N]`.
    """
    weights.mul_((1.0 - rate * settings.weight_decay).unsqueeze(1))
    adam(weights, gradients, slots, rate, step, settings)


TECHNIQUE = Technique(
    name="adamw",
    stage=Stage.UPDATE,
    summary="Adam with decoupled weight decay.",
    reference="Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019",
    apply=adamw,
    settings=AdamwSettings,
    group="optimizer",
    memberwise=frozenset({"learning_rate", "beta1", "beta2", "weight_decay"}),
    writes=frozenset({"weights"}),
    slots=("exp_avg", "exp_avg_sq"),
    coefficients=corrections,
    reference_optimizer=lambda weights, s: torch.optim.AdamW(
        weights,
        lr=s.learning_rate,
        betas=(s.beta1, s.beta2),
        eps=EPSILON,
        weight_decay=s.weight_decay,
    ),
)
