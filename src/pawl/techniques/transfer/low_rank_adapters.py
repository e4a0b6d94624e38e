"""A pretrained model's weights stay, and small products that are added to them train."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn
from torch.nn.utils import parametrize

from pawl.data.types import Inputs
from pawl.models import adapt, freeze
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique
from pawl.techniques.transfer._starts import head, needs_body

_PROJECTIONS = ("weight", "in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
_ADAPTED = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.MultiheadAttention


class LowRankAdaptersSettings(Settings):
    """Settings of `low_rank_adapters`."""

    rank: Literal[2, 4, 8, 16] = Field(4, description="of the products")


def low_rank_adapters(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Adds a product of two thin matrices to each matrix but the last layer's; the matrices stay.

    Linear layers, convolutions without groups and the projections of attention have them. The last layer
    trains as it is, and so do biases, scales and shifts. The products are zero at first, so the function
    is kept; the exported graph has the sums. On a CPU a step takes about as long as one that trains all
    weights: what is saved is state of the optimizer, and what is gained is that less can be overfitted.
    """
    last = head(module, sample)
    for layer in _layers(module, last):
        for own in _PROJECTIONS:
            if isinstance(getattr(layer, own, None), nn.Parameter):
                adapt(layer, own, settings.rank)
    return freeze(module)


def _layers(module: nn.Module, last: str) -> list[nn.Module]:
    return [
        each
        for name, each in module.named_modules()
        if isinstance(each, _ADAPTED)
        and name != last
        and getattr(each, "groups", 1) == 1
        and not parametrize.is_parametrized(each)
    ]


def _fits(facts: Facts) -> str | None:
    if reason := needs_body(facts):
        return reason
    if not _layers(facts.module, head(facts.module, facts.sample)):
        return "the model has no linear layer or convolution but the last"
    return None


TECHNIQUE = ModelTechnique(
    name="low_rank_adapters",
    summary="Train low-rank changes of a pretrained model's weights.",
    reference="Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022",
    apply=low_rank_adapters,
    phase=Phase.START,
    settings=LowRankAdaptersSettings,
    group="trained",
    fits=_fits,
)
