"""What augmentations of sequences share: inputs of steps, `[T, C]`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor

from pawl.techniques.record import Facts
from pawl.techniques.values import Batch

_AXES = 4
"""Members, rows, steps, channels."""


def needs_steps(facts: Facts) -> str | None:
    """Says that no input is a sequence of numbers `[T, C]`."""
    specs = facts.schema.inputs
    if any(len(s.shape) == 2 and s.dtype.startswith("float") and not s.is_mask for s in specs):
        return None
    return "the task has no sequences of numbers"


def on_steps(batch: Batch, change: Callable[[Tensor, int], Tensor]) -> Batch:
    """Applies `change` to every sequence of numbers, `[N, B, T, C]`, and the number of the input."""
    inputs = {
        name: change(x, index) if x.dim() == _AXES and x.is_floating_point() else x
        for index, (name, x) in enumerate(batch.inputs.items())
    }
    return dataclasses.replace(batch, inputs=inputs)
