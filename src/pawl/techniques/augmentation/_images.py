"""What image augmentations share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor

from pawl.techniques.record import Batch, Facts

_IMAGE_RANK = 3


def needs_images(facts: Facts) -> str | None:
    """Says that there are no images `[C, H, W]` among the inputs."""
    if any(len(spec.shape) == _IMAGE_RANK for spec in facts.schema.inputs):
        return None
    return "the task has no images"


def on_images(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """Applies `change` to every image input, `[N, B, C, H, W]`."""
    inputs = {
        name: change(x) if x.dim() == _IMAGE_RANK + 2 else x for name, x in batch.inputs.items()
    }
    return dataclasses.replace(batch, inputs=inputs)
