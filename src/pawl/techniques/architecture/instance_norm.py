"""Instance normalization."""

from __future__ import annotations

import math

from torch import nn

from pawl.data.types import Inputs
from pawl.models import AlongLast
from pawl.models.normalizing import normalizable, normalize, reject_normalization
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


def instance_norm(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Normalizes each channel of each row by itself.

    In place of the model's normalization, else before each activation. Of vectors,
    whose units are single numbers, nothing would be left: their activations stay as they are.
    """
    return normalize(module, sample, _make, _over_last)


def _make(shape: tuple[int, ...]) -> nn.Module | None:
    return None if len(shape) == 1 else _by_channel(shape[0])


def _by_channel(count: int) -> nn.Module:
    return nn.GroupNorm(count, count)  # the same, and PyTorch lets it be exported and vmapped


def _over_last(count: int) -> nn.Module:
    return AlongLast(_by_channel(count), apart=False)


def _fits(facts: Facts) -> str | None:
    seen = normalizable(facts.module, facts.sample)
    maps = [(name, s) for name, shapes in seen.items() for s in shapes if len(s) > 2]
    if seen and not maps:
        return "it is for maps [B, C, ...], and this model has vectors; layer_norm is for those"
    for name, shape in maps:
        if 1 in (math.prod(shape[2:]), math.prod(shape[1:-1])):
            return f"{name!r} sees maps of one place, of which nothing would be left"
    return reject_normalization(facts.module, facts.sample, _make, _over_last)


TECHNIQUE = ModelTechnique(
    name="instance_norm",
    summary="Normalize each channel of each row: before activations, or as the model does now.",
    reference="Ulyanov, Vedaldi and Lempitsky, Instance Normalization, 2016",
    apply=instance_norm,
    phase=Phase.NORMALIZATION,
    group="normalization",
    fits=_fits,
)
