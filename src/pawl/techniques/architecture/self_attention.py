"""Attention over the places of a map, or the steps of a row."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import MapAttention
from pawl.models.axes import channel_axis
from pawl.models.operations import traced
from pawl.models.surgery import ACTIVATION_TYPES, replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_MAPS, _FEWEST, _MOST = 4, 4, 1024
_ATTENDING = frozenset({"softmax", "Softmax", "scaled_dot_product_attention", "MultiheadAttention"})


class SelfAttentionSettings(Settings):
    """Settings of `self_attention`."""

    reduction: Literal[1, 2, 4, 8] = Field(4, description="channels over units of queries and keys")


def self_attention(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Puts attention behind the last activation that sees 4 to 1024 places; its weight starts at 0.

    Places are those of a map, or steps of a row.
    """
    name, channels, last = _place(module, sample)

    def make(each: str, old: nn.Module) -> nn.Module | None:
        if each != name:
            return None
        return nn.Sequential(old, MapAttention(channels, settings.reduction, last=last))

    replace(module, make)
    return module


def _place(module: nn.Module, sample: Inputs) -> tuple[str, int, bool]:
    """Returns that activation's name, its channels, and whether they lie along the last axis.

    It is called once. No name if there is none.
    """
    trace, _ = traced(module, lambda m: m(sample))
    addresses = [op.address.partition("#")[0] for op in trace.operations]
    attends = any(op.name in _ATTENDING for op in trace.operations)
    for op in reversed(trace.operations):
        if not isinstance(op.layer, ACTIVATION_TYPES) or addresses.count(op.address) != 1:
            continue
        shape, axis = trace.shapes[op.outputs[0]], channel_axis(trace, op.inputs[0])
        if axis is None and len(shape) == _MAPS:
            axis = 1
        if len(shape) < 3 or axis not in (1, -1) or (axis == -1 and attends):
            continue
        places = math.prod(shape[1:-1] if axis == -1 else shape[2:])
        if _FEWEST <= places <= _MOST:
            return op.address, shape[axis], axis == -1
    return "", 0, False


def _fits(facts: Facts) -> str | None:
    if _place(facts.module, facts.sample)[0]:
        return None
    return (
        f"no activation of the model sees {_FEWEST} to {_MOST} places of a map or steps of a row, once, "
        "without attention that is there already"
    )


TECHNIQUE = ModelTechnique(
    name="self_attention",
    summary="Let each place of the last map, or step of a row, look at all others.",
    reference="Zhang et al., Self-Attention Generative Adversarial Networks, ICML 2019; Wang et al., "
    "Non-local Neural Networks, CVPR 2018",
    apply=self_attention,
    phase=Phase.GATES,
    settings=SelfAttentionSettings,
    fits=_fits,
)
