"""Training in bfloat16, where a device is faster at it."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models import MixedPrecision
from pawl.techniques.record import Phase, Settings
from pawl.techniques.stages import ModelTechnique


def mixed_precision(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Runs matrix products and convolutions of training steps in bfloat16, all else in float32.

    bfloat16 has the range of float32, so that gradients need no scaling, as float16's would. It is not
    searched: whether it pays is a matter of the device, not of the data. Accelerators and processors
    with such products train up to several times faster; others more slowly.
    """
    return MixedPrecision(module)


TECHNIQUE = ModelTechnique(
    name="mixed_precision",
    summary="Multiply in bfloat16 while training; weights and predictions stay float32.",
    reference="Kalamkar et al., A Study of BFLOAT16 for Deep Learning Training, 2019",
    apply=mixed_precision,
    phase=Phase.PRECISION,
    searched=False,
)
