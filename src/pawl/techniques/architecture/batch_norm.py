"""Batch normalization."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models.surgery import insert_before_activations, reject_normalization
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


def batch_norm(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Puts batch normalization in front of each activation."""
    return insert_before_activations(module, sample, _make)


def _make(shape: tuple[int, ...]) -> nn.Module:
    return nn.BatchNorm1d(shape[0]) if len(shape) == 1 else nn.BatchNorm2d(shape[0])


def needs_activations(facts: Facts) -> str | None:
    """Says why normalization cannot be inserted."""
    return reject_normalization(facts.module, facts.sample)


TECHNIQUE = ModelTechnique(
    name="batch_norm",
    summary="Normalize each unit over the batch, in front of its activation.",
    reference="Ioffe and Szegedy, Batch Normalization, 2015",
    apply=batch_norm,
    phase=Phase.NORMALIZATION,
    group="normalization",
    fits=needs_activations,
)
