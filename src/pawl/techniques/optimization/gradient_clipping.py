"""Gradient clipping by norm, per member."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Settings, Stage, Technique, number


class GradientClippingSettings(Settings):
    """Settings of `gradient_clipping`."""

    norm: float = number(1.0, 0.05, 20.0, "largest Euclidean norm of a gradient", log=True)


def gradient_clipping(gradients: Tensor, weights: Tensor, settings: Any) -> Tensor:
    """Scales each member's gradient down to the given norm, as `clip_grad_norm_` does for one.

    Args:
        gradients: `[N, P]`.
        weights: `[N, P]`, not used.
        settings: `norm` `[N]`.
    """
    norm = torch.linalg.vector_norm(gradients, dim=1)
    factor: Tensor = (settings.norm / (norm + 1e-6)).clamp_max(1.0)
    return gradients * factor.unsqueeze(1)


TECHNIQUE = Technique(
    name="gradient_clipping",
    stage=Stage.GRADIENT,
    summary="Limit the norm of each gradient.",
    reference="Pascanu, Mikolov and Bengio, On the difficulty of training RNNs, 2013",
    apply=gradient_clipping,
    settings=GradientClippingSettings,
    memberwise=frozenset({"norm"}),
    writes=frozenset({"gradients"}),
)
