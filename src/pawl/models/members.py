"""Several predictors in one network: they share all weights but a scale per input and the last layer.

Shape legend: `K` members, `B` batch, `F` features, `W` width of the last hidden layer, `O` outputs.
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
    return any(isinstance(each, MemberHeads) for each in module.modules())


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
