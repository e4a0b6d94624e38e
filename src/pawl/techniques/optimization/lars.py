"""LARS: momentum with a step size for each layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Settings, number
from pawl.techniques.stages import UpdateTechnique, zeros
from pawl.techniques.tensors import is_matrix, norms, of_matrices
from pawl.techniques.values import StepContext


class LarsSettings(Settings):
    """Settings of `lars`."""

    learning_rate: float = number(0.1, 3e-3, 1.0, "step size", log=True)
    momentum: float = number(0.9, 0.5, 0.99, "share of the last step that is kept")
    trust: float = number(
        0.03, 1e-3, 0.2, "a matrix's step over its size, at a learning rate of 1", log=True
    )
    weight_decay: float = number(1e-4, 1e-6, 0.01, "decay per unit of weight", log=True)


def lars(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Scales each matrix's gradient to `trust` times the matrix's size; then momentum, in place.

    `b = m b + rate r (g + decay w); w -= b` with `r = trust |w| / (|g| + decay |w|)` for each matrix.
    Vectors (biases, scales) have `r` = 1 and no decay, as is usual; the paper scales them, too.

    Args:
        weights: `[N, P]`.
        gradients: `[N, P]`.
        state: `momentum_buffer`, `[N, P]`.
        context: Rate and layout.
        settings: `momentum`, `trust`, `weight_decay`, `[N]`.
    """
    layout, buffer = context.layout, state["momentum_buffer"]
    decay = settings.weight_decay.unsqueeze(1)
    size, slope = norms(layout, weights), norms(layout, gradients)
    ratio = settings.trust.unsqueeze(1) * size / (slope + decay * size).clamp_min(1e-12)
    ratio = torch.where((size > 0) & (slope > 0), ratio, 1.0)
    decayed = gradients + decay * layout.mask(is_matrix, weights.device) * weights
    scale = context.rate.unsqueeze(1) * layout.spread(of_matrices(layout, ratio, 1.0))
    buffer.mul_(settings.momentum.unsqueeze(1)).add_(scale * decayed)
    weights.sub_(buffer)


TECHNIQUE = UpdateTechnique(
    name="lars",
    summary="Momentum with steps in proportion to the size of each layer.",
    reference="You, Gitman and Ginsburg, Large Batch Training of Convolutional Networks, 2017",
    apply=lars,
    settings=LarsSettings,
    memberwise=frozenset({"learning_rate", "momentum", "trust", "weight_decay"}),
    conflicts=frozenset({"weight_decay"}),
    init=zeros("momentum_buffer"),
)
