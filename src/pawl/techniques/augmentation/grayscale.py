"""Images without their colors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.techniques.augmentation._colors import each, gray
from pawl.techniques.augmentation._images import needs_colors, on_images
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class GrayscaleSettings(Settings):
    """Settings of `grayscale`."""

    probability: float = number(0.1, 0.02, 0.5, "share of images that lose their colors")


def grayscale(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Turns random images gray, in all channels; `probability` and `key` are `[N]`."""

    def change(x: Tensor) -> Tensor:
        x = x.float()
        chosen = rng.uniform(key, (x.shape[1],)) < settings.probability.unsqueeze(1)
        return torch.where(each(chosen), gray(x), x)

    return on_images(batch, change)


TECHNIQUE = BatchTechnique(
    name="grayscale",
    summary="Take the colors out of random images.",
    reference="Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, 2020",
    apply=grayscale,
    phase=Phase.VALUES,
    settings=GrayscaleSettings,
    memberwise=frozenset({"probability"}),
    raw=True,
    fits=needs_colors,
)
