"""A learned scale for each input."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models import InputScale, TabularNet
from pawl.techniques.architecture._tables import needs_table_net
from pawl.techniques.record import Phase, Settings
from pawl.techniques.stages import ModelTechnique


def input_scale(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Multiplies each number that the first layer gets by a learned factor: a soft choice of features.

    `x_f (1 + 6 d_f)` with `d_f` from 0 on, so that an optimizer that takes steps of one size moves the
    factor six times as far as a weight.
    """
    assert isinstance(module, TabularNet)
    stem = module.stem.layer
    assert isinstance(stem, nn.Linear)
    module.scale = InputScale(stem.in_features)
    return module


TECHNIQUE = ModelTechnique(
    name="input_scale",
    summary="Scale each input of the network by a learned factor.",
    reference="Holzmueller et al., Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on "
    "Tabular Data, 2024, section 3",
    apply=input_scale,
    phase=Phase.COPIES,
    fits=needs_table_net,
)
