"""Exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Settings, number
from pawl.techniques.stages import AVERAGE_INTERVAL, AverageTechnique


class EmaSettings(Settings):
    """Settings of `ema`."""

    horizon: float = number(100.0, 10.0, 2000.0, "steps the average looks back over", log=True)


def ema(average: Tensor, weights: Tensor, step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Moves the average towards the weights; it takes part in evaluations in their place.

    The decay per step is `1 - 1 / horizon`, smaller at the start so that the first weights do not
    linger (as in timm's ModelEmaV3). Batch-norm statistics are those of the averaged weights
    (`pawl.training.statistics`).

    Args:
        average: `[N, P]`.
        weights: `[N, P]`.
        step: Steps taken, `[N]`.
        total: Not looked at.
        settings: `horizon` `[N]`.
    """
    decay = torch.minimum(1.0 - 1.0 / settings.horizon, (1.0 + step) / (10.0 + step))
    return torch.lerp(weights, average, (decay**AVERAGE_INTERVAL).unsqueeze(1))


TECHNIQUE = AverageTechnique(
    name="ema",
    summary="Evaluate and deploy a moving average of the weights.",
    reference="Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992",
    apply=ema,
    settings=EmaSettings,
    memberwise=frozenset({"horizon"}),
)
