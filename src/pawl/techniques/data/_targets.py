"""Targets as numbers, for what relates columns to them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pawl.kinds import KINDS
from pawl.techniques.values import Split


def count_of(kind: str, outputs: int) -> int:
    """Returns how many numbers `numbers_of` makes of a row's target."""
    return 1 if kind == "binary" else outputs


def numbers_of(split: Split) -> Tensor:
    """Returns all targets as numbers, `[E, O]` double, on the CPU: of one class of several 0 and 1.

    Of two classes the second; values in units of the training rows' deviation.
    """
    assert split.schema is not None
    targets, kind = split.examples.known_targets.cpu(), KINDS[split.schema.kind]
    if kind.exclusive:
        found = F.one_hot(targets, split.schema.num_outputs).double()
        return found[:, 1:] if split.schema.kind == "binary" else found
    found = targets.double().reshape(len(targets), -1)
    if kind.scaled:
        own = found[split.rows]
        found = (found - own.mean(0)) / own.std(0, correction=0).clamp_min(torch.finfo().tiny)
    return found
