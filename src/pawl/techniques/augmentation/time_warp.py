"""Sequences that run faster and slower."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pawl import rng
from pawl.kinds import KINDS
from pawl.techniques.augmentation._sequences import needs_steps, on_steps
from pawl.techniques.record import Facts, Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch

_KNOTS = 4
_SLOWEST = 0.1


class TimeWarpSettings(Settings):
    """Settings of `time_warp`."""

    deviation: float = number(0.2, 0.02, 0.8, "standard deviation of the speed 1", log=True)


def time_warp(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Reads each sequence at a speed that changes smoothly, from its first step to its last.

    Speeds at four evenly spaced knots are `1 + deviation e` for normal `e`, at least 0.1, and linear
    between them; the place read at a step is their sum up to it, scaled so that the ends stay, and
    values are linear between steps. The paper's curves are cubic.

    Args:
        batch: Sequences are `[N, B, T, C]`.
        settings: `deviation` `[N]`.
        key: `[N]`.
    """

    def change(x: Tensor, index: int) -> Tensor:
        rows, steps = x.shape[1:3]
        if steps < 2:
            return x
        drawn = rng.normal(rng.fold(key, 141 + index), (rows, _KNOTS))
        knots = (1.0 + settings.deviation.view(-1, 1, 1) * drawn).clamp_min(_SLOWEST)
        speed = F.interpolate(knots, size=steps - 1, mode="linear", align_corners=True)
        place = F.pad(speed.cumsum(2), (1, 0))
        place = place * ((steps - 1) / place[..., -1:])
        left = place.floor().clamp(0, steps - 2)
        share = (place - left).unsqueeze(3)
        at = left.long().unsqueeze(3).expand_as(x)
        return torch.lerp(x.gather(2, at), x.gather(2, at + 1), share)

    return on_steps(batch, change)


def _fits(facts: Facts) -> str | None:
    if any(spec.is_mask for spec in facts.schema.inputs):
        return "rows of unlike lengths end at other steps"
    if KINDS[facts.schema.kind].has_places:
        return "targets lie on the steps, which would move away from them"
    return needs_steps(facts)


TECHNIQUE = BatchTechnique(
    name="time_warp",
    summary="Let sequences run faster and slower at random.",
    reference="Um et al., Data Augmentation of Wearable Sensor Data for Parkinson's Disease Monitoring "
    "using Convolutional Neural Networks, ICMI 2017",
    apply=time_warp,
    phase=Phase.GEOMETRY,
    settings=TimeWarpSettings,
    memberwise=frozenset({"deviation"}),
    fits=_fits,
)
