"""L2 weight decay, coupled."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import GradientTechnique
from pawl.techniques.values import GradientContext


class WeightDecaySettings(Settings):
    """Settings of `weight_decay`."""

    strength: float = number(1e-4, 1e-6, 1e-2, "decay per unit of weight", log=True)


def weight_decay(
    gradients: Tensor, weights: Tensor, context: GradientContext, settings: Any
) -> Tensor:
    """Adds `strength * w` to the gradient, the gradient of an L2 penalty.

    Args:
        gradients: `[N, P]`.
        weights: `[N, P]`.
        context: Not looked at.
        settings: `strength` `[N]`.
    """
    penalty: Tensor = settings.strength.unsqueeze(1) * weights
    return gradients + penalty


TECHNIQUE = GradientTechnique(
    name="weight_decay",
    summary="Pull the weights towards zero (L2; AdamW has its own, decoupled decay).",
    reference="Krogh and Hertz, A Simple Weight Decay Can Improve Generalization, 1991",
    apply=weight_decay,
    phase=Phase.PENALTY,
    settings=WeightDecaySettings,
    conflicts=frozenset({"adamw"}),
    memberwise=frozenset({"strength"}),
)
