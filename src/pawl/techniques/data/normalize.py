"""Every feature or channel between 0 and 1."""

from __future__ import annotations

import torch
from torch import Tensor

from pawl.techniques.data._affine import Summary, inverse, with_affine
from pawl.techniques.data.standardize import needs_numbers
from pawl.techniques.record import Settings
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split


def normalize(split: Split, settings: Settings) -> Split:
    """Computes `(x - min) / (max - min)` with the training rows' minimum and maximum."""
    return with_affine(split, lambda chunk: (chunk.amin(0), chunk.amax(0)), _combine)


def _combine(summaries: list[Summary]) -> tuple[Tensor, Tensor]:
    lows, highs = zip(*summaries, strict=True)
    low, high = torch.stack(lows).amin(0), torch.stack(highs).amax(0)
    return low, inverse(high - low)


TECHNIQUE = DataTechnique(
    name="normalize",
    summary="Scale every feature (images: channel) to the range from 0 to 1.",
    reference="Han, Kamber and Pei, Data Mining, 3rd ed., section 3.5.2 (min-max normalization)",
    apply=normalize,
    group="scaling",
    fits=needs_numbers,
)
