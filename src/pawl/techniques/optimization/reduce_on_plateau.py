"""A learning rate that falls when the validation score no longer improves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from pawl.techniques.optimization._warmup import ScheduleSettings, warmed
from pawl.techniques.record import number
from pawl.techniques.stages import ScheduleTechnique


class ReduceOnPlateauSettings(ScheduleSettings):
    """Settings of `reduce_on_plateau`."""

    factor: float = number(0.3, 0.1, 0.7, "what the rate is multiplied by")
    patience: int = Field(4, ge=1, le=20, description="evaluations without a new best before that")


def warm(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Returns 1 behind the warm-up, `[N]`; scores do the rest."""
    return warmed(torch.ones_like(total), step, total, settings)


def reduced(scores: Sequence[float], settings: Any) -> float:
    """Returns `factor ** k` for the `k` times that `patience` evaluations in a row had no new best.

    As PyTorch's `ReduceLROnPlateau`, with `patience - 1` of its bad evaluations allowed, no threshold
    and no cool-down; the least rate is that of the last reduction.

    Example:
        >>> from types import SimpleNamespace
        >>> reduced([0.1, 0.3, 0.2, 0.3, 0.4], SimpleNamespace(factor=0.5, patience=2))
        0.5
    """
    best, stale, pace = float("-inf"), 0, 1.0
    for score in scores:
        stale = 0 if score > best else stale + 1
        best = max(best, score) if score == score else best  # noqa: PLR0124 - not a number
        if stale == settings.patience:
            pace, stale = pace * settings.factor, 0
    return pace


TECHNIQUE = ScheduleTechnique(
    name="reduce_on_plateau",
    summary="Lower the learning rate when the validation score no longer improves.",
    reference="torch.optim.lr_scheduler.ReduceLROnPlateau; He et al., Deep Residual Learning, 2016, "
    "section 3.4",
    apply=warm,
    watched=reduced,
    settings=ReduceOnPlateauSettings,
    memberwise=frozenset({"warmup", "factor", "patience"}),
)
