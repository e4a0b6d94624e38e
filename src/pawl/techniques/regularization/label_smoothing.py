"""Label smoothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pawl.kinds import KINDS, NOTHING
from pawl.techniques.record import Facts, LossTerm, Settings, Stage, Technique, number

_ROWS_AND_CLASSES = 2


class LabelSmoothingSettings(Settings):
    """Settings of `label_smoothing`."""

    amount: float = number(0.1, 0.01, 0.3, "probability spread evenly over the classes", log=True)


def label_smoothing(loss: LossTerm, settings: Any) -> LossTerm:
    """Mixes the loss with the cross-entropy to the uniform distribution over classes."""

    def smoothed(outputs: Tensor, targets: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        uniform = -outputs.log_softmax(-1)
        if uniform.dim() > _ROWS_AND_CLASSES:  # places without a class have no part in the loss
            there = targets != NOTHING
            uniform = (uniform.mean(-1) * there).sum() / there.sum()
        amount: Tensor = settings.amount
        return (1.0 - amount) * loss(outputs, targets, weights) + amount * uniform.mean()

    return smoothed


def _fits(facts: Facts) -> str | None:
    if not KINDS[facts.schema.kind].exclusive:
        return "only one of several classes can be smoothed towards the others"
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
