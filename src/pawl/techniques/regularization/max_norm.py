"""Max-norm: a limit for the weights of each unit."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import WeightsTechnique
from pawl.techniques.tensors import is_matrix, unit_norms
from pawl.techniques.values import StepContext


class MaxNormSettings(Settings):
    """Settings of `max_norm`."""

    norm: float = number(1.0, 0.3, 5.0, "largest norm of a unit's weights", log=True)


def max_norm(
    weights: Tensor, state: dict[str, Tensor], context: StepContext, settings: Any
) -> None:
    """Scales the weights into each unit down to the given norm behind each step, in place.

    A unit is a row of a matrix or one filter of a convolution; vectors are left alone.

    Args:
        weights: `[N, P]`.
        state: None.
        context: The layout.
        settings: `norm` `[N]`.
    """
    layout = context.layout
    found = unit_norms(layout, weights).clamp_min(1e-12)
    factor: Tensor = (settings.norm.unsqueeze(1) / found).clamp_max(1.0)
    limited = layout.mask(is_matrix, weights.device)
    weights.mul_(1.0 + limited * (factor - 1.0))


TECHNIQUE = WeightsTechnique(
    name="max_norm",
    summary="Limit the norm of the weights into each unit.",
    reference="Srivastava et al., Dropout, JMLR 2014, section 5.1",
    apply=max_norm,
    phase=Phase.LIMIT,
    settings=MaxNormSettings,
    memberwise=frozenset({"norm"}),
)
