"""What losses of classes share.

Shape legend: `B` rows of a batch, `S` a row's places, `C` classes, `T` labels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pawl.kinds import KINDS, over_places
from pawl.techniques.record import Facts
from pawl.techniques.values import Targets


def fits_classes(facts: Facts) -> str | None:
    """Refuses tasks without classes, and losses of the user's own."""
    if not KINDS[facts.schema.kind].has_classes:
        return "it is for classes, and this task predicts values"
    return "your own loss decides how classes count" if facts.own_loss else None


def wanted(outputs: Tensor, targets: Targets) -> Tensor:
    """Returns what probabilities are taught, shaped as the outputs: `[B, *S, C]`; of labels `[B, T]`."""
    if targets.soft is not None:
        return targets.soft
    if are_labels(targets):
        return targets.values
    classes = torch.arange(outputs.shape[-1], device=outputs.device)
    return (targets.values.unsqueeze(-1) == classes).to(outputs.dtype)


def are_labels(targets: Targets) -> bool:
    """Tells whether any number of labels may be right, in place of one of several classes."""
    return targets.values.is_floating_point()


def by_row(values: Tensor, targets: Targets) -> Tensor:
    """Returns each row's value, `[B]`, of those of its classes: their sum, or of labels the mean."""
    if are_labels(targets):
        return values.mean(-1)
    return over_places(values.sum(-1), targets.values)
