"""L1 penalty by proximal steps, which make weights exactly zero."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import WeightsTechnique
from pawl.techniques.tensors import is_matrix
from pawl.techniques.values import StepContext


class ProximalL1Settings(Settings):
    """Settings of `proximal_l1`."""

    strength: float = number(
        0.03, 1e-4, 0.5, "what weights move to zero, per rate and step", log=True
    )


def proximal_l1(
    weights: Tensor, state: dict[str, Tensor], context: StepContext, settings: Any
) -> None:
    """Moves matrices' weights `rate * strength` towards zero behind each step, and no further, in place.

    For gradient descent it is the penalty `strength * sum |w|`. Where an optimizer scales gradients, the
    penalty is not scaled with them, as the decay of AdamW is not.
    `l1` follows the slope of the penalty instead and leaves small weights about zero.

    Args:
        weights: `[N, P]`.
        state: None.
        context: Rate and layout.
        settings: `strength` `[N]`.
    """
    threshold = (context.rate * settings.strength).unsqueeze(1)
    threshold = threshold * context.layout.mask(is_matrix, weights.device)
    weights.sub_(torch.minimum(torch.maximum(weights, -threshold), threshold))


TECHNIQUE = WeightsTechnique(
    name="proximal_l1",
    summary="Draw weights to exactly zero (L1).",
    reference="Duchi and Singer, Efficient Online and Batch Learning Using Forward Backward Splitting, "
    "JMLR 2009",
    apply=proximal_l1,
    phase=Phase.LIMIT,
    settings=ProximalL1Settings,
    memberwise=frozenset({"strength"}),
    conflicts=frozenset({"l1"}),
)
