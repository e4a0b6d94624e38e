"""Log-cosh loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from pawl.techniques.losses._values import by_row, fits_values
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import LossTechnique, LossTerm
from pawl.techniques.values import Targets


class LogCoshSettings(Settings):
    """Settings of `log_cosh`."""

    scale: float = number(
        1.0,
        0.05,
        5.0,
        "error about which it turns into a line, in deviations of the target",
        log=True,
    )


def log_cosh(loss: LossTerm, settings: Any) -> LossTerm:
    """Trains `2 scale^2 log(cosh(e / scale))`: `e^2` for small errors, a line for large ones."""

    def robust(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        scale = settings.scale
        size = (outputs - targets.values).abs() / scale
        return by_row(2.0 * scale**2 * (size + F.softplus(-2.0 * size) - math.log(2.0)))

    return robust


TECHNIQUE = LossTechnique(
    name="log_cosh",
    summary="Let large errors count in proportion, with a smooth passage from squares.",
    reference="Saleh and Saleh, Statistical Properties of the log-cosh Loss Function Used in Machine "
    "Learning, 2022",
    apply=log_cosh,
    phase=Phase.INSTEAD,
    settings=LogCoshSettings,
    memberwise=frozenset({"scale"}),
    group="loss",
    fits=fits_values,
)
