"""L1 penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import LossTerm, Settings, Stage, Technique, number


class L1Settings(Settings):
    """Settings of `l1`."""

    strength: float = number(1e-5, 1e-7, 1e-2, "penalty per unit of absolute weight", log=True)


def l1(loss: LossTerm, settings: Any) -> LossTerm:
    """Adds `strength * sum |w|` over all weights, biases included."""

    def penalized(outputs: Tensor, targets: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        total = torch.stack([w.abs().sum() for w in weights.values()]).sum()
        penalty: Tensor = settings.strength * total
        return loss(outputs, targets, weights) + penalty

    return penalized


TECHNIQUE = Technique(
    name="l1",
    stage=Stage.LOSS,
    summary="Penalize the absolute size of the weights.",
    reference="Tibshirani, Regression Shrinkage and Selection via the Lasso, 1996",
    apply=l1,
    settings=L1Settings,
    memberwise=frozenset({"strength"}),
    reads=frozenset({"loss"}),
    writes=frozenset({"penalty"}),
)
