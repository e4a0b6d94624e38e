"""Zero mean and unit variance per feature or channel."""

from __future__ import annotations

import torch
from torch import Tensor

from pawl.techniques.data._affine import inverse, with_affine
from pawl.techniques.record import Facts, Settings, Split, Stage, Technique


def standardize(split: Split, settings: Settings) -> Split:
    """Computes `(x - mean) / std` with the training rows' mean and standard deviation."""
    return with_affine(split, _fit)


def _fit(chunks: list[Tensor]) -> tuple[Tensor, Tensor]:
    count = sum(len(chunk) for chunk in chunks)
    mean = torch.stack([chunk.double().sum(0) for chunk in chunks]).sum(0) / count
    square = torch.stack([((chunk.double() - mean) ** 2).sum(0) for chunk in chunks]).sum(0)
    return mean.float(), inverse((square / count).sqrt().float())


def needs_numbers(facts: Facts) -> str | None:
    """Says that there is nothing to scale when no input is a number."""
    if any(spec.dtype != "int64" for spec in facts.schema.inputs):
        return None
    return "the task has no numeric inputs"


TECHNIQUE = Technique(
    name="standardize",
    stage=Stage.DATA,
    summary="Scale every feature (images: channel) to zero mean and unit variance.",
    reference="LeCun et al., Efficient BackProp, 1998, section 4.3",
    apply=standardize,
    group="scaling",
    writes=frozenset({"inputs"}),
    fits=needs_numbers,
)
