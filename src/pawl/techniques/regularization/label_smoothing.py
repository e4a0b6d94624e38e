"""Label smoothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pawl.techniques.record import Facts, LossTerm, Settings, Stage, Technique, number


class LabelSmoothingSettings(Settings):
    """Settings of `label_smoothing`."""

    amount: float = number(0.1, 0.01, 0.3, "probability spread evenly over the classes", log=True)


def label_smoothing(loss: LossTerm, settings: Any) -> LossTerm:
    """Mixes the loss with the cross-entropy to the uniform distribution over classes."""

    def smoothed(outputs: Tensor, targets: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        uniform = -outputs.log_softmax(-1).mean()
        amount: Tensor = settings.amount
        return (1.0 - amount) * loss(outputs, targets, weights) + amount * uniform

    return smoothed


def _fits(facts: Facts) -> str | None:
    if facts.schema.kind == "regression":
        return "a regression has no labels to smooth"
    return "your own loss decides how labels count" if facts.own_loss else None


TECHNIQUE = Technique(
    name="label_smoothing",
    stage=Stage.LOSS,
    summary="Train towards slightly uncertain labels.",
    reference="Szegedy et al., Rethinking the Inception Architecture, 2016, section 7",
    apply=label_smoothing,
    settings=LabelSmoothingSettings,
    memberwise=frozenset({"amount"}),
    writes=frozenset({"loss"}),
    fits=_fits,
)
