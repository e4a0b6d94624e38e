"""Trimmed loss: the rows of a batch with the largest losses do not count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pawl.techniques.losses._selection import count, fits_rows, ranks
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import LossTechnique, LossTerm
from pawl.techniques.values import Targets


class TrimmedLossSettings(Settings):
    """Settings of `trimmed_loss`."""

    share: float = number(0.05, 0.01, 0.5, "share of a batch that is left out", log=True)


def trimmed_loss(loss: LossTerm, settings: Any) -> LossTerm:
    """Leaves out the `share` largest losses of a batch (rounded down, never all).

    Rows with a wrong label or target are often among them. Each step chooses from its batch; the paper
    trains for long between two choices.
    """

    def trimmed(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        losses = loss(outputs, targets, weights)
        size = len(losses)
        kept = count(1.0 - settings.share, size)
        return torch.where(ranks(losses) < kept, losses * (size / kept), 0.0)

    return trimmed


TECHNIQUE = LossTechnique(
    name="trimmed_loss",
    summary="Leave out the rows of a batch with the largest losses.",
    reference="Shen and Sanghavi, Learning with Bad Training Data via Iterative Trimmed Loss "
    "Minimization, ICML 2019",
    apply=trimmed_loss,
    phase=Phase.LIMIT,
    settings=TrimmedLossSettings,
    memberwise=frozenset({"share"}),
    group="selection_by_loss",
    fits=fits_rows,
)
