"""What image augmentations share.

Shape legend: `N` members, `B` images of a batch, `C` channels, `H` and `W` height and width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor

from pawl import rng
from pawl.data.types import InputSpec
from pawl.kinds import KINDS
from pawl.techniques.record import Facts
from pawl.techniques.values import Batch

_IMAGE_RANK = 3
_COLORS = 3


def _images(facts: Facts) -> list[InputSpec]:
    return [spec for spec in facts.schema.inputs if len(spec.shape) == _IMAGE_RANK]


def has_images(facts: Facts) -> str | None:
    """Says that there are no images `[C, H, W]` among the inputs."""
    return None if _images(facts) else "the task has no images"


def needs_images(facts: Facts) -> str | None:
    """Says that there are no images `[C, H, W]` among the inputs, or that their pixels must stay."""
    if not _images(facts):
        return "the task has no images"
    if KINDS[facts.schema.kind].has_places:
        return "targets lie on the pixels, which would move away from them"
    return None


def needs_pixels(facts: Facts) -> str | None:
    """Says that there are no images, or some whose range of values is not known."""
    if not _images(facts):
        return "the task has no images"
    if any(spec.dtype != "uint8" for spec in _images(facts)):
        return "it needs pixels from 0 to 255 (uint8), and these images are other numbers"
    return None


def needs_colors(facts: Facts) -> str | None:
    """Says the same, or that images have no colors."""
    reason = needs_pixels(facts)
    if reason is None and any(spec.shape[0] != _COLORS for spec in _images(facts)):
        return "it needs images in color, with 3 channels"
    return reason


def on_images(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """Applies `change` to every image input, `[N, B, C, H, W]`."""
    inputs = {
        name: change(x) if x.dim() == _IMAGE_RANK + 2 else x for name, x in batch.inputs.items()
    }
    return dataclasses.replace(batch, inputs=inputs)


def signed(key: Tensor, count: int, largest: Tensor) -> Tensor:
    """Draws from `[-largest, largest)`: `[N, B]`, given keys and largest values `[N]`, `B` of each."""
    return (2.0 * rng.uniform(key, (count,)) - 1.0) * largest.unsqueeze(1)
