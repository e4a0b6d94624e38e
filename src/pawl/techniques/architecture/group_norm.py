"""Group normalization."""

from __future__ import annotations

import math

from torch import nn

from pawl.data.types import Inputs
from pawl.models import AlongLast
from pawl.models.normalizing import normalizable, normalize, reject_normalization
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_GROUPS = 8
_FEWEST = 8
"""Of units in a group of a vector: of a few, little more than signs would be left."""


def group_norm(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Normalizes each row's channels in up to eight groups; of rows of steps each step's.

    Vectors have groups of eight units at least. In place of the model's normalization, else before each
    activation.
    """
    return normalize(module, sample, _make, _over_last)


def _make(shape: tuple[int, ...]) -> nn.Module:
    if len(shape) == 1:
        return _of_vectors(shape[0])
    return nn.GroupNorm(math.gcd(_GROUPS, shape[0]), shape[0])


def _of_vectors(count: int) -> nn.Module:
    groups = (g for g in range(_GROUPS, 1, -1) if count % g == 0 and count // g >= _FEWEST)
    return nn.GroupNorm(next(groups, 1), count)


def _over_last(count: int) -> nn.Module:
    return AlongLast(_of_vectors(count), apart=True)


def _fits(facts: Facts) -> str | None:
    seen = normalizable(facts.module, facts.sample)
    if seen and not any(len(shape) > 2 for shapes in seen.values() for shape in shapes):
        return "it is for maps [B, C, ...], and this model has vectors; layer_norm is for those"
    return reject_normalization(facts.module, facts.sample, _make, _over_last)


TECHNIQUE = ModelTechnique(
    name="group_norm",
    summary="Normalize each row's channels in groups: before activations, or as the model does now.",
    reference="Wu and He, Group Normalization, ECCV 2018",
    apply=group_norm,
    phase=Phase.NORMALIZATION,
    group="normalization",
    fits=_fits,
)
