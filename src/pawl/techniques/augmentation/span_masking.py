"""Sequences with some steps missing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.techniques.augmentation._sequences import needs_steps, on_steps
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class SpanMaskingSettings(Settings):
    """Settings of `span_masking`."""

    share: float = number(0.2, 0.02, 0.6, "largest share of the steps that is hidden")


def span_masking(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Sets one run of steps of each sequence to 0, all channels alike: of scaled numbers, their middle.

    Its length is uniform between 0 and `share` of the steps, its start anywhere that leaves room for it.

    Args:
        batch: Sequences are `[N, B, T, C]`.
        settings: `share` `[N]`.
        key: `[N]`.
    """

    def change(x: Tensor, index: int) -> Tensor:
        rows, steps = x.shape[1:3]
        own = rng.fold(key, 131 + index)
        length = steps * settings.share.unsqueeze(1) * rng.uniform(rng.fold(own, 1), (rows,))
        start = (steps - length) * rng.uniform(rng.fold(own, 2), (rows,))
        place = torch.arange(steps, device=x.device) + 0.5
        begin, end = start.unsqueeze(2), (start + length).unsqueeze(2)
        gone = ((place >= begin) & (place < end)).unsqueeze(3)
        return torch.where(gone, torch.zeros_like(x), x)

    return on_steps(batch, change)


TECHNIQUE = BatchTechnique(
    name="span_masking",
    summary="Hide a run of steps of each sequence.",
    reference="Park et al., SpecAugment, Interspeech 2019 (time masking)",
    apply=span_masking,
    phase=Phase.VALUES,
    settings=SpanMaskingSettings,
    memberwise=frozenset({"share"}),
    fits=needs_steps,
)
