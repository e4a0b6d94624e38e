"""Attention over the places of a map."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import MapAttention
from pawl.models.operations import channel_axis, traced
from pawl.models.surgery import ACTIVATION_TYPES, replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_MAPS, _FEWEST, _MOST = 4, 4, 1024


class SelfAttentionSettings(Settings):
    """Settings of `self_attention`."""

    reduction: Literal[1, 2, 4, 8] = Field(4, description="channels over units of queries and keys")


def self_attention(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Puts attention behind the last activation of a map of 4 to 1024 places; its weight starts at 0."""
    name, channels = _place(module, sample)

    def make(each: str, old: nn.Module) -> nn.Module | None:
        if each != name:
            return None
        return nn.Sequential(old, MapAttention(channels, settings.reduction))

    replace(module, make)
    return module


def _place(module: nn.Module, sample: Inputs) -> tuple[str, int]:
    """Returns the name of that activation, called once, and its channels; no name if there is none."""
    trace, _ = traced(module, lambda m: m(sample))
    addresses = [op.address.partition("#")[0] for op in trace.operations]
    for op in reversed(trace.operations):
        if not isinstance(op.layer, ACTIVATION_TYPES) or addresses.count(op.address) != 1:
            continue
        shape = trace.shapes[op.outputs[0]]
        if channel_axis(trace, op.inputs[0]) == -1:
            continue
        if len(shape) == _MAPS and _FEWEST <= shape[2] * shape[3] <= _MOST:
            return op.address, shape[1]
    return "", 0


def _fits(facts: Facts) -> str | None:
    if _place(facts.module, facts.sample)[0]:
        return None
    return f"no activation of the model sees maps [B, C, H, W] of {_FEWEST} to {_MOST} places, once"


TECHNIQUE = ModelTechnique(
    name="self_attention",
    summary="Let each place of the last map look at all others.",
    reference="Zhang et al., Self-Attention Generative Adversarial Networks, ICML 2019; Wang et al., "
    "Non-local Neural Networks, CVPR 2018",
    apply=self_attention,
    phase=Phase.GATES,
    settings=SelfAttentionSettings,
    fits=_fits,
)
