"""Rotated images."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pawl.techniques.augmentation._geometry import mapped
from pawl.techniques.augmentation._images import needs_images, on_images, signed
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class RotationSettings(Settings):
    """Settings of `rotation`."""

    degrees: float = number(15.0, 2.0, 90.0, "largest angle, either way", log=True)


def rotation(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Turns each image about its middle by a random angle; what comes in from outside is zero.

    The angle is uniform between minus and plus `degrees`. `degrees` and `key` are `[N]`.
    """

    def change(x: Tensor) -> Tensor:
        angle = signed(key, x.shape[1], settings.degrees * (math.pi / 180))
        cos, sin = torch.cos(angle), torch.sin(angle)
        return mapped(x, (cos, -sin, sin, cos))

    return on_images(batch, change)


TECHNIQUE = BatchTechnique(
    name="rotation",
    summary="Turn images by random angles.",
    reference="Shorten and Khoshgoftaar, A survey on Image Data Augmentation for Deep Learning, 2019",
    apply=rotation,
    phase=Phase.GEOMETRY,
    settings=RotationSettings,
    memberwise=frozenset({"degrees"}),
    fits=needs_images,
)
