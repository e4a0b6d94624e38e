"""TrivialAugment: one random operation of random strength on each image.

Shape legend: `N` members, `B` images of a batch, `C` channels, `H` and `W` height and width.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional as F

from pawl import rng
from pawl.errors import did_you_mean
from pawl.techniques.augmentation._colors import MOST, blended, each, gray
from pawl.techniques.augmentation._geometry import places, sampled
from pawl.techniques.augmentation._images import needs_images, needs_pixels, on_images
from pawl.techniques.record import Facts, Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch

_ANGLE = 135 * math.pi / 180
_SHEAR, _FACTOR = 0.99, 0.99
_SHIFT = 0.5
_BITS = 6
_CENTER = 5.0  # the weight of a pixel where its eight neighbors have 1: Pillow's smoothing


class Operation(IntEnum):
    """What may happen to an image."""

    NOTHING = 0
    ROTATE = 1
    SHEAR_ROWS = 2
    SHEAR_COLUMNS = 3
    SHIFT_ACROSS = 4
    SHIFT_DOWN = 5
    BRIGHTNESS = 6
    CONTRAST = 7
    COLOR = 8
    SHARPNESS = 9
    POSTERIZE = 10
    SOLARIZE = 11
    STRETCH = 12


OPERATIONS = tuple(each.name.lower() for each in Operation)


class TrivialAugmentSettings(Settings):
    """Settings of `trivial_augment`."""

    strength: float = number(0.5, 0.1, 1.0, "largest strength, 1 being that of the wide space")
    operations: tuple[str, ...] = Field(
        OPERATIONS,
        description="what may happen to an image, one of these at random; all by default",
        json_schema_extra={"searched": False},
    )

    @field_validator("operations")
    @classmethod
    def _known(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        every = ", ".join(OPERATIONS)
        if not given:
            raise ValueError(f"a policy needs at least one operation; there are: {every}")
        for name in given:
            if name not in OPERATIONS:
                hint = did_you_mean(name, OPERATIONS)
                raise ValueError(f"unknown operation {name!r}{hint}; there are: {every}")
        return given


def trivial_augment(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Does one random operation of random strength to each image.

    Strengths are uniform between 0 and `strength`, those that have a sign with a random one. Unlike the
    paper's wide space images are shifted by at most half of a side, what comes in from outside is the
    image's mean color, and histograms are not equalized: that would be computed for all images of a
    batch, for one in fourteen that needs it. `strength` and `key` are `[N]`. Images whose classes go by
    which way they are turned, or by color, want a policy without such operations.
    """
    chosen = [float(OPERATIONS.index(name)) for name in settings.operations]

    def change(x: Tensor) -> Tensor:
        which, size, sign = (rng.uniform(rng.fold(key, 91 + k), (x.shape[1],)) for k in range(3))
        operation = torch.tensor(chosen, device=x.device)[torch.floor(which * len(chosen)).long()]
        strength = size * settings.strength.unsqueeze(1)
        return operated(x.float(), operation, strength, torch.where(sign < 0.5, -1.0, 1.0))

    return on_images(batch, change)


def operated(x: Tensor, operation: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Returns images after one operation each.

    Args:
        x: `[N, B, C, H, W]`, from 0 to 255.
        operation: Numbers of `Operation`, `[N, B]`.
        strength: From 0 to 1, `[N, B]`.
        sign: -1 or 1, `[N, B]`.
    """

    def only(which: Operation, value: Tensor, other: Tensor) -> Tensor:
        return torch.where(each(operation == which), value, other)

    blends = (operation >= Operation.BRIGHTNESS) & (operation <= Operation.SHARPNESS)
    factor = torch.where(blends, 1.0 + _FACTOR * sign * strength, 1.0)
    darkest, brightest = x.amin((-2, -1), keepdim=True), x.amax((-2, -1), keepdim=True)
    stretch = MOST / (brightest - darkest).clamp_min(1.0)
    step, limit = each(torch.exp2(torch.round(_BITS * strength))), each(MOST * (1.0 - strength))
    # One after the other, so that few results of the batch's size are held at a time.
    toward = only(Operation.CONTRAST, _mean(gray(x)), torch.zeros_like(darkest))
    toward = only(Operation.COLOR, gray(x), toward)
    toward = only(Operation.SHARPNESS, _smooth(x), toward)
    found = torch.where(
        each(blends), blended(x, toward, factor), _moved(x, operation, strength * sign)
    )
    found = only(Operation.POSTERIZE, torch.floor(x / step) * step, found)
    found = only(Operation.SOLARIZE, torch.where(x >= limit, MOST - x, x), found)
    return only(Operation.STRETCH, (x - darkest) * stretch, found)


def _moved(x: Tensor, operation: Tensor, amount: Tensor) -> Tensor:
    """Returns images turned, sheared or shifted, by signed strengths `[N, B]`."""

    def of(which: Operation, most: float) -> Tensor:
        return torch.where(operation == which, most * amount, 0.0)[:, :, None, None]

    height, width = x.shape[-2:]
    angle = of(Operation.ROTATE, _ANGLE)
    rows, columns = of(Operation.SHEAR_ROWS, _SHEAR), of(Operation.SHEAR_COLUMNS, _SHEAR)
    right, below = of(Operation.SHIFT_ACROSS, _SHIFT), of(Operation.SHIFT_DOWN, _SHIFT)
    cos, sin = torch.cos(angle), torch.sin(angle)
    across, down = places(x)
    read_across = cos * across + (rows - sin) * down + right * width
    read_down = (columns + sin) * across + cos * down + below * height
    mean = _mean(x)
    return sampled(x - mean, read_across, read_down) + mean


def _mean(x: Tensor) -> Tensor:
    return x.mean((-2, -1), keepdim=True)


def _smooth(x: Tensor) -> Tensor:
    """Returns images whose pixels are mixed with their eight neighbors; edges go on beyond."""
    height, width = x.shape[-2:]
    padded = F.pad(x.flatten(0, 1), [1] * 4, mode="replicate")
    down = padded[..., :height, :] + padded[..., 1:-1, :] + padded[..., 2:, :]
    nine = (down[..., :width] + down[..., 1:-1] + down[..., 2:]).view_as(x)
    return (nine + (_CENTER - 1.0) * x) / (_CENTER + 8.0)


def _fits(facts: Facts) -> str | None:
    return needs_images(facts) or needs_pixels(facts)


TECHNIQUE = BatchTechnique(
    name="trivial_augment",
    summary="Do one random operation of random strength to each image.",
    reference="Mueller and Hutter, TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation, "
    "2021",
    apply=trivial_augment,
    phase=Phase.VALUES,
    settings=TrivialAugmentSettings,
    memberwise=frozenset({"strength"}),
    raw=True,
    fits=_fits,
)
