"""Stochastic weight averaging."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Settings, number
from pawl.techniques.stages import AVERAGE_INTERVAL, AverageTechnique


class SwaSettings(Settings):
    """Settings of `swa`."""

    share: float = number(0.25, 0.05, 0.75, "share of the steps, the last ones, that are averaged")


def swa(average: Tensor, weights: Tensor, step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Returns the mean of the weights over the last `share` of the steps; up to there the weights.

    All count alike, where in `ema` older ones count less. The paper takes those at the end of each cycle
    of the learning rate; here those of every few steps count. As there, the statistics of batch
    normalization are computed anew (`pawl.training.statistics`).

    Args:
        average: `[N, P]`.
        weights: `[N, P]`.
        step: Steps taken, `[N]`.
        total: Steps of the whole training, `[N]`.
        settings: `share` `[N]`.
    """
    begin = torch.floor((1.0 - settings.share) * total / AVERAGE_INTERVAL)
    # The last step counts even if it is none of every few.
    seen = (torch.ceil(step / AVERAGE_INTERVAL) - begin).unsqueeze(1)
    return torch.where(seen > 1.0, average + (weights - average) / seen.clamp_min(1.0), weights)


TECHNIQUE = AverageTechnique(
    name="swa",
    summary="Evaluate and deploy the mean of the last weights.",
    reference="Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, "
    "UAI 2018",
    apply=swa,
    settings=SwaSettings,
    memberwise=frozenset({"share"}),
)
