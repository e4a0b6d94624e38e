"""Polynomial decay of the learning rate."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.optimization._warmup import ScheduleSettings, progress, warmed
from pawl.techniques.record import number
from pawl.techniques.stages import ScheduleTechnique


class PolynomialDecaySettings(ScheduleSettings):
    """Settings of `polynomial_decay`."""

    power: float = number(2.0, 0.5, 4.0, "how soon it falls; 1 is a line")


def polynomial_decay(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Returns `(1 - t) ** power` for progress `t`; `step`, `total` and the result are `[N]`."""
    decay = (1.0 - progress(step, total, settings)) ** settings.power
    return warmed(decay, step, total, settings)


TECHNIQUE = ScheduleTechnique(
    name="polynomial_decay",
    summary="Let the learning rate fall to zero along a power.",
    reference="Chen et al., DeepLab, 2017, section 4.1 (poly learning rate policy)",
    apply=polynomial_decay,
    settings=PolynomialDecaySettings,
    memberwise=frozenset({"warmup", "power"}),
)
