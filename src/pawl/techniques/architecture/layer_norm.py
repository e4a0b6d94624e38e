"""Layer normalization."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models.surgery import insert_before_activations
from pawl.techniques.architecture.batch_norm import needs_activations
from pawl.techniques.record import Phase, Settings
from pawl.techniques.stages import ModelTechnique


def layer_norm(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Puts layer normalization in front of each activation (over channels and space for images)."""
    return insert_before_activations(module, sample, _make)


def _make(shape: tuple[int, ...]) -> nn.Module:
    return nn.LayerNorm(shape[0]) if len(shape) == 1 else nn.GroupNorm(1, shape[0])


TECHNIQUE = ModelTechnique(
    name="layer_norm",
    summary="Normalize each row over its units, in front of the activation.",
    reference="Ba, Kiros and Hinton, Layer Normalization, 2016",
    apply=layer_norm,
    phase=Phase.NORMALIZATION,
    group="normalization",
    fits=needs_activations,
)
