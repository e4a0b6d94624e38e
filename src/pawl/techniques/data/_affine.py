"""What the scaling techniques share: statistics over training rows, per feature or channel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pawl.data.types import Inputs
from pawl.models import Affine
from pawl.techniques.record import Split

_IMAGE_RANK = 4
_TINY = 1e-12


def scaled_names(inputs: Inputs) -> list[str]:
    """Returns the inputs that are numbers (not codes)."""
    return [name for name, tensor in inputs.items() if tensor.is_floating_point()]


def per_feature(x: Tensor) -> Tensor:
    """Returns `x` as `[values, features]`: an image's channels, else the last axis."""
    if x.dim() == _IMAGE_RANK:
        x = x.movedim(1, -1)
    return x.reshape(-1, x.shape[-1] if x.dim() > 1 else 1)


def with_affine(split: Split, fit: Callable[[list[Tensor]], tuple[Tensor, Tensor]]) -> Split:
    """Appends the layer `(x - shift) * scale`; `fit` gets an input's chunks, `[values, K]`."""
    chunks = split.chunks()
    shift: Inputs = {}
    scale: Inputs = {}
    for name in scaled_names(chunks[0]):
        is_image = chunks[0][name].dim() == _IMAGE_RANK
        for target, value in zip(
            (shift, scale), fit([per_feature(chunk[name]) for chunk in chunks]), strict=True
        ):
            target[name] = value.view(-1, 1, 1) if is_image else value
    if not shift:
        return split
    return Split(
        split.examples, split.rows, (*split.layers, Affine(shift, scale)), split.batch_size
    )


def inverse(spread: Tensor) -> Tensor:
    """Returns `1 / spread`, and 1 where there is no spread."""
    return torch.where(spread > _TINY, 1.0 / spread.clamp_min(_TINY), torch.ones_like(spread))
