"""DropConnect: random weights are left out in training."""

from __future__ import annotations

from typing import Any

from torch import nn

from pawl.data.types import Inputs
from pawl.models import KeyedDropConnect
from pawl.models.surgery import replace
from pawl.techniques.record import Facts, Phase, Settings, number
from pawl.techniques.stages import ModelTechnique


class DropConnectSettings(Settings):
    """Settings of `drop_connect`."""

    rate: float = number(0.1, 0.01, 0.6, "share of weights set to zero", log=True)


def drop_connect(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Leaves out random weights of each linear layer in training; the others are `1 / (1 - rate)` times.

    One draw serves all rows of a batch, and the mean weights predict; the paper draws for each row, and
    predicts by the moments of what it drew.
    """
    replace(module, lambda _, m: KeyedDropConnect.of(m, settings.rate) if _is_linear(m) else None)
    return module


def _is_linear(module: nn.Module) -> bool:
    # Not its subclasses, whose weights are used elsewhere; nor what is frozen.
    return type(module) is nn.Linear and isinstance(module.weight, nn.Parameter)


def _fits(facts: Facts) -> str | None:
    if any(_is_linear(m) for m in facts.module.modules()):
        return None
    return "the model has no linear layer that trains"


TECHNIQUE = ModelTechnique(
    name="drop_connect",
    summary="Set random weights of linear layers to zero in training.",
    reference="Wan et al., Regularization of Neural Networks using DropConnect, ICML 2013",
    apply=drop_connect,
    phase=Phase.DROPOUT,
    settings=DropConnectSettings,
    memberwise=frozenset({"rate"}),
    fits=_fits,
)
