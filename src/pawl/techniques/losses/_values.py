"""What losses of values share."""

from __future__ import annotations

from torch import Tensor

from pawl.kinds import KINDS
from pawl.techniques.record import Facts


def fits_values(facts: Facts) -> str | None:
    """Refuses tasks with classes, and losses of the user's own."""
    if KINDS[facts.schema.kind].has_classes:
        return "it is for values, and this task predicts classes"
    return "your own loss decides how errors count" if facts.own_loss else None


def by_row(errors: Tensor) -> Tensor:
    """Returns the mean over each row's targets or pixels, `[B]`, of `[B, *S]`."""
    return errors.flatten(1).mean(1) if errors.dim() > 1 else errors
