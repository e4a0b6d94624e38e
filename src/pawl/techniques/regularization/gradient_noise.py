"""Gradient noise that fades."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl import rng
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import GradientTechnique
from pawl.techniques.values import GradientContext

_FADING = 0.55


class GradientNoiseSettings(Settings):
    """Settings of `gradient_noise`."""

    deviation: float = number(0.01, 1e-4, 0.1, "deviation of the noise in the first step", log=True)


def gradient_noise(
    gradients: Tensor, weights: Tensor, context: GradientContext, settings: Any
) -> Tensor:
    """Adds normal noise of variance `deviation^2 / t^0.55` in step `t` to every entry.

    It comes behind what limits gradients, as in the paper, which has a deviation of 0.1 to 1 for deep
    networks; small ones have small gradients.

    Args:
        gradients: `[N, P]`.
        weights: `[N, P]`, not looked at.
        context: Key and step.
        settings: `deviation` `[N]`.
    """
    deviation: Tensor = settings.deviation * context.step ** (-0.5 * _FADING)
    noise = rng.normal(context.key, tuple(gradients.shape[1:]))
    return gradients + deviation.unsqueeze(1) * noise


TECHNIQUE = GradientTechnique(
    name="gradient_noise",
    summary="Add noise to the gradients, less with each step.",
    reference="Neelakantan et al., Adding Gradient Noise Improves Learning for Very Deep Networks, "
    "2015",
    apply=gradient_noise,
    phase=Phase.PENALTY,
    settings=GradientNoiseSettings,
    memberwise=frozenset({"deviation"}),
)
