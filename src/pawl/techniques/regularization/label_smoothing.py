"""Label smoothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pawl.kinds import KINDS, over_places
from pawl.techniques.record import Facts, Settings, number
from pawl.techniques.stages import LossTechnique, LossTerm
from pawl.techniques.values import Targets


class LabelSmoothingSettings(Settings):
    """Settings of `label_smoothing`."""

    amount: float = number(0.1, 0.01, 0.3, "probability spread evenly over the classes", log=True)


def label_smoothing(loss: LossTerm, settings: Any) -> LossTerm:
    """Mixes the loss with the cross-entropy to the uniform distribution over classes."""

    def smoothed(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        uniform = over_places(-outputs.log_softmax(-1).mean(-1), targets.values)
        amount: Tensor = settings.amount
        return (1.0 - amount) * loss(outputs, targets, weights) + amount * uniform

    return smoothed


def _fits(facts: Facts) -> str | None:
    if not KINDS[facts.schema.kind].exclusive:
        return "only one of several classes can be smoothed towards the others"
    return "your own loss decides how labels count" if facts.own_loss else None


TECHNIQUE = LossTechnique(
    name="label_smoothing",
    summary="Train towards slightly uncertain labels.",
    reference="Szegedy et al., Rethinking the Inception Architecture, 2016, section 7",
    apply=label_smoothing,
    settings=LabelSmoothingSettings,
    memberwise=frozenset({"amount"}),
    fits=_fits,
)
