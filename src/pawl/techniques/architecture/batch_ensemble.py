"""Members that share all weights but matrices of rank one (BatchEnsemble)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.kinds import KINDS
from pawl.models import Net, Pooled, RankOne, SequenceNet
from pawl.models.unit import Block
from pawl.techniques.architecture.depth import needs_own_net
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


class BatchEnsembleSettings(Settings):
    """Settings of `batch_ensemble`."""

    members: Literal[2, 4, 8] = Field(4, description="predictors in one network")


def batch_ensemble(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Makes a network predict several times a row; each layer's weights are its own up to two vectors.

    `y_k = (W (x * r_k)) * s_k + b_k` in every linear and convolutional layer, with `r_k` and `s_k` of
    random signs at the start. Each member has its own loss, and the mean of these is what is trained;
    deployed, the mean of their values or probabilities is one prediction. A step costs as many forward
    and backward passes as there are members, of the same rows for all.
    """
    assert isinstance(module, Net)
    kind, members = KINDS[module.spec.kind], settings.members
    blocks = [each for each in module.modules() if isinstance(each, Block)]
    for place, (parent, name) in enumerate(
        found for each in (*((block, "layer") for block in blocks), (module, "out"))
        for found in _layers(*each)
    ):  # fmt: skip
        setattr(parent, name, RankOne(getattr(parent, name), members, first=place == 0))
    module.out = Pooled(module.get_submodule("out"), members, kind)
    return module


def _layers(parent: nn.Module, name: str) -> list[tuple[nn.Module, str]]:
    """Returns where the linear and convolutional layers of a submodule are, which may be one itself."""
    child = parent.get_submodule(name)
    if isinstance(child, nn.Linear | nn.Conv2d):
        return [(parent, name)]
    return [found for inner, _ in child.named_children() for found in _layers(child, inner)]


def _fits(facts: Facts) -> str | None:
    if isinstance(facts.module, SequenceNet):
        return "what reads texts and sequences mixes their steps, and has no members"
    return needs_own_net(facts)


TECHNIQUE = ModelTechnique(
    name="batch_ensemble",
    summary="Train several predictors in one network; their weights differ by matrices of rank one.",
    reference="Wen, Tran and Ba, BatchEnsemble: An Alternative Approach to Efficient Ensemble and "
    "Lifelong Learning, ICLR 2020",
    apply=batch_ensemble,
    # Behind what looks at the first layer, before what goes behind layers.
    phase=Phase.ACTIVATION,
    conflicts=frozenset({"tabm"}),
    settings=BatchEnsembleSettings,
    fits=_fits,
)
