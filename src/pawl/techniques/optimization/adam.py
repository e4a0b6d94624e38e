"""Adam."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Settings, number
from pawl.techniques.stages import UpdateTechnique, zeros
from pawl.techniques.values import StepContext

EPSILON = 1e-8


class AdamSettings(Settings):
    """Settings of `adam`."""

    learning_rate: float = number(1e-3, 1e-5, 0.05, "step size", log=True)
    beta1: float = number(0.9, 0.8, 0.98, "decay of the gradient's average")
    beta2: float = number(0.999, 0.95, 0.9999, "decay of the squared gradient's average")


def corrections(rate: Tensor, step: Tensor, settings: Any) -> dict[str, Tensor]:
    """Returns the step size and the second moment's scale with their bias corrections.

    Args:
        rate: Learning rates, schedule included, `[K, N]`.
        step: Steps taken, the one of each row included, `[K, N]`.
        settings: `beta1`, `beta2` `[N]`.
    """
    return {
        "size": rate / (settings.beta1**step - 1.0),
        "scale": (1.0 - settings.beta2**step).rsqrt(),
    }


def adam(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Takes one Adam step in place.

    Args:
        weights: `[N, P]`.
        gradients: `[N, P]`.
        state: `exp_avg` and `exp_avg_sq`, `[N, P]`.
        context: Not looked at: `corrections` did.
        settings: `beta1`, `beta2`, and by `corrections` `size` and `scale`, `[N]`.
    """
    first, second = state["exp_avg"], state["exp_avg_sq"]
    first.lerp_(gradients, (1.0 - settings.beta1).unsqueeze(1))
    second.lerp_(gradients * gradients, (1.0 - settings.beta2).unsqueeze(1))
    denominator = second.sqrt().mul_(settings.scale.unsqueeze(1)).add_(EPSILON)
    weights.addcmul_(first / denominator, settings.size.unsqueeze(1))


def _torch(weights: list[Tensor], settings: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(
        weights,
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=EPSILON,
    )


TECHNIQUE = UpdateTechnique(
    name="adam",
    summary="Adaptive moment estimation.",
    reference="Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015",
    apply=adam,
    settings=AdamSettings,
    memberwise=frozenset({"learning_rate", "beta1", "beta2"}),
    init=zeros("exp_avg", "exp_avg_sq"),
    coefficients=corrections,
    optimizer=_torch,
)
