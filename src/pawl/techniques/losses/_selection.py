"""What losses share that count some rows of a batch, by their own losses.

Shape legend: `B` rows of a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pawl.techniques.record import Facts


def fits_rows(facts: Facts) -> str | None:
    """Refuses losses of the user's own."""
    if facts.own_loss:
        return "your own loss may give one number for a batch, of which no rows can be chosen"
    return None


def count(share: Tensor, size: int) -> Tensor:
    """Returns how many of `size` rows a share is, rounded up, at least 1; `[]` to `[]`."""
    return torch.ceil(share * size - 1e-3).clamp_min(1.0)  # 0.7 of 10 are 7


def ranks(losses: Tensor) -> Tensor:
    """Returns how many rows of the batch have a smaller loss, `[B]`; of equal ones, the first have."""
    return losses.detach().argsort(stable=True).argsort()
