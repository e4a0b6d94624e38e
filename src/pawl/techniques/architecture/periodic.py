"""Periodic embeddings of numbers (PBLD)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import Periodic, TabularNet, flat
from pawl.techniques.architecture.piecewise_linear import needs_few_numbers
from pawl.techniques.record import Phase, Settings
from pawl.techniques.stages import ModelTechnique

_OUTPUTS, _DEVIATION = 3, 0.1


class PeriodicSettings(Settings):
    """Settings of `periodic`."""

    frequencies: Literal[8, 16, 32] = Field(16, description="cosines per number")


def periodic(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Gives the first layer, beside each number, three learned mixtures of cosines of it.

    `[x_f, W_f cos(2 pi (w_f x_f + b_f)) + c_f]`, `w_f` drawn from `N(0, 0.1^2)`. Frequencies are
    those of scaled numbers. Smaller than the paper's first form (a linear layer with bias per number in
    place of one for all, and no ReLU), as RealMLP has it.
    """
    assert isinstance(module, TabularNet)
    for name in module.numbers:
        width = flat(sample[name]).shape[1]
        encoder = Periodic(width, settings.frequencies, _OUTPUTS, _DEVIATION)
        module.encode(name, encoder, width * _OUTPUTS)
    return module


TECHNIQUE = ModelTechnique(
    name="periodic",
    summary="Embed each number by learned mixtures of cosines of it.",
    reference="Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep Learning, "
    "2022; as in Holzmueller et al., Better by Default (RealMLP), 2024",
    apply=periodic,
    phase=Phase.ENCODING,
    group="encoding",
    settings=PeriodicSettings,
    fits=needs_few_numbers,
)
