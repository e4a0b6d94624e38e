"""Dropout."""

from __future__ import annotations

from typing import Any

from torch import nn

from pawl.data.types import Inputs
from pawl.models import KeyedDropout, dropouts
from pawl.models.surgery import activations, channel_axes, insert_after_activations
from pawl.techniques.record import Facts, Phase, Settings, number
from pawl.techniques.stages import ModelTechnique


class DropoutSettings(Settings):
    """Settings of `dropout`."""

    rate: float = number(0.1, 0.01, 0.6, "share of units set to zero", log=True)


def dropout(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Sets the rate of the model's dropout, or puts dropout behind each activation.

    Convolutional maps drop whole channels (Tompson et al., 2015).
    """
    present = dropouts(module)
    if present:
        for layer in present:
            layer.rate.fill_(settings.rate)
        return module
    axes, maps = (
        channel_axes(module, sample),
        any(isinstance(m, nn.Conv2d) for m in module.modules()),
    )

    def make(name: str) -> nn.Module:
        axis = axes.get(name)
        return KeyedDropout(settings.rate, channels=maps if axis is None else axis == 1)

    return insert_after_activations(module, make)


def _fits(facts: Facts) -> str | None:
    if dropouts(facts.module) or activations(facts.module):
        return None
    return "the model has neither dropout nor activations that are known"


TECHNIQUE = ModelTechnique(
    name="dropout",
    summary="Set random units to zero in training.",
    reference="Srivastava et al., Dropout, JMLR 2014",
    apply=dropout,
    phase=Phase.DROPOUT,
    settings=DropoutSettings,
    memberwise=frozenset({"rate"}),
    fits=_fits,
)
