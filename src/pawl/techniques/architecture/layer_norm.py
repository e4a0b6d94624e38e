"""Layer normalization."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models.normalizing import normalize, reject_normalization
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


def layer_norm(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Normalizes each row, of maps over channels and space.

    In place of the model's normalization, else before each activation.
    """
    return normalize(module, sample, _make, nn.LayerNorm)


def _make(shape: tuple[int, ...]) -> nn.Module:
    return nn.LayerNorm(shape[0]) if len(shape) == 1 else nn.GroupNorm(1, shape[0])


def _fits(facts: Facts) -> str | None:
    return reject_normalization(facts.module, facts.sample, _make, nn.LayerNorm)


TECHNIQUE = ModelTechnique(
    name="layer_norm",
    summary="Normalize each row over its units: before activations, or as the model normalizes now.",
    reference="Ba, Kiros and Hinton, Layer Normalization, 2016",
    apply=layer_norm,
    phase=Phase.NORMALIZATION,
    group="normalization",
    fits=_fits,
)
