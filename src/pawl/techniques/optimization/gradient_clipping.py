"""Gradient clipping by norm, per member."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import GradientTechnique
from pawl.techniques.values import GradientContext


class GradientClippingSettings(Settings):
    """Settings of `gradient_clipping`."""

    norm: float = number(1.0, 0.05, 20.0, "largest Euclidean norm of a gradient", log=True)


def gradient_clipping(
    gradients: Tensor, weights: Tensor, context: GradientContext, settings: Any
) -> Tensor:
    """Scales each member's gradient down to the given norm, as `clip_grad_norm_` does for one.

    Args:
        gradients: `[N, P]`.
        weights: `[N, P]`, not looked at.
        context: Not looked at.
        settings: `norm` `[N]`.
    """
    norm = torch.linalg.vector_norm(gradients, dim=1)
    factor: Tensor = (settings.norm / (norm + 1e-6)).clamp_max(1.0)
    return gradients * factor.unsqueeze(1)


TECHNIQUE = GradientTechnique(
    name="gradient_clipping",
    summary="Limit the norm of each gradient.",
    reference="Pascanu, Mikolov and Bengio, On the difficulty of training RNNs, 2013",
    apply=gradient_clipping,
    phase=Phase.LIMIT,
    settings=GradientClippingSettings,
    memberwise=frozenset({"norm"}),
)
