"""Heads that see each channel's mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from pawl.data.types import Inputs
from pawl.models import PooledLinear, is_pretrained
from pawl.models.operations import Operation, Trace, traced
from pawl.models.surgery import replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_MAPS = 4
_THROUGH = (nn.Dropout, nn.Identity)
_FLATTENING = frozenset({"flatten", "view", "reshape", "Flatten"})


@dataclass(frozen=True)
class _Head:
    """A linear layer of a flattened map."""

    name: str
    channels: int
    places: int


def global_pooling(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Averages each channel over the map in front of the linear layer that takes the flattened map.

    Learned weights are summed up over places, others drawn for the smaller fan-in.
    """
    heads = {head.name: head for head in _heads(module, sample)}
    learned = is_pretrained(module)

    def make(name: str, old: nn.Module) -> nn.Module | None:
        if name not in heads:
            return None
        assert isinstance(old, nn.Linear)
        return _pooled(old, heads[name], learned=learned)

    replace(module, make)
    return module


def _pooled(old: nn.Linear, head: _Head, *, learned: bool) -> nn.Module:
    new = PooledLinear(head.channels, head.places, old.out_features, bias=old.bias is not None)
    weight = old.weight.detach()
    with torch.no_grad():
        if learned:
            places = weight.view(-1, head.channels, head.places)
            new.linear.weight.copy_(places.sum(-1))
        else:
            deviation = weight.std(correction=0) * math.sqrt(head.places)
            drawn = torch.randn_like(new.linear.weight)
            new.linear.weight.copy_(weight.mean() + deviation * drawn)
        if old.bias is not None:
            new.linear.bias.copy_(old.bias)
    return new


def _heads(module: nn.Module, sample: Inputs) -> list[_Head]:
    trace, _ = traced(module, lambda m: m(sample))
    makers = {number: op for op in trace.operations for number in op.outputs}
    found = []
    for op in trace.operations:
        if type(op.layer) is not nn.Linear or "#" in op.address or len(op.inputs) != 1:
            continue
        shape = _flattened(op.inputs[0], makers, trace)
        if shape is not None and op.layer.in_features == math.prod(shape[1:]):
            places = math.prod(shape[2:])
            if places > 1 and isinstance(op.layer.weight, nn.Parameter):
                found.append(_Head(op.address, shape[1], places))
    return found


def _flattened(number: int, makers: dict[int, Operation], trace: Trace) -> tuple[int, ...] | None:
    """Returns the shape of the map that a tensor `[B, C * H * W]` was made of, if it was."""
    op = makers.get(number)
    while op is not None and (
        isinstance(op.layer, _THROUGH) or op.name in ("KeyedDropout", "dropout")
    ):
        op = makers.get(op.inputs[0])
    if op is None or op.name not in _FLATTENING or op.inputs[0] not in makers:
        return None  # also what is flattened as it comes
    shape = trace.shapes[op.inputs[0]]
    vector = trace.shapes[op.outputs[0]] == (shape[0], math.prod(shape[1:]))
    return shape if len(shape) == _MAPS and vector else None


def _fits(facts: Facts) -> str | None:
    if _heads(facts.module, facts.sample):
        return None
    return "no linear layer of the model takes a map [B, C, H, W] that was flattened"


TECHNIQUE = ModelTechnique(
    name="global_pooling",
    summary="Give the head each channel's mean in place of the flattened map.",
    reference="Lin, Chen and Yan, Network In Network, ICLR 2014",
    apply=global_pooling,
    phase=Phase.COPIES,
    fits=_fits,
)
