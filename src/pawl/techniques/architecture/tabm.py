"""Many predictors in one network (TabM-mini)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.kinds import KINDS
from pawl.models import MemberHeads, Spread, TabularNet
from pawl.techniques.architecture._tables import needs_table_net
from pawl.techniques.record import Phase, Settings
from pawl.techniques.stages import ModelTechnique


class TabMSettings(Settings):
    """Settings of `tabm`."""

    members: Literal[8, 16, 32] = Field(16, description="predictors in one network")


def tabm(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Makes the network predict several times a row, each time from inputs scaled in another way.

    With `K` members: `y_k = head_k(body(r_k * x))`, `r_k` drawn from N(0, 1) and trained, the body
    shared. Each `y_k` has its own loss, and the mean of these is what is trained; deployed, the mean of
    their values or probabilities is one prediction. A step costs `K` forward and backward passes.

    The paper draws one scale for all columns that a feature is encoded by; here each column has its own.
    """
    assert isinstance(module, TabularNet)
    stem, out = module.stem.layer, module.out
    assert isinstance(stem, nn.Linear)
    assert isinstance(out, nn.Linear)
    module.spread = Spread(torch.randn(settings.members, stem.in_features))
    kind = KINDS[module.spec.kind]
    module.out = MemberHeads(settings.members, out.in_features, out.out_features, kind)
    return module


TECHNIQUE = ModelTechnique(
    name="tabm",
    summary="Train many predictors in one network; they share all but input scales and last layers.",
    reference="Gorishniy et al., TabM: Advancing Tabular Deep Learning with Parameter-Efficient "
    "Ensembling, 2025 (TabM-mini)",
    apply=tabm,
    phase=Phase.COPIES,
    settings=TabMSettings,
    fits=needs_table_net,
)
