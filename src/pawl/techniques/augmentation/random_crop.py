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
        x = _shifted(x, -2, _offsets(rng.fold(key, 31), count, settings.shift * height))
        return _shifted(x, -1, _offsets(rng.fold(key, 32), count, settings.shift * width))

    return on_images(batch, change)


def _offsets(key: Tensor, count: int, largest: Tensor) -> Tensor:
    whole = torch.floor(largest + 0.5).clamp_min(1.0).unsqueeze(1)
    return torch.floor(rng.uniform(key, (count,)) * (2 * whole + 1)).to(torch.int64) - whole.to(
        torch.int64
    )


def _shifted(x: Tensor, axis: int, offset: Tensor) -> Tensor:
    length = x.shape[axis]
    source = torch.arange(length, device=x.device) + offset.unsqueeze(-1)
    inside = (source >= 0) & (source < length)
    source = source.clamp(0, length - 1)
    if axis == -2:  # [N, B, H] to [N, B, 1, H, 1]
        source, inside = source[:, :, None, :, None], inside[:, :, None, :, None]
    else:
        source, inside = source[:, :, None, None, :], inside[:, :, None, None, :]
    return torch.where(inside, x.gather(axis, source.expand_as(x)), torch.zeros_like(x))


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
