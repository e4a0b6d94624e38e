"""Copies of a network's parts that start by returning what they get, where that keeps what there is."""

from __future__ import annotations

import torch
from torch import nn

from pawl.models.blocks import Part
from pawl.models.duplicates import duplicate
from pawl.models.layers import LayerScale


def copied(module: nn.Module, part: Part, *, learned: bool) -> nn.Module:
    """Returns a copy of a part: learned, or with weights drawn like those that it has.

    One that was learned, or that adds its input, starts by returning its input, and learns how much of
    itself to add (Bachlechner et al., ReZero, 2020).

    Args:
        module: The whole.
        part: What is to be copied.
        learned: Whether to copy weights.
    """
    home = module.get_submodule(part.home)
    inside = [duplicate(home.get_submodule(name)) for name in part.children]
    whole = inside[0] if len(inside) == 1 else nn.Sequential(*inside)
    if not learned:
        with torch.no_grad():
            for weight in whole.parameters():
                weight.copy_(weight.mean() + weight.std(correction=0) * torch.randn_like(weight))
    return LayerScale(whole, (), 0.0) if learned or part.residual else whole
