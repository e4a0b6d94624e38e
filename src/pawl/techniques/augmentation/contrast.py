"""Images of more and less contrast."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.augmentation._colors import blended, gray
from pawl.techniques.augmentation._images import needs_pixels, on_images, signed
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class ContrastSettings(Settings):
    """Settings of `contrast`."""

    amount: float = number(0.3, 0.05, 0.95, "largest change of the factor 1")


def contrast(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Multiplies each pixel's distance from its image's mean gray by a random factor.

    The factor is uniform between `1 - amount` and `1 + amount`. `amount` and `key` are `[N]`.
    """

    def change(x: Tensor) -> Tensor:
        x = x.float()
        return blended(
            x, gray(x).mean((-2, -1), keepdim=True), 1.0 + signed(key, x.shape[1], settings.amount)
        )

    return on_images(batch, change)


TECHNIQUE = BatchTechnique(
    name="contrast",
    summary="Change the contrast of images at random.",
    reference="Haeberli and Voorhies, Image Processing by Interpolation and Extrapolation, 1994",
    apply=contrast,
    phase=Phase.VALUES,
    settings=ContrastSettings,
    memberwise=frozenset({"amount"}),
    raw=True,
    fits=needs_pixels,
)
