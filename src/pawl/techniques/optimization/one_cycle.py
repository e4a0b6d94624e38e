"""The one-cycle schedule."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Settings, number
from pawl.techniques.stages import ScheduleTechnique


class OneCycleSettings(Settings):
    """Settings of `one_cycle`."""

    warmup: float = number(0.25, 0.05, 0.5, "share of the steps in which the rate rises")
    start: float = number(0.04, 0.01, 0.5, "rate at the start, relative to the peak", log=True)


def one_cycle(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Rises from `start` to 1, then falls to nearly 0, both along cosines; all `[N]`.

    The momentum stays as it is; the paper lets it move against the rate.
    """
    peak = (settings.warmup * total).clamp_min(1.0)
    rise = (step / peak).clamp(0.0, 1.0)
    fall = ((step - peak) / (total - peak).clamp_min(1.0)).clamp(0.0, 1.0)
    up = settings.start + (1.0 - settings.start) * 0.5 * (1.0 - torch.cos(math.pi * rise))
    return torch.where(step < peak, up, 0.5 * (1.0 + torch.cos(math.pi * fall)))


TECHNIQUE = ScheduleTechnique(
    name="one_cycle",
    summary="Let the learning rate rise to a peak and then fall to zero.",
    reference="Smith and Topin, Super-Convergence, 2018",
    apply=one_cycle,
    settings=OneCycleSettings,
    memberwise=frozenset({"warmup", "start"}),
)
