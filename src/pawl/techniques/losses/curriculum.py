"""A curriculum: rows with small losses first, then all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pawl.techniques.losses._selection import count, fits_rows, ranks
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import LossTechnique, LossTerm
from pawl.techniques.values import Targets


class CurriculumSettings(Settings):
    """Settings of `curriculum`."""

    start: float = number(0.5, 0.1, 0.9, "share of a batch that counts at first")
    until: float = number(0.5, 0.1, 1.0, "share of the training from which on all rows count")


def curriculum(loss: LossTerm, settings: Any) -> LossTerm:
    """Trains the smallest losses of a batch: a share of it that grows from `start` to 1 along a line.

    The paper chooses by a threshold for losses, of all rows, and trains to the end between two choices.
    """

    def paced(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        losses = loss(outputs, targets, weights)
        size = len(losses)
        assert targets.progress is not None
        behind = (targets.progress.max() / settings.until).clamp_max(1.0)
        kept = count(settings.start + (1.0 - settings.start) * behind, size)
        return torch.where(ranks(losses) < kept, losses * (size / kept), 0.0)

    return paced


TECHNIQUE = LossTechnique(
    name="curriculum",
    summary="Begin with the rows that are learned already, then train all.",
    reference="Kumar, Packer and Koller, Self-Paced Learning for Latent Variable Models, NeurIPS 2010",
    apply=curriculum,
    phase=Phase.LIMIT,
    settings=CurriculumSettings,
    memberwise=frozenset({"start", "until"}),
    group="selection_by_loss",
    fits=fits_rows,
)
