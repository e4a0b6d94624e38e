"""Adam."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Settings, Stage, Technique, number

EPSILON = 1e-8


class AdamSettings(Settings):
    """Settings of `adam`."""

    learning_rate: float = number(1e-3, 1e-5, 0.05, "step size", log=True)
    beta1: float = number(0.9, 0.8, 0.98, "decay of the gradient's average")
    beta2: float = number(0.999, 0.95, 0.9999, "decay of the squared gradient's average")


def adam(
    weights: Tensor,
    gradients: Tensor,
    slots: dict[str, Tensor],
    rate: Tensor,
    step: Tensor,
    settings: Any,
) -> None:
    """Takes one Adam step in place.

    Args:
        weights: `[N, P]`.
        gradients: `[N, P]`.
        slots: `exp_avg` and `exp_avg_sq`, `[N, P]`.
        rate: Learning rates, schedule included, `[N]`.
        step: Steps taken, this one included, `[N]`.
        settings: `beta1`, `beta2` `[N]`.
    """
    first, second = slots["exp_avg"], slots["exp_avg_sq"]
    first.lerp_(gradients, (1.0 - settings.beta1).unsqueeze(1))
    second.lerp_(gradients * gradients, (1.0 - settings.beta2).unsqueeze(1))
    size = rate / (1.0 - settings.beta1**step)
    root = (1.0 - settings.beta2**step).sqrt()
    denominator = second.sqrt().div_(root.unsqueeze(1)).add_(EPSILON)
    weights.addcmul_(first / denominator, size.unsqueeze(1), value=-1.0)


TECHNIQUE = Technique(
    name="adam",
    stage=Stage.UPDATE,
    summary="Adaptive moment estimation.",
    reference="Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015",
    apply=adam,
    settings=AdamSettings,
    group="optimizer",
    memberwise=frozenset({"learning_rate", "beta1", "beta2"}),
    writes=frozenset({"weights"}),
    slots=("exp_avg", "exp_avg_sq"),
    reference_optimizer=lambda weights, s: torch.optim.Adam(
        weights, lr=s.learning_rate, betas=(s.beta1, s.beta2), eps=EPSILON
    ),
)
