"""Copies of a network's parts that start by returning what they get, where they can."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from pawl.data.types import Inputs
from pawl.models.blocks import ADDING, Part, rows_of
from pawl.models.duplicates import duplicate
from pawl.models.operations import Operation, traced

_WEIGHTED = (
    nn.Linear,
    _ConvNd,
    nn.MultiheadAttention,
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
)  # fmt: skip
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""What a module is called with: in order, and by name."""


def copied(module: nn.Module, part: Part, given: Arguments, *, learned: bool) -> nn.Module | None:
    """Returns a copy of a part whose weights are drawn anew, and that returns its input if it can.

    Where something is added to the input, the last layer on the way to what is added gets weights
    of 0; whether the copy then returns its input is tried.

    Args:
        module: The whole.
        part: What is to be copied.
        given: What it is called with.
        learned: Whether to copy weights.

    Returns:
        `None` if the weights are learned and the copy would change what the module predicts.
    """
    home = module.get_submodule(part.home)
    inside = [duplicate(home.get_submodule(name)) for name in part.children]
    whole = inside[0] if len(inside) == 1 else nn.Sequential(*inside)
    if not learned:
        with torch.no_grad():
            for weight in whole.parameters():
                weight.copy_(weight.mean() + weight.std(correction=0) * torch.randn_like(weight))
    if not part.residual:
        return None if learned else whole
    args, kwargs = copy.deepcopy(given)
    quiet = duplicate(whole)
    for layer in _ends(quiet, args, kwargs):
        for name, weight in layer.named_parameters():
            if name in ("weight", "bias", "out_proj.weight", "out_proj.bias"):
                nn.init.zeros_(weight)
    was = quiet.training
    with torch.no_grad():
        alike = torch.allclose(quiet.eval()(*args, **kwargs), args[0], rtol=1e-5, atol=1e-6)
    if alike:
        return quiet.train(was)
    return None if learned else whole


def arguments(module: nn.Module, found: Sequence[Part], sample: Inputs) -> list[Arguments]:
    """Returns what each part is called with on a few rows."""
    kept: dict[str, Arguments] = {}
    probe = copy.deepcopy(module).eval()
    for part in found:
        probe.get_submodule(part.name).register_forward_pre_hook(
            lambda _, args, kwargs, name=part.name: kept.update(
                {name: copy.deepcopy((args, kwargs))}
            ),
            with_kwargs=True,
        )
    with torch.no_grad():
        probe(rows_of(sample))
    return [kept[part.name] for part in found]


def _ends(part: nn.Module, args: tuple[Any, ...], kwargs: Any) -> list[nn.Module]:
    """Returns the last layer in front of each addition, on the side that is not the sum so far."""
    trace, ran = traced(part, lambda m: m(*copy.deepcopy(args), **kwargs))
    names = {id(each): name for name, each in ran.named_modules()}
    makers = {number: op for op in trace.operations for number in op.outputs}
    found = []
    for op in trace.operations:
        if op.name not in ADDING or len(op.inputs) != 2:
            continue
        ends = [_end(number, makers) for number in op.inputs]
        known = [end for end in ends if end is not None]
        if len(known) == 1:
            found.append(part.get_submodule(names[id(known[0])]))
    return found


def _end(number: int, makers: dict[int, Operation]) -> nn.Module | None:
    op = makers.get(number)
    if op is None or op.name in ADDING:
        return None
    if isinstance(op.layer, _WEIGHTED):
        return op.layer
    for each in op.inputs:
        end = _end(each, makers)
        if end is not None:
            return end
    return None
