"""Skip connections."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models import Net
from pawl.techniques.architecture.depth import needs_own_net
from pawl.techniques.record import Phase, Settings
from pawl.techniques.stages import ModelTechnique


def residual(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Rebuilds the network so that layers that keep the width add their input to their output."""
    assert isinstance(module, Net)
    return module.rebuilt(residual=True)


TECHNIQUE = ModelTechnique(
    name="residual",
    summary="Add each hidden layer's input to its output.",
    reference="He et al., Deep Residual Learning for Image Recognition, 2016",
    apply=residual,
    phase=Phase.BLOCKS,
    fits=needs_own_net,
)
