"""Stochastic depth."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from pawl.data.types import Inputs
from pawl.models import StochasticDepth, is_pretrained
from pawl.models.blocks import made_residual, no_residual_parts, place, residual_parts
from pawl.models.edits import edited
from pawl.techniques.record import Facts, Phase, Settings, number
from pawl.techniques.stages import ModelTechnique


class StochasticDepthSettings(Settings):
    """Settings of `stochastic_depth`."""

    rate: float = number(
        0.1, 0.01, 0.6, "share of rows that the last block is left out for", log=True
    )


def stochastic_depth(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Leaves residual blocks out at random, row by row; rates rise to the last block in equal steps.

    Layers of pawl's own networks that keep the shape get a skip connection for it.
    """
    found = residual_parts(module, sample)
    scaled = is_pretrained(module)
    edits: list[Callable[[nn.Module], None]] = []
    for position, part in enumerate(found, 1):
        share = position / len(found)
        edits.append(partial(place, part=part, make=partial(_wrapped, share=share, scaled=scaled)))
    module = edited(module, sample, edits, "stochastic_depth", same=scaled)
    for each in module.modules():
        if isinstance(each, StochasticDepth):
            each.rate.fill_(each.share * settings.rate)
    return module


def _wrapped(block: nn.Module, share: float, *, scaled: bool) -> nn.Module:
    return StochasticDepth(made_residual(block), share, scaled=scaled)


def _fits(facts: Facts) -> str | None:
    return no_residual_parts(facts.module, facts.sample)


TECHNIQUE = ModelTechnique(
    name="stochastic_depth",
    summary="Leave residual blocks out at random in training.",
    reference="Huang et al., Deep Networks with Stochastic Depth, ECCV 2016",
    apply=stochastic_depth,
    phase=Phase.GATES,
    settings=StochasticDepthSettings,
    memberwise=frozenset({"rate"}),
    fits=_fits,
)
