"""Every feature by median and quartiles, with what is far out drawn in."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from pawl.data.types import Inputs
from pawl.models import Affine, SmoothClip
from pawl.techniques.data._affine import inverse, scaled_names
from pawl.techniques.data.standardize import needs_numbers
from pawl.techniques.record import Facts, Settings
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split

_LIMIT = 3.0
_MOST_VALUES = 50_000
_TINY = 1e-12


def robust_scale(split: Split, settings: Settings) -> Split:
    """Computes `z = (x - median) / (q75 - q25)`, then `z / sqrt(1 + (z / 3)^2)`, per feature.

    Quantiles are those of the training rows, of many some, evenly spread. Where half of them are equal,
    `z = 2 (x - median) / (max - min)`; where all are, 0.
    """
    seen: dict[str, list[Tensor]] = {}
    step = max(1, len(split.rows) // _MOST_VALUES)
    for chunk in split.chunks():
        for name in scaled_names(chunk):
            if chunk[name].dim() <= 2:
                seen.setdefault(name, []).append(chunk[name].reshape(len(chunk[name]), -1)[::step])
    if not seen:
        return split
    shift: Inputs = {}
    scale: Inputs = {}
    for name, chunks in seen.items():
        values = torch.cat(chunks).double()
        at = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=values.dtype, device=values.device)
        low, quarter, middle, three, high = torch.quantile(values, at, dim=0)
        spread = torch.where(three - quarter > _TINY, three - quarter, (high - low) / 2)
        shift[name], scale[name] = middle.float(), inverse(spread.float())
    layers = (*split.layers, Affine(shift, scale), SmoothClip(tuple(shift), _LIMIT))
    return dataclasses.replace(split, layers=layers)


def needs_vectors(facts: Facts) -> str | None:
    """Says that no input is a vector of numbers."""
    reason = needs_numbers(facts)
    if reason:
        return reason
    if any(s.dtype == "float32" and len(s.shape) <= 1 for s in facts.schema.inputs):
        return None
    return "no input is a vector of numbers"


TECHNIQUE = DataTechnique(
    name="robust_scale",
    summary="Scale every feature by its median and quartiles, and draw in what is far out.",
    reference="Holzmueller et al., Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on "
    "Tabular Data, 2024, section 3",
    apply=robust_scale,
    group="scaling",
    fits=needs_vectors,
)
