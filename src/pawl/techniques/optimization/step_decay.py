"""Stepwise decay of the learning rate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.optimization._warmup import ScheduleSettings, progress, warmed
from pawl.techniques.record import number
from pawl.techniques.stages import ScheduleTechnique


class StepDecaySettings(ScheduleSettings):
    """Settings of `step_decay`."""

    factor: float = number(0.2, 0.05, 0.7, "what the rate is multiplied by at each drop")
    drops: float = number(2.0, 1.0, 4.0, "number of drops, evenly spaced (rounded)")


def step_decay(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Returns `factor ** k` behind the `k`-th of evenly spaced drops; all `[N]`."""
    drops = torch.round(settings.drops)
    passed = torch.floor(progress(step, total, settings) * (drops + 1.0)).clamp_max(drops)
    return warmed(settings.factor**passed, step, total, settings)


TECHNIQUE = ScheduleTechnique(
    name="step_decay",
    summary="Drop the learning rate by a factor a few times.",
    reference="Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep CNNs, 2012",
    apply=step_decay,
    settings=StepDecaySettings,
    memberwise=frozenset({"warmup", "factor", "drops"}),
)
