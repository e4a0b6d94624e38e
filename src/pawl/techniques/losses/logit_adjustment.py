"""Logit adjustment: rare classes count like frequent ones."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from pawl.kinds import NOTHING
from pawl.techniques.losses._classes import fits_classes
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split


class LogitAdjustmentSettings(Settings):
    """Settings of `logit_adjustment`."""

    strength: float = number(1.0, 0.1, 2.0, "share of the classes' own chances (tau)")


def logit_adjustment(split: Split, settings: Any) -> Split:
    """Adds `strength log P(class)` to the outputs in the loss, by the classes' shares of training rows.

    The model need not learn how frequent classes are, and predicts as if all were equally so: what is
    right for balanced accuracy or the mean over classes, and wrong for plain accuracy or probabilities.
    Of labels, `strength log(p / (1 - p))` is added; each class counts half a row more than it has, and
    places without one do not count.
    """
    targets = split.examples.targets
    assert targets is not None
    own = targets[split.rows]
    if own.is_floating_point():
        count = own.sum(0) + 0.5
        prior = torch.log(count) - torch.log(len(own) + 1.0 - count)
    else:
        known = targets[targets != NOTHING]
        shares = own[own != NOTHING].bincount(minlength=int(known.max()) + 1) + 0.5
        prior = torch.log(shares / shares.sum())
    offset: Tensor = settings.strength * prior
    return dataclasses.replace(split, offset=offset.expand(len(targets), -1))


TECHNIQUE = DataTechnique(
    name="logit_adjustment",
    summary="Let rare classes count like frequent ones.",
    reference="Menon et al., Long-tail Learning via Logit Adjustment, ICLR 2021",
    apply=logit_adjustment,
    phase=Phase.ROW_WEIGHTS,
    settings=LogitAdjustmentSettings,
    memberwise=frozenset({"strength"}),
    in_loss=True,
    fits=fits_classes,
)
