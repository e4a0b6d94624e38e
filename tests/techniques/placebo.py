"""A technique that does next to nothing, for tests: it must join like any other, and never win."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from techniques.table import Row
from torch import Tensor

from pawl.techniques import LossTechnique, LossTerm, Settings, Targets, number


class PlaceboSettings(Settings):
    """Settings of `placebo`."""

    dose: float = number(1.0, 0.1, 10.0, "millionths that the loss is scaled by")


def placebo(loss: LossTerm, settings: Any) -> LossTerm:
    """Multiplies the loss by `1 + 1e-6 * dose`."""

    def scaled(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        factor: Tensor = 1.0 + 1e-6 * settings.dose
        return factor * loss(outputs, targets, weights)

    return scaled


PLACEBO = LossTechnique(
    name="placebo",
    summary="Scale the loss by next to nothing.",
    reference="Beecher, The Powerful Placebo, 1955",
    apply=placebo,
    settings=PlaceboSettings,
    memberwise=frozenset({"dose"}),
)
ROW = Row("placebo", ({"dose": 0.5}, {"dose": 3.0}, {"dose": 9.0}))
