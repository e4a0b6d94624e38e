"""Linear decay of the learning rate."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.optimization._warmup import ScheduleSettings, progress, warmed
from pawl.techniques.stages import ScheduleTechnique


def linear_decay(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Returns `1 - t` for progress `t`; `step`, `total` and the result are `[N]`."""
    return warmed(1.0 - progress(step, total, settings), step, total, settings)


TECHNIQUE = ScheduleTechnique(
    name="linear_decay",
    summary="Let the learning rate fall to zero along a line.",
    reference="Defazio et al., When, Why and How Much? Adaptive Learning Rate Scheduling by "
    "Refinement, 2023",
    apply=linear_decay,
    settings=ScheduleSettings,
    memberwise=frozenset({"warmup"}),
)
