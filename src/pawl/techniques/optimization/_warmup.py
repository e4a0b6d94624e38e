"""What all schedules share: a linear warm-up over the first share of the steps."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.record import Settings, number


class ScheduleSettings(Settings):
    """Base of the schedules' settings."""

    warmup: float = number(0.0, 0.0, 0.3, "share of the steps with a linear warm-up")


def warmed(multiplier: Tensor, step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Multiplies by a ramp from near 0 to 1 over the first `warmup * total` steps; all `[N]`."""
    ramp: Tensor = (step + 1.0) / (settings.warmup * total).clamp_min(1.0)
    return multiplier * ramp.clamp_max(1.0)


def progress(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Returns how far a member is behind its warm-up, from 0 to 1; all `[N]`."""
    begin: Tensor = settings.warmup * total
    return ((step - begin) / (total - begin).clamp_min(1.0)).clamp(0.0, 1.0)
