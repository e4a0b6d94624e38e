"""Huber's loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pawl.techniques.losses._values import by_row, fits_values
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import LossTechnique, LossTerm
from pawl.techniques.values import Targets


class HuberSettings(Settings):
    """Settings of `huber`."""

    limit: float = number(
        1.0, 0.05, 5.0, "error up to which it is squared, in deviations of the target", log=True
    )


def huber(loss: LossTerm, settings: Any) -> LossTerm:
    """Trains `e^2` for errors up to `limit`, beyond them the line `limit (2 |e| - limit)`.

    Twice the textbook's, so that small errors count as in the squared error.
    """

    def robust(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        size = (outputs - targets.values).abs()
        squared = torch.minimum(size, settings.limit)
        return by_row(squared * (2.0 * size - squared))

    return robust


TECHNIQUE = LossTechnique(
    name="huber",
    summary="Let large errors count in proportion, not squared.",
    reference="Huber, Robust Estimation of a Location Parameter, 1964",
    apply=huber,
    phase=Phase.INSTEAD,
    settings=HuberSettings,
    memberwise=frozenset({"limit"}),
    group="loss",
    fits=fits_values,
)
