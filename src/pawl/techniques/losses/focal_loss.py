"""Focal loss."""

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

_LEAST = 1e-6


class FocalLossSettings(Settings):
    """Settings of `focal_loss`."""

    focus: float = number(1.0, 0.2, 5.0, "how much less rows count that are nearly right (gamma)")


def focal_loss(loss: LossTerm, settings: Any) -> LossTerm:
    """Trains `-(1 - p)^focus log p` for the right class's probability `p`, in place of `-log p`.

    Labels are classes of two each, and soft labels weigh the terms of classes. The paper's weights of
    classes are not part of it.
    """

    def focal(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        right = wanted(outputs, targets)
        if are_labels(targets):
            yes = _focal(F.logsigmoid(outputs), settings.focus)
            no = _focal(F.logsigmoid(-outputs), settings.focus)
            return by_row(right * yes + (1.0 - right) * no, targets)
        return by_row(right * _focal(outputs.log_softmax(-1), settings.focus), targets)

    return focal


def _focal(log_chance: Tensor, focus: Tensor) -> Tensor:
    # A power below 1 has no slope at 0.
    missing = (-torch.expm1(log_chance)).clamp_min(_LEAST)
    return -(missing**focus) * log_chance


TECHNIQUE = LossTechnique(
    name="focal_loss",
    summary="Let rows that are nearly right count less.",
    reference="Lin et al., Focal Loss for Dense Object Detection, ICCV 2017",
    apply=focal_loss,
    phase=Phase.INSTEAD,
    settings=FocalLossSettings,
    memberwise=frozenset({"focus"}),
    group="loss",
    fits=fits_classes,
)
