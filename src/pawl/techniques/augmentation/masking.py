"""Rows with some of their features missing."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.techniques.augmentation._columns import CATEGORIES, needs_columns
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class MaskingSettings(Settings):
    """Settings of `masking`."""

    probability: float = number(0.1, 0.01, 0.5, "share of features that are masked", log=True)


def masking(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Sets random features of random rows to 0.

    Of scaled numbers that is the middle, of categories the code of those that are missing or unknown.

    Args:
        batch: Tensors `[N, B]` and `[N, B, F]`.
        settings: `probability` `[N]`.
        key: `[N]`.
    """
    masked = dict(batch.inputs)
    for index, (name, x) in enumerate(batch.inputs.items()):
        if x.is_floating_point() or name == CATEGORIES:
            chance = settings.probability.view(-1, *([1] * (x.dim() - 1)))
            gone = rng.uniform(rng.fold(key, 101 + index), tuple(x.shape[1:])) < chance
            masked[name] = torch.where(gone, torch.zeros_like(x), x)
    return dataclasses.replace(batch, inputs=masked)


TECHNIQUE = BatchTechnique(
    name="masking",
    summary="Hide random features of each row.",
    reference="Vincent et al., Extracting and Composing Robust Features with Denoising "
    "Autoencoders, 2008",
    apply=masking,
    phase=Phase.VALUES,
    settings=MaskingSettings,
    memberwise=frozenset({"probability"}),
    fits=needs_columns,
)
