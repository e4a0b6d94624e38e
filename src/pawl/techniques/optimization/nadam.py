"""Adam with Nesterov momentum and decoupled weight decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.models.layout import Layout
from pawl.techniques.optimization.adam import EPSILON
from pawl.techniques.optimization.adamw import AdamwSettings
from pawl.techniques.stages import UpdateTechnique, zeros
from pawl.techniques.values import StepContext

_MOMENTUM_DECAY = 4e-3


def _init(weights: Tensor, layout: Layout) -> dict[str, Tensor]:
    moments = zeros("exp_avg", "exp_avg_sq")(weights, layout)
    return {**moments, "mu_product": weights.new_ones(len(weights))}


def coefficients(rate: Tensor, step: Tensor, settings: Any) -> dict[str, Tensor]:
    """Returns the momenta of this step and the next, and the second moment's scale, `[K, N]`."""
    return {
        "now": _momentum(step, settings.beta1),
        "then": _momentum(step + 1.0, settings.beta1),
        "scale": (1.0 - settings.beta2**step).rsqrt(),
    }


def _momentum(step: Tensor, beta: Tensor) -> Tensor:
    # 0.96 is the paper's; it lets the momentum rise from half its value.
    momentum: Tensor = beta * (1.0 - 0.5 * 0.96 ** (step * _MOMENTUM_DECAY))
    return momentum


def nadam(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Takes a step of Adam with the gradient's average as it will be in the next step, in place.

    `w -= rate ((1 - m_t) / (1 - prod_t) g + m_t+1 / (1 - prod_t+1) m) / sqrt(v)` with momenta `m_t` that
    rise to `beta1` over some thousand steps, and `prod_t` their product so far.

    Args:
        weights: `[N, P]`; first shrunk by `rate * weight_decay`.
        gradients: `[N, P]`.
        state: `exp_avg` and `exp_avg_sq`, `[N, P]`, and `mu_product`, `[N]`.
        context: The rate.
        settings: Adam's, `weight_decay`, and what `coefficients` returned, `[N]`.
    """
    rate, product = context.rate, state["mu_product"]
    first, second = state["exp_avg"], state["exp_avg_sq"]
    weights.mul_((1.0 - rate * settings.weight_decay).unsqueeze(1))
    product.mul_(settings.now)
    first.lerp_(gradients, (1.0 - settings.beta1).unsqueeze(1))
    second.lerp_(gradients * gradients, (1.0 - settings.beta2).unsqueeze(1))
    of_gradient = rate * (1.0 - settings.now) / (1.0 - product)
    of_average = rate * settings.then / (1.0 - product * settings.then)
    step = of_gradient.unsqueeze(1) * gradients + of_average.unsqueeze(1) * first
    weights.sub_(step / second.sqrt().mul_(settings.scale.unsqueeze(1)).add_(EPSILON))


def _torch(weights: list[Tensor], settings: Any) -> torch.optim.Optimizer:
    return torch.optim.NAdam(
        weights,
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=EPSILON,
        weight_decay=settings.weight_decay,
        momentum_decay=_MOMENTUM_DECAY,
        decoupled_weight_decay=True,
    )


TECHNIQUE = UpdateTechnique(
    name="nadam",
    summary="AdamW with Nesterov momentum.",
    reference="Dozat, Incorporating Nesterov Momentum into Adam, ICLR Workshop 2016",
    apply=nadam,
    settings=AdamwSettings,
    memberwise=frozenset({"learning_rate", "beta1", "beta2", "weight_decay"}),
    conflicts=frozenset({"weight_decay"}),
    init=_init,
    coefficients=coefficients,
    optimizer=_torch,
)
