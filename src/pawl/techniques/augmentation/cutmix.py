"""CutMix."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.techniques.augmentation._images import needs_images, on_images
from pawl.techniques.augmentation.random_erasing import inside
from pawl.techniques.record import Facts, Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class CutmixSettings(Settings):
    """Settings of `cutmix`."""

    alpha: float = number(1.0, 0.1, 2.0, "both parameters of the Beta distribution", log=True)
    probability: float = number(0.5, 0.1, 1.0, "share of steps whose batches are mixed")


def cutmix(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Pastes a rectangle of the image before in the (shuffled) batch into each image.

    The rectangle has the image's proportions and the area `1 - Beta(alpha, alpha)`; its middle is
    anywhere, and what reaches beyond the edge is cut off. It is the same for a member's whole batch. The
    loss is mixed by the share of pixels that are left.

    Args:
        batch: Tensors `[N, B, ...]`, all images of one size.
        settings: `alpha` and `probability`, `[N]`.
        key: `[N]`.
    """
    kept = rng.beta(rng.fold(key, 81), settings.alpha)
    mixes = rng.uniform(rng.fold(key, 82), ()) < settings.probability
    side = torch.where(mixes, torch.sqrt(1.0 - kept), 0.0)
    left, top = (rng.uniform(rng.fold(key, 83 + k), ()) - 0.5 for k in range(2))
    pasted = inside(next(iter(batch.inputs.values())), (left, top), (side, side))
    mixed = on_images(batch, lambda x: torch.where(pasted[:, None, None], x.roll(1, dims=1), x))
    share = 1.0 - pasted.float().mean((-2, -1))
    rows = share.unsqueeze(1).expand(batch.targets.values.shape[:2])
    return dataclasses.replace(mixed, targets=batch.targets.mixed(rows))


def _fits(facts: Facts) -> str | None:
    if any(len(spec.shape) != 3 for spec in facts.schema.inputs):
        return needs_images(facts) or "it mixes images alone, and a row has other inputs too"
    if len({spec.shape[1:] for spec in facts.schema.inputs}) > 1:
        return "it cuts the same out of all images of a row, and theirs are of unlike sizes"
    return needs_images(facts)


TECHNIQUE = BatchTechnique(
    name="cutmix",
    summary="Paste a part of one image into another, and mix their targets.",
    reference="Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers, 2019",
    apply=cutmix,
    phase=Phase.MIXTURE,
    settings=CutmixSettings,
    memberwise=frozenset({"alpha", "probability"}),
    conflicts=frozenset({"mixup"}),
    fits=_fits,
)
