"""Batch normalization."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models import AlongLast
from pawl.models.normalizing import normalize, reject_normalization
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_BY_AXES = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d, 4: nn.BatchNorm3d}


def batch_norm(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Normalizes by batches: in place of the model's normalization, else before each activation."""
    return normalize(module, sample, _make, _over_last)


def _make(shape: tuple[int, ...]) -> nn.Module:
    return _BY_AXES[len(shape)](shape[0])


def _over_last(count: int) -> nn.Module:
    return AlongLast(nn.BatchNorm1d(count), apart=False)


def _fits(facts: Facts) -> str | None:
    return reject_normalization(facts.module, facts.sample, _make, _over_last)


TECHNIQUE = ModelTechnique(
    name="batch_norm",
    summary="Normalize each unit over the batch: before activations, or as the model normalizes now.",
    reference="Ioffe and Szegedy, Batch Normalization, 2015",
    apply=batch_norm,
    phase=Phase.NORMALIZATION,
    group="normalization",
    fits=_fits,
)
