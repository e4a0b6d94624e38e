"""Large batches in little memory."""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic import Field

from pawl.techniques.record import Settings
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split


class GradientAccumulationSettings(Settings):
    """Settings of `gradient_accumulation`."""

    steps: int = Field(4, ge=2, le=256, description="parts of a batch, one after the other")


def gradient_accumulation(split: Split, settings: Any) -> Split:
    """Cuts each batch into `steps` parts whose gradients are added up before the optimizer's step.

    The gradient is that of the whole batch, `g = sum_i (n_i / n) g_i` for parts of `n_i` of `n` rows, so
    that rate, schedule and optimizer see the batch that `batch_size` says, while activations take the
    memory of a part. Equal to the large batch but for rounding, where a row's loss does not depend on
    others: batch normalization has the statistics of a part, and dropout draws other numbers. A loss
    of the user's own that is one number for a batch must be a mean over rows.
    """
    return dataclasses.replace(split, pieces=settings.steps)


TECHNIQUE = DataTechnique(
    name="gradient_accumulation",
    summary="Compute a batch's gradient in parts, in the memory of one part.",
    reference="Ott et al., Scaling Neural Machine Translation, WMT 2018, section 3.3",
    apply=gradient_accumulation,
    settings=GradientAccumulationSettings,
    conflicts=frozenset({"curriculum", "hard_examples", "trimmed_loss"}),
    searched=False,
)
