"""Zero mean and unit variance per feature or channel."""

from __future__ import annotations

import torch
from torch import Tensor

from pawl.techniques.data._affine import Summary, inverse, with_affine
from pawl.techniques.record import Facts, Settings
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split


def standardize(split: Split, settings: Settings) -> Split:
    """Computes `(x - mean) / std` with the training rows' mean and standard deviation."""
    return with_affine(split, _summarize, _combine)


def _summarize(chunk: Tensor) -> Summary:
    count = torch.tensor(float(len(chunk)), dtype=torch.float64, device=chunk.device)
    return count, *torch.var_mean(chunk, dim=0, correction=0)


def _combine(summaries: list[Summary]) -> tuple[Tensor, Tensor]:
    counts, variances, means = (torch.stack(each).double() for each in zip(*summaries, strict=True))
    share = (counts / counts.sum()).unsqueeze(1)
    mean = (share * means).sum(0)
    variance = (share * (variances + (means - mean) ** 2)).sum(0)
    return mean.float(), inverse(variance.sqrt().float())


def needs_numbers(facts: Facts) -> str | None:
    """Says that there is nothing to scale when no input is a number."""
    if any(spec.dtype != "int64" for spec in facts.schema.inputs):
        return None
    return "the task has no numeric inputs"


TECHNIQUE = DataTechnique(
    name="standardize",
    summary="Scale every feature (images: channel) to zero mean and unit variance.",
    reference="LeCun et al., Efficient BackProp, 1998, section 4.3",
    apply=standardize,
    group="scaling",
    fits=needs_numbers,
)
