"""L1 penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import LossTechnique, LossTerm
from pawl.techniques.values import Targets


class L1Settings(Settings):
    """Settings of `l1`."""

    strength: float = number(1e-5, 1e-7, 1e-2, "penalty per unit of absolute weight", log=True)


def l1(loss: LossTerm, settings: Any) -> LossTerm:
    """Adds `strength * sum |w|` over all weights, biases included."""

    def penalized(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        total = torch.stack([w.abs().sum() for w in weights.values()]).sum()
        penalty: Tensor = settings.strength * total
        return loss(outputs, targets, weights) + penalty

    return penalized


TECHNIQUE = LossTechnique(
    name="l1",
    summary="Penalize the absolute size of the weights.",
    reference="Tibshirani, Regression Shrinkage and Selection via the Lasso, 1996",
    apply=l1,
    phase=Phase.PENALTY,
    settings=L1Settings,
    memberwise=frozenset({"strength"}),
)
