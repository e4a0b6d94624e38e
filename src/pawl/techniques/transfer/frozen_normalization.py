"""Batch normalization by the statistics that a pretrained model came with."""

from __future__ import annotations

from typing import Any

from torch import nn

from pawl.data.types import Inputs
from pawl.models import hold, normalizing_by_batch
from pawl.techniques.record import Facts, Phase
from pawl.techniques.stages import ModelTechnique
from pawl.techniques.transfer._starts import needs_weights


def frozen_normalization(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Keeps all layers with running statistics in evaluation mode; their scales and shifts still train.

    Small batches of few rows would give poor statistics, and drift away from what the layers behind them
    were trained with. It hurts where the new rows are spread unlike the old ones.
    """
    for each in normalizing_by_batch(module):
        hold(each)
    return module


def _fits(facts: Facts) -> str | None:
    if reason := needs_weights(facts):
        return reason
    if not normalizing_by_batch(facts.module):
        return "the model has no batch normalization"
    return None


TECHNIQUE = ModelTechnique(
    name="frozen_normalization",
    summary="Keep the statistics of a pretrained model's batch normalization.",
    reference="Chen and Zhang, as fixed in He et al., Mask R-CNN, ICCV 2017, section 3.1",
    apply=frozen_normalization,
    phase=Phase.BLOCKS,
    fits=_fits,
)
