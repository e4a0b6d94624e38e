"""Gradient clipping by value."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import GradientTechnique
from pawl.techniques.values import GradientContext


class ValueClippingSettings(Settings):
    """Settings of `value_clipping`."""

    limit: float = number(0.01, 1e-4, 1.0, "largest size of a gradient's entry", log=True)


def value_clipping(
    gradients: Tensor, weights: Tensor, context: GradientContext, settings: Any
) -> Tensor:
    """Draws each entry into `[-limit, limit]`, as `clip_grad_value_` does.

    Unlike clipping by norm, which keeps it, this turns the direction.

    Args:
        gradients: `[N, P]`.
        weights: `[N, P]`, not looked at.
        context: Not looked at.
        settings: `limit` `[N]`.
    """
    limit = settings.limit.unsqueeze(1)
    return torch.minimum(torch.maximum(gradients, -limit), limit)


TECHNIQUE = GradientTechnique(
    name="value_clipping",
    summary="Limit the size of each entry of the gradients.",
    reference="Mikolov, Statistical Language Models Based on Neural Networks, 2012",
    apply=value_clipping,
    phase=Phase.LIMIT,
    settings=ValueClippingSettings,
    memberwise=frozenset({"limit"}),
)
