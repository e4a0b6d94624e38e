"""LAMB: Adam with a step size for each layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.optimization.adam import AdamSettings
from pawl.techniques.record import number
from pawl.techniques.stages import UpdateTechnique, zeros
from pawl.techniques.tensors import is_matrix, norms, of_matrices
from pawl.techniques.values import StepContext

_EPSILON = 1e-6
_LARGEST_RATIO = 10.0


class LambSettings(AdamSettings):
    """Settings of `lamb`."""

    learning_rate: float = number(5e-3, 1e-4, 0.03, "a matrix's step over its size", log=True)
    weight_decay: float = number(0.01, 1e-4, 1.0, "decay, as a part of the step", log=True)


def coefficients(rate: Tensor, step: Tensor, settings: Any) -> dict[str, Tensor]:
    """Returns what the two moments are multiplied by against their bias, `[K, N]`."""
    return {
        "first": 1.0 / (1.0 - settings.beta1**step),
        "second": 1.0 / (1.0 - settings.beta2**step),
    }


def lamb(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Scales each matrix's step of AdamW to the matrix's own size, in place.

    `u = m / (sqrt(v) + eps) + decay w; w -= rate r u`, where `r = |w| / |u|` for each matrix, at most
    10 (the paper leaves the limits open). Vectors (biases, scales) have `r` = 1 and no decay.

    Args:
        weights: `[N, P]`.
        gradients: `[N, P]`.
        state: `exp_avg` and `exp_avg_sq`, `[N, P]`.
        context: Rate and layout.
        settings: Adam's, `weight_decay`, and what `coefficients` returned, `[N]`.
    """
    layout, average, square = context.layout, state["exp_avg"], state["exp_avg_sq"]
    average.lerp_(gradients, (1.0 - settings.beta1).unsqueeze(1))
    square.lerp_(gradients * gradients, (1.0 - settings.beta2).unsqueeze(1))
    step = settings.first.unsqueeze(1) * average
    step = step / (square * settings.second.unsqueeze(1)).sqrt_().add_(_EPSILON)
    decay = settings.weight_decay.unsqueeze(1) * layout.mask(is_matrix, weights.device)
    step = step + decay * weights
    size, length = norms(layout, weights), norms(layout, step)
    ratio = (size / length.clamp_min(1e-12)).clamp_max(_LARGEST_RATIO)
    ratio = torch.where((size > 0) & (length > 0), ratio, 1.0)
    scale = context.rate.unsqueeze(1) * layout.spread(of_matrices(layout, ratio, 1.0))
    weights.sub_(scale * step)


TECHNIQUE = UpdateTechnique(
    name="lamb",
    summary="AdamW with steps in proportion to the size of each layer.",
    reference="You et al., Large Batch Optimization for Deep Learning, ICLR 2020",
    apply=lamb,
    settings=LambSettings,
    memberwise=frozenset({"learning_rate", "beta1", "beta2", "weight_decay"}),
    conflicts=frozenset({"weight_decay"}),
    init=zeros("exp_avg", "exp_avg_sq"),
    coefficients=coefficients,
)
