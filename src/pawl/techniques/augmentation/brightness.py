"""Brighter and darker images."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.augmentation._colors import blended
from pawl.techniques.augmentation._images import needs_pixels, on_images, signed
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class BrightnessSettings(Settings):
    """Settings of `brightness`."""

    amount: float = number(0.3, 0.05, 0.95, "largest change of the factor 1")


def brightness(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Multiplies each image's pixels by a random factor.

    The factor is uniform between `1 - amount` and `1 + amount`. `amount` and `key` are `[N]`.
    """

    def change(x: Tensor) -> Tensor:
        x = x.float()
        return blended(x, 0.0, 1.0 + signed(key, x.shape[1], settings.amount))

    return on_images(batch, change)


TECHNIQUE = BatchTechnique(
    name="brightness",
    summary="Make images brighter or darker at random.",
    reference="Haeberli and Voorhies, Image Processing by Interpolation and Extrapolation, 1994",
    apply=brightness,
    phase=Phase.VALUES,
    settings=BrightnessSettings,
    memberwise=frozenset({"amount"}),
    raw=True,
    fits=needs_pixels,
)
