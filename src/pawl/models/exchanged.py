"""Layers that take the place of others: blurred pooling, pooled heads, attention, and more.

Shape legend: `B` rows, `C` channels, `H`, `W` the map, `L = H * W` its places.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import type_before_parametrizations

from pawl.models.computed import likewise
from pawl.models.layers import Around


class BlurPool2d(nn.Module):
    """Maximum at every place, blurred by `[1, 2, 1] / 4` each way, then every so many places of it.

    Returns the shape that `nn.MaxPool2d` of the same arguments does. Reference: Zhang, "Making
    Convolutional Networks Shift-Invariant Again", ICML 2019.

    Args:
        kernel: Places each way that the maximum is of.
        stride: Places from one to the next.
        padding: Places that are added around.
        ceil: Whether places at the far end that fill no stride give one more.
    """

    def __init__(self, kernel: int, stride: int, padding: int, *, ceil: bool) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding, self.ceil = kernel, stride, padding, ceil

    def forward(self, x: Tensor) -> Tensor:
        """Pools, `[B, C, H, W]` to `[B, C, H', W']`."""
        y = F.max_pool2d(x, self.kernel, stride=1, padding=self.padding)
        more = [(1 - size) % self.stride if self.ceil else 0 for size in y.shape[-2:]]
        y = F.pad(y, (1, 1 + more[1], 1, 1 + more[0]), mode="replicate")
        y = (y[..., :-2] + 2 * y[..., 1:-1] + y[..., 2:])[..., :: self.stride]
        y = (y[..., :-2, :] + 2 * y[..., 1:-1, :] + y[..., 2:, :])[..., :: self.stride, :]
        return y / 16

    def extra_repr(self) -> str:
        """Shows the arguments."""
        return (
            f"kernel={self.kernel}, stride={self.stride}, padding={self.padding}, ceil={self.ceil}"
        )


class PooledLinear(nn.Module):
    """A linear layer of each channel's mean: takes a flattened map, `[B, C * L]`.

    Args:
        channels: `C`.
        places: `L`.
        outputs: Units.
        bias: Whether there is one.
    """

    def __init__(self, channels: int, places: int, outputs: int, *, bias: bool) -> None:
        super().__init__()
        self.channels, self.places = channels, places
        self.linear = nn.Linear(channels, outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Averages and maps to `[B, O]`."""
        means = x.reshape(*x.shape[:-1], self.channels, self.places).mean(-1)
        return self.linear(means)  # type: ignore[no-any-return]


class MapAttention(nn.Module):
    """Lets each place of a map look at all others: `x + g softmax(q k' / sqrt(d)) v`, `g` from 0 on.

    Reference: Zhang et al., "Self-Attention Generative Adversarial Networks", ICML 2019, after Wang et
    al., "Non-local Neural Networks", CVPR 2018; scores scaled as Vaswani et al. do, 2017.

    Args:
        channels: `C` of maps `[B, C, H, W]`, or of rows of steps `[B, C, L]`.
        reduction: `C` over the units of queries and keys.
        last: Whether channels lie along the last axis, `[B, ..., C]`.
    """

    def __init__(self, channels: int, reduction: int, *, last: bool = False) -> None:
        super().__init__()
        self.last = last
        units = max(1, channels // reduction)
        self.query, self.key = nn.Linear(channels, units), nn.Linear(channels, units)
        self.value = nn.Linear(channels, channels)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Looks."""
        x_BLC = x.flatten(1, -2) if self.last else x.flatten(2).transpose(1, 2)
        query = self.query(x_BLC) * self.query.out_features**-0.5
        scores = query @ self.key(x_BLC).transpose(1, 2)
        y_BLC = scores.softmax(-1) @ self.value(x_BLC)
        y = y_BLC if self.last else y_BLC.transpose(1, 2)
        return x + self.gate * y.reshape(x.shape)  # type: ignore[no-any-return]


class ChannelRMSNorm(nn.Module):
    """Divides each row of a map by its root mean square, then scales each channel.

    Args:
        channels: `C` of maps `[B, C, ...]`.
    """

    EPSILON = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes."""
        axes = tuple(range(1, x.dim()))
        scale = torch.rsqrt(x.square().mean(axes, keepdim=True) + self.EPSILON)
        return x * scale * self.weight.reshape(-1, *[1] * (x.dim() - 2))


class DeviationNorm(nn.LayerNorm):
    """Layer normalization by the deviation itself: `(x - m) / (f s + e) * w + b`.

    `m` and `s` are mean and standard deviation along the last axis, `C` numbers. That is how it is
    written out often, with `x.std(-1)`, and then not quite what `nn.LayerNorm` computes.

    Args:
        count: `C`.
        epsilon: `e`.
        corrected: Whether `s` is that of a sample, `f = sqrt(C / (C - 1))`; else `f` is 1.
        affine: Whether there are `w` and `b`.
    """

    def __init__(self, count: int, epsilon: float, *, corrected: bool, affine: bool = True) -> None:
        super().__init__(count, epsilon, affine)
        # Of the number of units at first: more of them, alike, are to change nothing.
        self.factor = math.sqrt(count / (count - 1)) if corrected and count > 1 else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes."""
        centered = x - x.mean(-1, keepdim=True)
        return _affine(
            centered / (self.factor * _root(centered) + self.eps), self.weight, self.bias
        )


class RootNorm(nn.RMSNorm):
    """Root mean square normalization with what keeps from dividing by 0 outside: `x / (r + e) * w`.

    Reference: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, as they wrote it out.

    Args:
        count: `C` numbers along the last axis.
        epsilon: `e`.
        affine: Whether there is `w`.
    """

    def __init__(self, count: int, epsilon: float, *, affine: bool = True) -> None:
        super().__init__(count, epsilon, affine)
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes."""
        return _affine(x / (_root(x) + self.epsilon), self.weight, None)


def _root(x: Tensor) -> Tensor:
    """Returns the root of the mean square along the last axis; its gradient at 0 is 0."""
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return length / math.sqrt(x.shape[-1])


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


class AlongChannels(Around):
    """Lets a layer of the last axis act on the channels of maps `[B, C, ...]`.

    Args:
        inner: The layer.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Acts."""
        y: Tensor = self.inner(x.movedim(1, -1))
        return y.movedim(-1, 1).contiguous()  # as what it takes the place of


class AlongLast(Around):
    """Lets a layer of channels act on the last axis of inputs `[B, ..., C]`.

    Args:
        inner: The layer; takes `[B, C, L]`, or `[B, C]`.
        apart: Whether it takes each place like a row of its own.
    """

    eps = math.nan
    """Equal to nothing: `nn.TransformerEncoderLayer` compares those of its two normalizations to see
    whether it may compute both as layer normalizations, without calling them."""

    def __init__(self, inner: nn.Module, *, apart: bool) -> None:
        super().__init__()
        self.inner, self.apart = inner, apart

    def forward(self, x: Tensor) -> Tensor:
        """Acts."""
        if self.apart:
            y: Tensor = self.inner(x.reshape(-1, x.shape[-1]))
        else:
            y = self.inner(x.flatten(1, -2).transpose(1, 2)).transpose(1, 2)
        return y.reshape(x.shape).contiguous()  # others may view what the layer before returned


def separable(layer: nn.Conv1d | nn.Conv2d) -> nn.Sequential:
    """Returns a convolution of each channel by itself and one of all channels at each place.

    Where weights are computed, as by weight normalization, theirs are computed likewise.
    Reference: Howard et al., "MobileNets", 2017.
    """
    kind: Any = type_before_parametrizations(layer)
    kept = {
        name: getattr(layer, name)
        for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
    }
    inputs = layer.in_channels
    both = (
        kind(inputs, inputs, groups=inputs, bias=False, **kept),
        kind(inputs, layer.out_channels, 1, bias=layer.bias is not None),
    )
    return nn.Sequential(*(likewise(layer, each) for each in both))
