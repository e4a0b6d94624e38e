"""Sharpness-aware minimization."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import GradientTechnique
from pawl.techniques.values import GradientContext


class SharpnessAwareSettings(Settings):
    """Settings of `sharpness_aware`."""

    radius: float = number(0.05, 0.005, 0.5, "how far the worst weights near by may be", log=True)


def sharpness_aware(
    gradients: Tensor, weights: Tensor, context: GradientContext, settings: Any
) -> Tensor:
    """Returns the gradients of the same batch at `w + radius g / |g|`, where the loss is about worst.

    A step takes twice as long. Dropout draws the same at both places, and batch normalization keeps the
    statistics of the first alone, as the paper's code does.

    Args:
        gradients: `[N, P]`.
        weights: `[N, P]`.
        context: Has the gradients elsewhere.
        settings: `radius` `[N]`.
    """
    norm = torch.linalg.vector_norm(gradients, dim=1).clamp_min(1e-12)
    return context.gradients_at(weights + (settings.radius / norm).unsqueeze(1) * gradients)


TECHNIQUE = GradientTechnique(
    name="sharpness_aware",
    summary="Go by the gradient at the worst weights near by (SAM).",
    reference="Foret et al., Sharpness-Aware Minimization for Efficiently Improving Generalization, "
    "ICLR 2021",
    apply=sharpness_aware,
    phase=Phase.INSTEAD,
    settings=SharpnessAwareSettings,
    memberwise=frozenset({"radius"}),
)
