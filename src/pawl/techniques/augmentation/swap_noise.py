"""Features of one row in another."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.techniques.augmentation._columns import needs_columns
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class SwapNoiseSettings(Settings):
    """Settings of `swap_noise`."""

    probability: float = number(0.1, 0.01, 0.5, "share of features that are replaced", log=True)


def swap_noise(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Replaces random features of each row by those of random rows of the batch.

    Acts on raw columns, so that a gap comes with its flag. The row keeps its target.

    Args:
        batch: Tensors `[N, B]` and `[N, B, F]`.
        settings: `probability` `[N]`.
        key: `[N]`.
    """
    swapped = {}
    for index, (name, x) in enumerate(batch.inputs.items()):
        own = rng.fold(key, 111 + index)
        shape = tuple(x.shape[1:])
        chance = settings.probability.view(-1, *([1] * (x.dim() - 1)))
        count = x.shape[1]
        other = torch.floor(rng.uniform(rng.fold(own, 1), shape) * count).long()
        replaced = rng.uniform(rng.fold(own, 2), shape) < chance
        swapped[name] = torch.where(replaced, x.gather(1, other.clamp_max(count - 1)), x)
    return dataclasses.replace(batch, inputs=swapped)


TECHNIQUE = BatchTechnique(
    name="swap_noise",
    summary="Replace random features of each row by other rows'.",
    reference="Bahri et al., SCARF: Self-Supervised Contrastive Learning using Random Feature "
    "Corruption, 2022",
    apply=swap_noise,
    phase=Phase.VALUES,
    settings=SwapNoiseSettings,
    memberwise=frozenset({"probability"}),
    raw=True,
    fits=needs_columns,
)
