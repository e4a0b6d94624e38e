"""A learning rate that rises, stays, and falls at the end."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.optimization._warmup import ScheduleSettings, progress, warmed
from pawl.techniques.record import number
from pawl.techniques.stages import ScheduleTechnique


class WarmupStableDecaySettings(ScheduleSettings):
    """Settings of `warmup_stable_decay`."""

    warmup: float = number(0.05, 0.0, 0.3, "share of the steps with a linear warm-up")
    decay: float = number(0.2, 0.05, 0.5, "share of the steps behind it in which the rate falls")


def warmup_stable_decay(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Returns 1, and for the share `u` of the decay that is behind `1 - sqrt(u)`; all `[N]`.

    The root is the second source's, where it came out ahead of a line.
    """
    behind = (progress(step, total, settings) - (1.0 - settings.decay)) / settings.decay
    return warmed(1.0 - behind.clamp(0.0, 1.0).sqrt(), step, total, settings)


TECHNIQUE = ScheduleTechnique(
    name="warmup_stable_decay",
    summary="Keep the learning rate for most of the time, then let it fall to zero.",
    reference="Hu et al., MiniCPM, 2024; Haegele et al., Scaling Laws and Compute-Optimal Training "
    "Beyond Fixed Training Durations, 2024",
    apply=warmup_stable_decay,
    settings=WarmupStableDecaySettings,
    memberwise=frozenset({"warmup", "decay"}),
)
