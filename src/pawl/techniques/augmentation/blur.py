"""Blurred images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pawl import rng
from pawl.techniques.augmentation._colors import each
from pawl.techniques.augmentation._images import has_images, on_images
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch

_RADIUS = 3
_LEAST = 0.1


class BlurSettings(Settings):
    """Settings of `blur`."""

    deviation: float = number(1.0, 0.2, 2.0, "largest standard deviation, in pixels")
    probability: float = number(0.5, 0.05, 1.0, "share of images that are blurred")


def blur(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Blurs random images by Gaussians of random widths.

    The standard deviation is uniform between 0.1 pixels and `deviation`; weights reach three pixels
    far, and pixels of the edge go on beyond it. `deviation`, `probability` and `key` are `[N]`.
    """

    def change(x: Tensor) -> Tensor:
        count = x.shape[1]
        chosen = rng.uniform(rng.fold(key, 61), (count,)) < settings.probability.unsqueeze(1)
        range_ = (settings.deviation - _LEAST).unsqueeze(1)
        width = _LEAST + range_ * rng.uniform(rng.fold(key, 62), (count,))
        return smoothed(x, torch.where(chosen, width, 0.01))

    return on_images(batch, change)


def smoothed(x: Tensor, deviation: Tensor) -> Tensor:
    """Returns images `[N, B, C, H, W]` under Gaussians of deviations `[N, B]`, one axis at a time."""
    steps = torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float32, device=x.device)
    weights = torch.softmax(-0.5 * (steps / deviation.unsqueeze(-1)).square(), dim=-1)
    height, width = x.shape[-2:]
    padded = F.pad(x.flatten(0, 1), [_RADIUS] * 4, mode="replicate").view(
        *x.shape[:3], height + 2 * _RADIUS, width + 2 * _RADIUS
    )
    shifts = [each(w) for w in weights.unbind(-1)]
    down = sum(w * padded[..., k : k + height, :] for k, w in enumerate(shifts))
    assert isinstance(down, Tensor)
    found = sum(w * down[..., k : k + width] for k, w in enumerate(shifts))
    assert isinstance(found, Tensor)
    return found


TECHNIQUE = BatchTechnique(
    name="blur",
    summary="Blur random images.",
    reference="Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, 2020",
    apply=blur,
    phase=Phase.VALUES,
    settings=BlurSettings,
    memberwise=frozenset({"deviation", "probability"}),
    fits=has_images,
)
