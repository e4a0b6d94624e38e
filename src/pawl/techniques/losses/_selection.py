"""What losses share that count some rows of a batch, by their own losses.

Shape legend: `B` rows of a batch.
"""

from __future__ import annotations

from torch import Tensor

from pawl.techniques.record import Facts


def fits_rows(facts: Facts) -> str | None:
    """Refuses losses of the user's own."""
    if facts.own_loss:
        return "your own loss may give one number for a batch, of which no rows can be chosen"
    return None


def ranks(losses: Tensor) -> Tensor:
    """Returns how many rows of the batch have a smaller loss, `[B]`; of equal ones, the first have."""
    return losses.detach().argsort(stable=True).argsort()
