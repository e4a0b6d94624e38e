"""Attention over the places of a map, or the steps of a row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import MapAttention
from pawl.models.axes import channel_axis
from pawl.models.operations import Trace, traced
from pawl.models.recurrent import Followed, width_followed
from pawl.models.surgery import PLACES, replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_MAPS, _FEWEST, _MOST = 4, 4, 1024
_ATTENDING = frozenset({"softmax", "Softmax", "scaled_dot_product_attention", "KeyedScores"})


class SelfAttentionSettings(Settings):
    """Settings of `self_attention`."""

    reduction: Literal[1, 2, 4, 8] = Field(4, description="channels over units of queries and keys")


def self_attention(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Puts attention behind the last activation that sees 4 to 1024 places; its weight starts at 0.

    Places are those of a map, or steps of a row; so are outputs of recurrent layers. An activation
    that is called again and again is taken if there is no other.
    """
    name, channels, last = _place(module, sample)

    def make(each: str, old: nn.Module) -> nn.Module | None:
        if each != name:
            return None
        attention = MapAttention(channels, settings.reduction, last=last)
        if isinstance(old, nn.RNNBase):
            return Followed(old, attention)
        return nn.Sequential(old, attention)

    replace(module, make)
    return module


def _place(module: nn.Module, sample: Inputs) -> tuple[str, int, bool]:
    """Returns that activation's name, its channels, and whether they lie along the last axis.

    No name if there is none.
    """
    trace, _ = traced(module, lambda m: m(sample))
    found: dict[str, list[tuple[int, bool]]] = {}
    for name, place in _places(trace):
        found.setdefault(name, []).append(place)
    calls = [op.address.partition("#")[0] for op in trace.operations]
    fit = [n for n, seen in found.items() if len(seen) == calls.count(n) and len(set(seen)) == 1]
    for name in [*(n for n in fit if calls.count(n) == 1), *fit]:
        return name, *found[name][0]
    return "", 0, False


def _places(trace: Trace) -> Iterator[tuple[str, tuple[int, bool]]]:
    """Yields each call that attention could stand behind, the last first; see `_place`."""
    attends = any(
        op.name in _ATTENDING or isinstance(op.layer, nn.MultiheadAttention)
        for op in trace.operations
    )
    for op in reversed(trace.operations):
        name = op.address.partition("#")[0]
        recurrent = isinstance(op.layer, nn.RNNBase)
        if not (width_followed(trace, name) if recurrent else isinstance(op.layer, PLACES)):
            continue
        if recurrent and not getattr(op.layer, "batch_first", False):
            continue
        shape = trace.shapes[op.outputs[0]]
        axis = -1 if recurrent else channel_axis(trace, op.inputs[0])
        if axis is None and len(shape) == _MAPS:
            axis = 1
        if len(shape) < 3 or axis not in (1, -1) or (axis == -1 and attends):
            continue
        places = math.prod(shape[1:-1] if axis == -1 else shape[2:])
        if _FEWEST <= places <= _MOST:
            yield name, (shape[axis], axis == -1)


def _fits(facts: Facts) -> str | None:
    if _place(facts.module, facts.sample)[0]:
        return None
    return (
        f"no activation of the model sees {_FEWEST} to {_MOST} places of a map or steps of a row, alike "
        "each time, without attention that is there already"
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
