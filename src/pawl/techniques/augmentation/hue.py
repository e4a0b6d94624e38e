"""Images in other colors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pawl.techniques.augmentation._colors import MOST
from pawl.techniques.augmentation._images import needs_colors, on_images, signed
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class HueSettings(Settings):
    """Settings of `hue`."""

    degrees: float = number(20.0, 3.0, 90.0, "largest angle, either way", log=True)


def hue(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Turns each image's colors about the axis of grays by a random angle.

    The angle is uniform between minus and plus `degrees`; by 120 degrees red would become green.
    `degrees` and `key` are `[N]`.
    """

    def change(x: Tensor) -> Tensor:
        x = x.float()
        return turned(x, signed(key, x.shape[1], settings.degrees * (math.pi / 180)))

    return on_images(batch, change)


def turned(x: Tensor, angle: Tensor) -> Tensor:
    """Returns images `[N, B, 3, H, W]` with colors turned by angles `[N, B]`.

    Rodrigues' rotation about `k = (1, 1, 1) / sqrt(3)`: `x cos + (k x x) sin + k (k . x) (1 - cos)`. The
    mean of the channels stays.
    """
    cos, sin = (f(angle)[:, :, None, None, None] for f in (torch.cos, torch.sin))
    mean = x.mean(2, keepdim=True)
    crossed = (x.roll(1, dims=2) - x.roll(-1, dims=2)) * (1 / math.sqrt(3))
    return (mean + cos * (x - mean) + sin * crossed).clamp(0.0, MOST)


TECHNIQUE = BatchTechnique(
    name="hue",
    summary="Shift the colors of images at random.",
    reference="Haeberli, Matrix Operations for Image Processing, 1993",
    apply=hue,
    phase=Phase.VALUES,
    settings=HueSettings,
    memberwise=frozenset({"degrees"}),
    raw=True,
    fits=needs_colors,
)
