"""What image augmentations share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor

from pawl.kinds import KINDS
from pawl.techniques.record import Facts
from pawl.techniques.values import Batch

_IMAGE_RANK = 3


def needs_images(facts: Facts) -> str | None:
    """Says that there are no images `[C, H, W]` among the inputs, or that their pixels must stay."""
    if not any(len(spec.shape) == _IMAGE_RANK for spec in facts.schema.inputs):
        return "the task has no images"
    if KINDS[facts.schema.kind].has_places:
        return "targets lie on the pixels, which would move away from them"
    return None


def on_images(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """Applies `change` to every image input, `[N, B, C, H, W]`."""
    inputs = {
        name: change(x) if x.dim() == _IMAGE_RANK + 2 else x for name, x in batch.inputs.items()
    }
    return dataclasses.replace(batch, inputs=inputs)
