"""Confidence penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from pawl.techniques.losses._classes import are_labels, by_row, fits_classes
from pawl.techniques.record import Settings, number
from pawl.techniques.stages import LossTechnique, LossTerm
from pawl.techniques.values import Targets


class ConfidencePenaltySettings(Settings):
    """Settings of `confidence_penalty`."""

    strength: float = number(0.1, 0.01, 1.0, "reward per unit of entropy", log=True)


def confidence_penalty(loss: LossTerm, settings: Any) -> LossTerm:
    """Subtracts `strength` times the entropy of what is predicted; of labels, the mean of theirs."""

    def penalized(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        if are_labels(targets):
            chance = outputs.sigmoid()
            yes, no = F.logsigmoid(outputs), F.logsigmoid(-outputs)
            terms = -(chance * yes + (1.0 - chance) * no)
        else:
            terms = -outputs.softmax(-1) * outputs.log_softmax(-1)
        reward: Tensor = settings.strength * by_row(terms, targets)
        return loss(outputs, targets, weights) - reward

    return penalized


TECHNIQUE = LossTechnique(
    name="confidence_penalty",
    summary="Reward predictions that leave something open.",
    reference="Pereyra et al., Regularizing Neural Networks by Penalizing Confident Output "
    "Distributions, 2017",
    apply=confidence_penalty,
    settings=ConfidencePenaltySettings,
    memberwise=frozenset({"strength"}),
    fits=fits_classes,
)
