"""Adaptive gradient clipping: the gradient of each unit goes by the unit's size."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import GradientTechnique
from pawl.techniques.tensors import unit_norms
from pawl.techniques.values import GradientContext

_LEAST_WEIGHT, _LEAST_GRADIENT = 1e-3, 1e-6


class AdaptiveClippingSettings(Settings):
    """Settings of `adaptive_clipping`."""

    ratio: float = number(
        0.02, 1e-3, 1.0, "largest norm of a unit's gradient over that of its weights", log=True
    )


def adaptive_clipping(
    gradients: Tensor, weights: Tensor, context: GradientContext, settings: Any
) -> Tensor:
    """Scales each unit's gradient down to `ratio` times the norm of its weights (at least 0.001).

    A unit is a row of a matrix or one filter of a convolution; a vector counts as one. The authors leave
    out the last layer, which is not known here.

    Args:
        gradients: `[N, P]`.
        weights: `[N, P]`.
        context: The layout.
        settings: `ratio` `[N]`.
    """
    largest = settings.ratio.unsqueeze(1) * unit_norms(context.layout, weights).clamp_min(
        _LEAST_WEIGHT
    )
    found = unit_norms(context.layout, gradients).clamp_min(_LEAST_GRADIENT)
    factor: Tensor = (largest / found).clamp_max(1.0)
    return gradients * factor


TECHNIQUE = GradientTechnique(
    name="adaptive_clipping",
    summary="Limit the norm of each unit's gradient by that of its weights.",
    reference="Brock et al., High-Performance Large-Scale Image Recognition Without Normalization, "
    "ICML 2021",
    apply=adaptive_clipping,
    phase=Phase.LIMIT,
    settings=AdaptiveClippingSettings,
    memberwise=frozenset({"ratio"}),
)
