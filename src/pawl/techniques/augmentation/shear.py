"""Sheared images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.techniques.augmentation._geometry import mapped
from pawl.techniques.augmentation._images import needs_images, on_images, signed
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class ShearSettings(Settings):
    """Settings of `shear`."""

    amount: float = number(
        0.2, 0.03, 0.6, "largest shift, relative to the distance from the middle"
    )


def shear(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Shifts each image's rows in proportion to their height, and its columns alike.

    Both proportions are uniform between minus and plus `amount`; what comes in from outside is zero.
    `amount` and `key` are `[N]`.
    """

    def change(x: Tensor) -> Tensor:
        rows = signed(rng.fold(key, 51), x.shape[1], settings.amount)
        columns = signed(rng.fold(key, 52), x.shape[1], settings.amount)
        one = torch.ones_like(rows)
        return mapped(x, (one, rows, columns, one))

    return on_images(batch, change)


TECHNIQUE = BatchTechnique(
    name="shear",
    summary="Shear images at random.",
    reference="Simard, Steinkraus and Platt, Best Practices for Convolutional Neural Networks, 2003",
    apply=shear,
    phase=Phase.GEOMETRY,
    settings=ShearSettings,
    memberwise=frozenset({"amount"}),
    fits=needs_images,
)
