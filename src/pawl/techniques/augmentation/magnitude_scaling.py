"""Sequences of larger and smaller values."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl import rng
from pawl.techniques.augmentation._sequences import needs_steps, on_steps
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class MagnitudeScalingSettings(Settings):
    """Settings of `magnitude_scaling`."""

    deviation: float = number(0.1, 0.01, 0.5, "standard deviation of the factor 1", log=True)


def magnitude_scaling(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Multiplies each channel of each sequence by one factor, `1 + deviation e` for normal `e`.

    Args:
        batch: Sequences are `[N, B, T, C]`.
        settings: `deviation` `[N]`.
        key: `[N]`.
    """

    def change(x: Tensor, index: int) -> Tensor:
        drawn = rng.normal(rng.fold(key, 121 + index), (x.shape[1], 1, x.shape[3]))
        scale: Tensor = settings.deviation.view(-1, 1, 1, 1)
        return x * (1.0 + scale * drawn)

    return on_steps(batch, change)


TECHNIQUE = BatchTechnique(
    name="magnitude_scaling",
    summary="Multiply sequences by random factors.",
    reference="Um et al., Data Augmentation of Wearable Sensor Data for Parkinson's Disease Monitoring "
    "using Convolutional Neural Networks, ICMI 2017",
    apply=magnitude_scaling,
    phase=Phase.VALUES,
    settings=MagnitudeScalingSettings,
    memberwise=frozenset({"deviation"}),
    fits=needs_steps,
)
