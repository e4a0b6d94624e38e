"""Gradients of zero mean."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.record import Phase
from pawl.techniques.stages import GradientTechnique
from pawl.techniques.values import GradientContext


def gradient_centralization(
    gradients: Tensor, weights: Tensor, context: GradientContext, settings: Any
) -> Tensor:
    """Takes from each matrix's gradient the mean over its inputs; `[N, P]` to `[N, P]`."""
    layout = context.layout
    pieces = layout.views(gradients)
    centered = {
        name: g - g.mean(dim=tuple(range(2, g.dim())), keepdim=True) if g.dim() > 2 else g
        for name, g in pieces.items()
    }
    return layout.flat(centered, len(gradients))


TECHNIQUE = GradientTechnique(
    name="gradient_centralization",
    summary="Take the mean out of each gradient.",
    reference="Yong et al., Gradient Centralization, 2020",
    apply=gradient_centralization,
    phase=Phase.TERM,
)
