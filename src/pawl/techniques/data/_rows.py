"""What techniques that change which rows train share."""

from __future__ import annotations

import torch
from torch import Tensor

from pawl.kinds import KINDS
from pawl.techniques.record import Facts
from pawl.techniques.values import Split


def needs_classes(facts: Facts) -> str | None:
    """Says that a row is not of one of several classes."""
    kind = KINDS[facts.schema.kind]
    if not kind.exclusive or kind.has_places:
        return "it needs rows of one class each"
    return None


def classes_of(split: Split) -> tuple[Tensor, Tensor]:
    """Returns each training row's class, `[R]`, from 0 on without gaps, and how many rows each has.

    On the CPU.
    """
    targets = split.examples.known_targets[split.rows].cpu()
    _, codes, counts = torch.unique(targets, return_inverse=True, return_counts=True)
    return codes, counts
