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
"""Of numbers in a group: of two, signs would be left, and of one nothing."""


def group_norm(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Normalizes each row's channels in up to eight groups; of rows of steps each step's.

    Groups have eight numbers at least. In place of the model's normalization, else before each
    activation.
    """
    return normalize(module, sample, _make, _over_last)


def _make(shape: tuple[int, ...]) -> nn.Module:
    return _grouped(shape[0], math.prod(shape[1:]))


def _grouped(count: int, places: int) -> nn.Module:
    groups = math.gcd(_GROUPS, count)
    while groups > 1 and count // groups * places < _FEWEST:
        groups //= 2
    return nn.GroupNorm(groups, count)


def _over_last(count: int) -> nn.Module:
    return AlongLast(_grouped(count, 1), apart=True)


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
