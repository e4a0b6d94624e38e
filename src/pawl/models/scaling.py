"""What is left of a normalization that is taken out."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_LEAST = 1e-4
"""Of a deviation; what sees the same everywhere is left."""


class Scaling(nn.Module):
    """A scale and a shift that are learned: `x * weight + bias`, `[B, ...]` to `[B, ...]`.

    Args:
        weight: What broadcasts to a row.
        bias: Alike.
    """

    eps = math.nan
    """Equal to nothing; see `pawl.models.AlongLast`."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Scales."""
        return x * self.weight + self.bias


def learned_statistics(layer: nn.Module) -> bool:
    """Tells whether a layer is batch normalization that has seen something to normalize by."""
    if not isinstance(layer, _BatchNorm) or layer.running_mean is None:
        return False
    assert layer.running_var is not None
    return bool((layer.running_mean != 0.0).any() or (layer.running_var != 1.0).any())


def normalized_at_first(layer: Scaling, x: Tensor, _: Tensor) -> Tensor | None:
    """Lets what a layer sees now have mean 0 and deviation 1 in front of its scale and its shift.

    One mean and one deviation of all numbers, so that no channel that is silent now becomes loud.
    """
    mean, deviation = x.mean(), x.std(correction=0)
    if not deviation > _LEAST:
        return None
    layer.weight.data.div_(deviation)
    layer.bias.data.sub_(layer.weight.data * mean)
    return x * layer.weight + layer.bias


def without_normalizing(layer: Any, dimensions: int) -> Scaling:
    """Returns what scales and shifts as a normalization does behind its dividing.

    Of batch normalization what it computes in evaluation.

    Args:
        layer: Batch, group, instance, layer or RMS normalization.
        dimensions: Of what it takes, `[B, ...]`.
    """
    shape = getattr(layer, "normalized_shape", None)
    if shape is None:
        channels = getattr(layer, "num_features", None) or getattr(layer, "num_channels", None)
        shape = (channels or len(layer.weight), *[1] * (dimensions - 2))
    own: dict[str, Tensor | None] = {n: getattr(layer, n, None) for n in ("weight", "bias")}
    weight, bias = own["weight"], own["bias"]
    weight = torch.ones(shape) if weight is None else weight.detach().reshape(shape)
    bias = torch.zeros(shape) if bias is None else bias.detach().reshape(shape)
    if isinstance(layer, _BatchNorm) and layer.running_mean is not None:
        assert layer.running_var is not None
        weight = weight * torch.rsqrt(layer.running_var + layer.eps).reshape(shape)
        bias = bias - weight * layer.running_mean.reshape(shape)
    return Scaling(weight, bias)
