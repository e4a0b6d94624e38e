"""Every feature or channel between 0 and 1."""

from __future__ import annotations

import torch
from torch import Tensor

from pawl.techniques.data._affine import inverse, with_affine
from pawl.techniques.data.standardize import needs_numbers
from pawl.techniques.record import Settings, Split, Stage, Technique


def normalize(split: Split, settings: Settings) -> Split:
    """Computes `(x - min) / (max - min)` with the training rows' minimum and maximum."""
    return with_affine(split, _fit)


def _fit(chunks: list[Tensor]) -> tuple[Tensor, Tensor]:
    low = torch.stack([chunk.amin(0) for chunk in chunks]).amin(0)
    high = torch.stack([chunk.amax(0) for chunk in chunks]).amax(0)
    return low, inverse(high - low)


TECHNIQUE = Technique(
    name="normalize",
    stage=Stage.DATA,
    summary="Scale every feature (images: channel) to the range from 0 to 1.",
    reference="Han, Kamber and Pei, Data Mining, 3rd ed., section 3.5.2 (min-max normalization)",
    apply=normalize,
    group="scaling",
    writes=frozenset({"inputs"}),
    fits=needs_numbers,
)
