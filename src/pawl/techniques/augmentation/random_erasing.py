"""Images with a rectangle missing."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.techniques.augmentation._geometry import places
from pawl.techniques.augmentation._images import has_images, on_images
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch

_LEAST_AREA = 0.02
_LONGEST = 3.3


class RandomErasingSettings(Settings):
    """Settings of `random_erasing`."""

    area: float = number(0.2, 0.03, 0.5, "largest share of an image that is erased")
    probability: float = number(0.5, 0.05, 1.0, "share of images with something erased")


def random_erasing(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Sets a random rectangle of random images to zero, the mean of standardized inputs.

    Its area is uniform between 2% and `area` of the image, the logarithm of height over width uniform
    up to 3.3 either way, its middle anywhere in the image; what reaches beyond the edge is cut off.
    `area`, `probability` and `key` are `[N]`.
    """

    def change(x: Tensor) -> Tensor:
        return torch.where(_rectangles(x, settings, key).unsqueeze(2), torch.zeros_like(x), x)

    return on_images(batch, change)


def _rectangles(x: Tensor, settings: Any, key: Tensor) -> Tensor:
    """Returns what is erased of each image, `[N, B, H, W]`."""
    chance, share, ratio, left, top = (
        rng.uniform(rng.fold(key, 71 + k), (x.shape[1],)) for k in range(5)
    )
    area = _LEAST_AREA + (settings.area - _LEAST_AREA).unsqueeze(1) * share
    area = torch.where(chance < settings.probability.unsqueeze(1), area, 0.0)
    stretch = torch.exp((ratio - 0.5) * math.log(_LONGEST))  # the root of height over width
    root = torch.sqrt(area)
    return inside(x, (left - 0.5, top - 0.5), (root / stretch, root * stretch))


def inside(x: Tensor, middle: tuple[Tensor, Tensor], size: tuple[Tensor, Tensor]) -> Tensor:
    """Returns which pixels of images `[..., H, W]` are in rectangles.

    Args:
        x: The images.
        middle: Across and down, relative to width and height, from the image's middle; any shape.
        size: Width and height, alike.

    Returns:
        That shape, and `[H, W]` behind it.
    """
    across, down = places(x)
    height, width = x.shape[-2:]
    (a, b), (w, h) = ([t[..., None, None] for t in pair] for pair in (middle, size))
    return ((across / width - a).abs() < w / 2) & ((down / height - b).abs() < h / 2)


TECHNIQUE = BatchTechnique(
    name="random_erasing",
    summary="Erase a rectangle of random images.",
    reference="Zhong et al., Random Erasing Data Augmentation, 2020",
    apply=random_erasing,
    phase=Phase.VALUES,
    settings=RandomErasingSettings,
    memberwise=frozenset({"area", "probability"}),
    fits=has_images,
)
