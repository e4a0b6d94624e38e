"""Cosine decay of the learning rate that starts again."""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from pawl.techniques.optimization._warmup import ScheduleSettings, progress, warmed
from pawl.techniques.record import number
from pawl.techniques.stages import ScheduleTechnique

_LEAST_GROWTH = 1.001


class CosineRestartsSettings(ScheduleSettings):
    """Settings of `cosine_restarts`."""

    cycles: float = number(3.0, 2.0, 6.0, "number of times that the rate falls (rounded)")
    growth: float = number(2.0, 1.0, 3.0, "length of a cycle relative to the one before")
    until: int = Field(
        0, ge=0, le=6, json_schema_extra={"searched": False},
        description="cycle that training ends with, for the model that it has then; 0 for the last",
    )  # fmt: skip


def cosine_restarts(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Returns `(1 + cos(pi u)) / 2` for the share `u` of the present cycle; all `[N]`.

    With `c` cycles, each `q` times as long as the one before, cycle `k` goes up to progress
    `(q^(k + 1) - 1) / (q^c - 1)`, the last to the end, so that all are whole.
    """
    cycles = torch.round(settings.cycles)
    growth = settings.growth.clamp_min(_LEAST_GROWTH)
    position = 1.0 + progress(step, total, settings) * (growth**cycles - 1.0)
    number_of = torch.floor(torch.log(position) / torch.log(growth))
    begin = growth ** torch.minimum(number_of, cycles - 1.0)
    behind = ((position - begin) / (begin * (growth - 1.0))).clamp(0.0, 1.0)
    return warmed(0.5 * (1.0 + torch.cos(math.pi * behind)), step, total, settings)


def ends(settings: Any) -> float:
    """Returns the share of the steps after which the last cycle that is wanted is over.

    Example:
        >>> round(ends(CosineRestartsSettings(cycles=3, growth=1.0, until=1)), 2)
        0.33
        >>> round(ends(CosineRestartsSettings(cycles=3, growth=2.0, until=2)), 2)
        0.43
    """
    cycles, growth = round(settings.cycles), max(settings.growth, _LEAST_GROWTH)
    if not 0 < settings.until < cycles:
        return 1.0
    share = (growth**settings.until - 1.0) / (growth**cycles - 1.0)
    return float(settings.warmup + (1.0 - settings.warmup) * share)


TECHNIQUE = ScheduleTechnique(
    name="cosine_restarts",
    summary="Let the learning rate fall along a cosine a few times, each time for longer.",
    reference="Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017",
    apply=cosine_restarts,
    ends=ends,
    settings=CosineRestartsSettings,
    memberwise=frozenset({"warmup", "cycles", "growth", "until"}),
)
