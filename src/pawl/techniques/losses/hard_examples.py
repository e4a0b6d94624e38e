"""Hard example mining: the rows of a batch with the largest losses count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pawl.techniques.losses._selection import count, fits_rows, ranks
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import LossTechnique, LossTerm
from pawl.techniques.values import Targets


class HardExamplesSettings(Settings):
    """Settings of `hard_examples`."""

    share: float = number(0.7, 0.2, 0.95, "share of a batch that counts")


def hard_examples(loss: LossTerm, settings: Any) -> LossTerm:
    """Trains the mean of the `share` largest losses of a batch (rounded up)."""

    def mined(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        losses = loss(outputs, targets, weights)
        size = len(losses)
        kept = count(settings.share, size)
        return torch.where(ranks(losses) >= size - kept, losses * (size / kept), 0.0)

    return mined


TECHNIQUE = LossTechnique(
    name="hard_examples",
    summary="Train the rows of a batch with the largest losses only.",
    reference="Shrivastava, Gupta and Girshick, Training Region-based Object Detectors with Online Hard "
    "Example Mining, CVPR 2016",
    apply=hard_examples,
    phase=Phase.LIMIT,
    settings=HardExamplesSettings,
    memberwise=frozenset({"share"}),
    group="selection_by_loss",
    fits=fits_rows,
)
