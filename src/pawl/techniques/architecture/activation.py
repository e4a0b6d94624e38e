"""The nonlinearity."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models.surgery import ACTIVATIONS, NO_ACTIVATION, activations, replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


class ActivationSettings(Settings):
    """Settings of `activation`."""

    function: Literal[
        "relu", "leaky_relu", "prelu", "gelu", "silu", "mish", "selu", "sigmoid", "tanh"
    ] = Field("gelu", description="the function")


def activation(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Replaces every activation module by the one named."""
    names = set(activations(module))
    make = ACTIVATIONS[settings.function]
    replace(module, lambda name, _: make() if name in names else None)
    return module


def needs_activations(facts: Facts) -> str | None:
    """Says that no activation can be found as a module."""
    if activations(facts.module):
        return None
    return NO_ACTIVATION


TECHNIQUE = ModelTechnique(
    name="activation",
    summary="The nonlinearity: ReLU, LeakyReLU, PReLU, GELU, SiLU, Mish, SELU, Sigmoid or Tanh.",
    reference="Hendrycks and Gimpel, Gaussian Error Linear Units, 2016 (GELU, the default here)",
    apply=activation,
    phase=Phase.ACTIVATION,
    settings=ActivationSettings,
    fits=needs_activations,
)
