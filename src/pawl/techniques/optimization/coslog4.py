"""Four cycles of the learning rate, each longer than the one before."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pawl.techniques.optimization._warmup import ScheduleSettings, progress, warmed
from pawl.techniques.stages import ScheduleTechnique


def coslog4(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Returns `(1 - cos(2 pi log2(1 + 15 t))) / 2` for progress `t`; all `[N]`.

    From 0 up and back to 0 four times, by `t` = 1/15, 3/15, 7/15 and 1: what was found in a short cycle
    is refined in the next, and evaluations behind each can be the best.
    """
    cycles = torch.log2(1.0 + 15.0 * progress(step, total, settings))
    return warmed(0.5 * (1.0 - torch.cos(2.0 * math.pi * cycles)), step, total, settings)


TECHNIQUE = ScheduleTechnique(
    name="coslog4",
    summary="Let the learning rate rise and fall four times, each time for longer.",
    reference="Holzmueller et al., Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on "
    "Tabular Data, 2024, section 3",
    apply=coslog4,
    settings=ScheduleSettings,
    memberwise=frozenset({"warmup"}),
)
