"""Several predictors in one network: they share all weights but scales and, of some, the last layer.

Shape legend: `K` members, `B` batch, `F` features, `W` width of the last hidden layer, `O` outputs, `C`
channels or numbers that go into a layer, `D` that come out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pawl.kinds import Kind


class Spread(nn.Module):
    """Gives each member its own scaled copy of the rows, `[B, F]` to `[K * B, F]`, members outside.

    Args:
        scale: What each member multiplies each feature by at the start, `[K, F]`; trained.
    """

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Spreads."""
        return (x.unsqueeze(0) * self.scale.unsqueeze(1)).flatten(0, 1)


def predicts_several_times(module: nn.Module) -> bool:
    """Tells whether a network returns several predictions of each row in training, `[K, B, O]`."""
    return any(isinstance(each, MemberHeads | Pooled) for each in module.modules())


class MemberHeads(nn.Module):
    """A last layer for each member, `[K * B, W]` to `[K, B, O]` in training.

    In evaluation the members are one model, `[B, O]`, which predicts the mean of their predictions.

    Args:
        members: `K`.
        width: `W`.
        num_outputs: `O`.
        kind: What is predicted.
    """

    def __init__(self, members: int, width: int, num_outputs: int, kind: Kind) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(width)  # as `nn.Linear` starts
        self.weight = nn.Parameter(torch.empty(members, width, num_outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, num_outputs).uniform_(-bound, bound))
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """Computes each member's outputs, or what they say together."""
        out = torch.baddbmm(self.bias, x.reshape(len(self.weight), -1, x.shape[-1]), self.weight)
        if self.training:
            return out
        return self.kind.pooled(out)


class RankOne(nn.Module):
    """A layer whose weights are those of a shared one times a matrix of rank one for each member.

    `y_k = layer(x * r_k) * s_k + b_k`, which is the layer with the weights `W * (s_k r_k^T)`; `r`, `s`
    and `b` are trained. Maps `[K * B, C, ...]`, members outside, to `[K * B, D, ...]`.

    Args:
        layer: Linear or convolutional; its bias becomes every member's first one.
        members: `K`.
        first: Whether it takes rows that have no members yet, `[B, C, ...]`.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, members: int, *, first: bool) -> None:
        super().__init__()
        linear = isinstance(layer, nn.Linear)
        taken = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
        made, places = layer.weight.shape[0], () if linear else (1, 1)
        self.members, self.first = members, first
        self.taken = nn.Parameter(_signs(members, 1, taken, *places))
        self.made = nn.Parameter(_signs(members, 1, made, *places))
        bias = torch.zeros(made) if layer.bias is None else layer.bias.detach()
        self.bias = nn.Parameter(bias.view(1, 1, made, *places).repeat(members, 1, 1, *places))
        layer.register_parameter("bias", None)
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Computes each member's."""
        each = x.unsqueeze(0) if self.first else _by_member(x, self.members)
        found: Tensor = self.layer((each * self.taken).flatten(0, 1))
        return (_by_member(found, self.members) * self.made + self.bias).flatten(0, 1)


class Pooled(nn.Module):
    """What members predict: `[K * B, W]` to `[K, B, O]` in training, to `[B, O]` in evaluation.

    Args:
        layer: The last one; maps `[K * B, W]` to `[K * B, O]`.
        members: `K`.
        kind: What is predicted.
    """

    def __init__(self, layer: nn.Module, members: int, kind: Kind) -> None:
        super().__init__()
        self.layer, self.members, self.kind = layer, members, kind

    def forward(self, x: Tensor) -> Tensor:
        """Computes each member's outputs, or what they say together."""
        out = _by_member(self.layer(x), self.members)
        return out if self.training else self.kind.pooled(out)


def _by_member(x: Tensor, members: int) -> Tensor:
    """Returns `[K * B, ...]` as `[K, B, ...]`."""
    return x.reshape(members, -1, *x.shape[1:])


def _signs(*shape: int) -> Tensor:
    """Returns 1 or -1, drawn at random."""
    return torch.randint(0, 2, shape).float() * 2.0 - 1.0
