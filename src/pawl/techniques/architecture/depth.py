"""Number of hidden layers."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import Net
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


class DepthSettings(Settings):
    """Settings of `depth`."""

    layers: int = Field(3, ge=1, le=6, description="hidden layers (images: convolutions per stage)")


def depth(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Rebuilds the network with another number of layers."""
    assert isinstance(module, Net)
    return module.rebuilt(depth=settings.layers)


def needs_own_net(facts: Facts) -> str | None:
    """Says that a user's model fixes its own layers."""
    if isinstance(facts.module, Net):
        return None
    return "your model fixes its own layers; blocks is for those"


TECHNIQUE = ModelTechnique(
    name="depth",
    summary="Number of hidden layers, or of convolutions per stage.",
    reference="Montufar et al., On the Number of Linear Regions of Deep Neural Networks, 2014",
    apply=depth,
    phase=Phase.DEPTH,
    settings=DepthSettings,
    fits=needs_own_net,
)
