"""Generalized cross-entropy, between cross-entropy and the mean absolute error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pawl.techniques.losses._classes import are_labels, by_row, fits_classes, wanted
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import LossTechnique, LossTerm
from pawl.techniques.values import Targets


class GeneralizedCrossEntropySettings(Settings):
    """Settings of `generalized_cross_entropy`."""

    power: float = number(0.5, 0.05, 1.0, "0 is cross-entropy, 1 the mean absolute error (q)")


def generalized_cross_entropy(loss: LossTerm, settings: Any) -> LossTerm:
    """Trains `(1 - p^power) / power` for the right class's probability `p`, in place of `-log p`.

    Rows that stay wrong, as those with a wrong label do, pull less: the slope is that of cross-entropy
    times `p^power`. Labels are classes of two each. The paper's pruning of rows is not part of it.
    """

    def robust(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        right, power = wanted(outputs, targets), settings.power
        if are_labels(targets):
            yes = _boxed(F.logsigmoid(outputs), power)
            no = _boxed(F.logsigmoid(-outputs), power)
            return by_row(right * yes + (1.0 - right) * no, targets)
        return by_row(right * _boxed(outputs.log_softmax(-1), power), targets)

    return robust


def _boxed(log_chance: Tensor, power: Tensor) -> Tensor:
    return -torch.expm1(power * log_chance) / power


TECHNIQUE = LossTechnique(
    name="generalized_cross_entropy",
    summary="Let rows that stay wrong, as by a wrong label, count less.",
    reference="Zhang and Sabuncu, Generalized Cross Entropy Loss for Training Deep Neural Networks with "
    "Noisy Labels, NeurIPS 2018",
    apply=generalized_cross_entropy,
    phase=Phase.INSTEAD,
    settings=GeneralizedCrossEntropySettings,
    memberwise=frozenset({"power"}),
    group="loss",
    fits=fits_classes,
)
