"""Poly-1 loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pawl.techniques.losses._classes import are_labels, by_row, fits_classes, wanted
from pawl.techniques.record import Settings, number
from pawl.techniques.stages import LossTechnique, LossTerm
from pawl.techniques.values import Targets


class PolyLossSettings(Settings):
    """Settings of `poly_loss`."""

    amount: float = number(1.0, -1.0, 5.0, "what is added to the first coefficient (epsilon)")


def poly_loss(loss: LossTerm, settings: Any) -> LossTerm:
    """Adds `amount * (1 - p)` for the right class's probability `p`.

    It is the first term of cross-entropy as a series in `1 - p`. Labels are classes of two each. It goes
    with other losses as well: with `focal_loss` it is the paper's, but for a factor `(1 - p)^focus`.
    """

    def with_more(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        right = wanted(outputs, targets)
        if are_labels(targets):
            chance = outputs.sigmoid()
            missing = right * (1.0 - chance) + (1.0 - right) * chance
        else:
            missing = right * (1.0 - outputs.softmax(-1))
        more: Tensor = settings.amount * by_row(missing, targets)
        return loss(outputs, targets, weights) + more

    return with_more


TECHNIQUE = LossTechnique(
    name="poly_loss",
    summary="Change how much the last bit of probability counts.",
    reference="Leng et al., PolyLoss, ICLR 2022",
    apply=poly_loss,
    settings=PolyLossSettings,
    memberwise=frozenset({"amount"}),
    fits=fits_classes,
)
