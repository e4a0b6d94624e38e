"""The absolute error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pawl.techniques.losses._values import by_row, fits_values
from pawl.techniques.record import Phase
from pawl.techniques.stages import LossTechnique, LossTerm
from pawl.techniques.values import Targets


def absolute_error(loss: LossTerm, settings: Any) -> LossTerm:
    """Trains `|e|`, which is least at the median, in place of `e^2`."""

    def robust(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        return by_row((outputs - targets.values).abs())

    return robust


TECHNIQUE = LossTechnique(
    name="absolute_error",
    summary="Train the absolute error, and so the median.",
    reference="Koenker and Bassett, Regression Quantiles, 1978 (the median)",
    apply=absolute_error,
    phase=Phase.INSTEAD,
    group="loss",
    fits=fits_values,
)
