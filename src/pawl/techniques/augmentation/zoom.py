"""Images at other sizes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.augmentation._geometry import mapped
from pawl.techniques.augmentation._images import needs_images, on_images, signed
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class ZoomSettings(Settings):
    """Settings of `zoom`."""

    amount: float = number(0.2, 0.03, 1.0, "largest factor, less 1", log=True)


def zoom(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Scales each image about its middle by a random factor; what comes in from outside is zero.

    The factor's logarithm is uniform, so that images grow as often as they shrink:
    `(1 + amount)^u`, `u` between -1 and 1. `amount` and `key` are `[N]`.
    """

    def change(x: Tensor) -> Tensor:
        inverse = torch.exp(-signed(key, x.shape[1], torch.log1p(settings.amount)))
        none = torch.zeros_like(inverse)
        return mapped(x, (inverse, none, none, inverse))

    return on_images(batch, change)


TECHNIQUE = BatchTechnique(
    name="zoom",
    summary="Make images larger or smaller at random.",
    reference="Simard, Steinkraus and Platt, Best Practices for Convolutional Neural Networks, 2003",
    apply=zoom,
    phase=Phase.GEOMETRY,
    settings=ZoomSettings,
    memberwise=frozenset({"amount"}),
    fits=needs_images,
)
