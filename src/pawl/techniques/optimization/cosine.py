"""Cosine decay of the learning rate."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pawl.techniques.optimization._warmup import ScheduleSettings, progress, warmed
from pawl.techniques.stages import ScheduleTechnique


def cosine(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Returns `(1 + cos(pi t)) / 2` for progress `t`; `step`, `total` and the result are `[N]`."""
    decay = 0.5 * (1.0 + torch.cos(math.pi * progress(step, total, settings)))
    return warmed(decay, step, total, settings)


TECHNIQUE = ScheduleTechnique(
    name="cosine",
    summary="Let the learning rate fall to zero along a cosine.",
    reference="Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017",
    apply=cosine,
    settings=ScheduleSettings,
    memberwise=frozenset({"warmup"}),
)
