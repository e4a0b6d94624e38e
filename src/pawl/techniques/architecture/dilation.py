"""Convolutions that look further."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models.operations import traced
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


class DilationSettings(Settings):
    """Settings of `dilation`."""

    rate: Literal[2, 3] = Field(2, description="places from one weight to the next")


def dilation(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Spreads 3 by 3 convolutions that keep the map's size, where the map is as large as they become.

    Weights stay; padding grows along.
    """
    for name in _spread(module, sample, settings.rate):
        layer: Any = module.get_submodule(name)
        layer.dilation = (settings.rate, settings.rate)
        if layer.padding != "same":
            layer.padding = (settings.rate, settings.rate)
        layer._reversed_padding_repeated_twice = [settings.rate] * 4
    return module


def _spread(module: nn.Module, sample: Inputs, rate: int) -> list[str]:
    trace, _ = traced(module, lambda m: m(sample))
    found = []
    for op in trace.operations:
        layer = op.layer
        if type(layer) is not nn.Conv2d:
            continue
        keeps = layer.padding in ((1, 1), "same") and layer.stride == (1, 1)
        usual = layer.kernel_size == (3, 3) and layer.dilation == (1, 1)
        if keeps and usual and min(trace.shapes[op.inputs[0]][-2:]) >= 2 * rate + 1:
            found.append(op.address.partition("#")[0])
    return found


def _fits(facts: Facts) -> str | None:
    if _spread(facts.module, facts.sample, 2):
        return None
    return "the model has no 3 by 3 convolution that keeps the size of a map of at least 5 by 5"


TECHNIQUE = ModelTechnique(
    name="dilation",
    summary="Spread 3 by 3 convolutions, so that they look further.",
    reference="Yu and Koltun, Multi-Scale Context Aggregation by Dilated Convolutions, ICLR 2016",
    apply=dilation,
    phase=Phase.COPIES,
    settings=DilationSettings,
    fits=_fits,
)
