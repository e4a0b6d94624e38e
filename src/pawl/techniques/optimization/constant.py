"""A constant learning rate, with warm-up."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.optimization._warmup import ScheduleSettings, warmed
from pawl.techniques.record import number
from pawl.techniques.stages import ScheduleTechnique


class ConstantSettings(ScheduleSettings):
    """Settings of `constant`."""

    warmup: float = number(0.05, 0.0, 0.3, "share of the steps with a linear warm-up")


def constant(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Returns 1 behind the warm-up; `step`, `total` and the result are `[N]`."""
    return warmed(torch.ones_like(total), step, total, settings)


TECHNIQUE = ScheduleTechnique(
    name="constant",
    summary="Constant learning rate behind a linear warm-up.",
    reference="Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2 (warm-up)",
    apply=constant,
    settings=ConstantSettings,
    memberwise=frozenset({"warmup"}),
)
