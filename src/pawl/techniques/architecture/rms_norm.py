"""Root mean square normalization."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models import ChannelRMSNorm
from pawl.models.normalizing import normalize, reject_normalization
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


def rms_norm(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Divides each row by its root mean square, of maps over channels and space.

    In place of the model's normalization, else before each activation.
    """
    return normalize(module, sample, _make, nn.RMSNorm)


def _make(shape: tuple[int, ...]) -> nn.Module:
    return nn.RMSNorm(shape[0]) if len(shape) == 1 else ChannelRMSNorm(shape[0])


def _fits(facts: Facts) -> str | None:
    return reject_normalization(facts.module, facts.sample, _make, nn.RMSNorm)


TECHNIQUE = ModelTechnique(
    name="rms_norm",
    summary="Divide each row by its root mean square: before activations, or as the model does now.",
    reference="Zhang and Sennrich, Root Mean Square Layer Normalization, NeurIPS 2019",
    apply=rms_norm,
    phase=Phase.NORMALIZATION,
    group="normalization",
    fits=_fits,
)
