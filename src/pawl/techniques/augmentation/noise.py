"""Gaussian noise on numeric inputs."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from pawl import rng
from pawl.techniques.data.standardize import needs_numbers
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class NoiseSettings(Settings):
    """Settings of `noise`."""

    deviation: float = number(0.1, 0.005, 1.0, "standard deviation, on scaled inputs", log=True)


def noise(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Adds independent normal noise to every number.

    Args:
        batch: Tensors `[N, B, ...]`.
        settings: `deviation` `[N]`.
        key: `[N]`.
    """
    noisy = dict(batch.inputs)
    for index, (name, x) in enumerate(batch.inputs.items()):
        if x.is_floating_point():
            scale = settings.deviation.view(-1, *([1] * (x.dim() - 1)))
            noisy[name] = x + scale * rng.normal(rng.fold(key, 21 + index), tuple(x.shape[1:]))
    return dataclasses.replace(batch, inputs=noisy)


TECHNIQUE = BatchTechnique(
    name="noise",
    summary="Add Gaussian noise to numeric inputs.",
    reference="Bishop, Training with Noise is Equivalent to Tikhonov Regularization, 1995",
    apply=noise,
    phase=Phase.VALUES,
    settings=NoiseSettings,
    memberwise=frozenset({"deviation"}),
    fits=needs_numbers,
)
