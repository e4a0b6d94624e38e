"""Random crops of padded images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.techniques.augmentation._images import needs_images, on_images
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class RandomCropSettings(Settings):
    """Settings of `random_crop`."""

    shift: float = number(0.125, 0.03, 0.25, "largest shift, relative to the image's side")


def random_crop(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Shifts each image by a random number of pixels; what comes in from outside is zero.

    The same as padding with zeros and cropping at random. `shift` and `key` are `[N]`.
    """

    def change(x: Tensor) -> Tensor:
        count, height, width = x.shape[1], x.shape[-2], x.shape[-1]
        down = _sources(rng.fold(key, 31), count, height, settings.shift).unsqueeze(-1)
        across = _sources(rng.fold(key, 32), count, width, settings.shift).unsqueeze(-2)
        inside = (down >= 0) & (down < height) & (across >= 0) & (across < width)
        source = down.clamp(0, height - 1) * width + across.clamp(0, width - 1)
        # One gather for both axes, all channels alike.
        pixels = x.flatten(-2)
        index = source.flatten(-2).unsqueeze(2).expand_as(pixels)
        found = pixels.gather(-1, index).view_as(x)
        return torch.where(inside.unsqueeze(2), found, x.new_zeros(()))

    return on_images(batch, change)


def _sources(key: Tensor, count: int, length: int, shift: Tensor) -> Tensor:
    """Returns where each place of an axis is read, `[N, B, length]`, outside of it or inside."""
    largest = torch.floor(shift * length + 0.5).clamp_min(1.0).unsqueeze(1)
    offset = torch.floor(rng.uniform(key, (count,)) * (2 * largest + 1)) - largest
    places = torch.arange(length, device=key.device)
    return places + offset.to(torch.int64).unsqueeze(-1)


TECHNIQUE = BatchTechnique(
    name="random_crop",
    summary="Shift images by a few random pixels.",
    reference="He et al., Deep Residual Learning for Image Recognition, 2016, section 4.2",
    apply=random_crop,
    phase=Phase.GEOMETRY,
    settings=RandomCropSettings,
    memberwise=frozenset({"shift"}),
    fits=needs_images,
)
