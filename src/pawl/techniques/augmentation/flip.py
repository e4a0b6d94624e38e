"""Horizontal flips."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.techniques.augmentation._images import needs_images, on_images
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class FlipSettings(Settings):
    """Settings of `flip`."""

    probability: float = number(0.5, 0.05, 0.5, "share of images that are flipped")


def flip(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Mirrors random images left to right; `probability` and `key` are `[N]`."""

    def change(x: Tensor) -> Tensor:
        chosen = rng.uniform(key, (x.shape[1],)) < settings.probability.unsqueeze(1)
        return torch.where(chosen[:, :, None, None, None], x.flip(-1), x)

    return on_images(batch, change)


TECHNIQUE = BatchTechnique(
    name="flip",
    summary="Mirror random images left to right.",
    reference="Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep CNNs, 2012",
    apply=flip,
    phase=Phase.GEOMETRY,
    settings=FlipSettings,
    memberwise=frozenset({"probability"}),
    fits=needs_images,
)
