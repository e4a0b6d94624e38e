"""A learning rate that stays, then falls along a cosine."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pawl.techniques.optimization._warmup import ScheduleSettings, progress, warmed
from pawl.techniques.record import number
from pawl.techniques.stages import ScheduleTechnique


class FlatCosineSettings(ScheduleSettings):
    """Settings of `flat_cosine`."""

    flat: float = number(0.5, 0.1, 0.9, "share of the steps in which the rate stays")


def flat_cosine(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Returns 1 up to progress `flat`, then `(1 + cos(pi u)) / 2`, `u` from 0 to 1; all `[N]`."""
    behind = (progress(step, total, settings) - settings.flat) / (1.0 - settings.flat)
    decay = 0.5 * (1.0 + torch.cos(math.pi * behind.clamp(0.0, 1.0)))
    return warmed(decay, step, total, settings)


TECHNIQUE = ScheduleTechnique(
    name="flat_cosine",
    summary="Keep the learning rate for a while, then let it fall to zero along a cosine.",
    reference="Wright, Ranger: a synergistic optimizer, 2019 (flat, then cosine annealing)",
    apply=flat_cosine,
    settings=FlatCosineSettings,
    memberwise=frozenset({"warmup", "flat"}),
)
