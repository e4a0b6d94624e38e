"""Units per hidden layer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import Net
from pawl.techniques.architecture.depth import needs_own_net
from pawl.techniques.record import Phase, Settings
from pawl.techniques.stages import ModelTechnique


class WidthSettings(Settings):
    """Settings of `width`."""

    factor: Literal[0.5, 1.5, 2.0, 3.0] = Field(  # type: ignore[valid-type]  # pydantic takes floats
        2.0, description="units relative to the plain net"
    )


def width(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Rebuilds the network with wider or narrower layers (multiples of 8 units)."""
    assert isinstance(module, Net)
    units = max(8, 8 * round(module.shape.width * settings.factor / 8))
    return module.rebuilt(width=units)


TECHNIQUE = ModelTechnique(
    name="width",
    summary="Units per hidden layer, or channels per stage.",
    reference="Zagoruyko and Komodakis, Wide Residual Networks, 2016",
    apply=width,
    phase=Phase.WIDTH,
    settings=WidthSettings,
    fits=needs_own_net,
)
