"""Exponential decay of the learning rate."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.optimization._warmup import ScheduleSettings, progress, warmed
from pawl.techniques.record import number
from pawl.techniques.stages import ScheduleTechnique


class ExponentialDecaySettings(ScheduleSettings):
    """Settings of `exponential_decay`."""

    final: float = number(0.01, 1e-4, 0.5, "rate at the end, relative to the start", log=True)


def exponential_decay(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Returns `final ** t` for progress `t`; `step`, `total` and the result are `[N]`."""
    return warmed(settings.final ** progress(step, total, settings), step, total, settings)


TECHNIQUE = ScheduleTechnique(
    name="exponential_decay",
    summary="Let the learning rate fall by the same factor each step.",
    reference="Li and Arora, An Exponential Learning Rate Schedule for Deep Learning, 2020",
    apply=exponential_decay,
    settings=ExponentialDecaySettings,
    memberwise=frozenset({"warmup", "final"}),
)
