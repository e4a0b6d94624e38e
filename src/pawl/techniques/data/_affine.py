"""What the scaling techniques share: statistics over training rows, per feature or channel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from pawl.data.types import Inputs
from pawl.models import Affine
from pawl.techniques.values import Split

_IMAGE_RANK = 4
_TINY = 1e-12
Summary = tuple[Tensor, ...]


def scaled_names(inputs: Inputs) -> list[str]:
    """Returns the inputs that are numbers (not codes)."""
    return [name for name, tensor in inputs.items() if tensor.is_floating_point()]


def per_feature(x: Tensor) -> Tensor:
    """Returns `x` as `[values, features]`: an image's channels, else the last axis."""
    if x.dim() == _IMAGE_RANK:
        x = x.movedim(1, -1)
    return x.reshape(-1, x.shape[-1] if x.dim() > 1 else 1)


def with_affine(
    split: Split,
    summarize: Callable[[Tensor], Summary],
    combine: Callable[[list[Summary]], tuple[Tensor, Tensor]],
) -> Split:
    """Appends the layer `(x - shift) * scale`.

    Args:
        split: The training rows, read once and never held as a whole.
        summarize: Returns what is needed of a chunk of an input, `[values, K]`.
        combine: Makes `shift` and `scale`, `[K]`, of an input's summaries.
    """
    found: dict[str, list[Summary]] = {}
    rank: dict[str, int] = {}
    for chunk in split.chunks():
        for name in scaled_names(chunk):
            found.setdefault(name, []).append(summarize(per_feature(chunk[name])))
            rank[name] = chunk[name].dim()
    if not found:
        return split
    shift: Inputs = {}
    scale: Inputs = {}
    for name, summaries in found.items():
        for target, value in zip((shift, scale), combine(summaries), strict=True):
            target[name] = value.view(-1, 1, 1) if rank[name] == _IMAGE_RANK else value
    return dataclasses.replace(split, layers=(*split.layers, Affine(shift, scale)))


def inverse(spread: Tensor) -> Tensor:
    """Returns `1 / spread`, and 1 where there is no spread."""
    return torch.where(spread > _TINY, 1.0 / spread.clamp_min(_TINY), torch.ones_like(spread))
