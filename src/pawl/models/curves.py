"""Front layers that bend each number: along a curve of straight pieces, or by a power.

Shape legend: `B` batch, `F` numbers of a row, `K` knots (a power of two).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pawl.data.types import Inputs

_NEAR = 1e-3


class Curves(nn.Module):
    """Maps each number of an input `[B, F]` along a curve of its own, level beyond its ends.

    The piece that a number lies on is found by bisection, so that a row costs `log2(K)` look-ups.

    Args:
        name: The input.
        at: Knots of each number, rising, `[F, K]`; those that are not needed repeat the last.
        to: What the knots are mapped to, `[F, K]`.
    """

    start: Tensor
    value: Tensor
    slope: Tensor

    def __init__(self, name: str, at: Tensor, to: Tensor) -> None:
        super().__init__()
        self.name, self.knots = name, at.shape[1]
        assert self.knots & (self.knots - 1) == 0
        width, height = at.diff(dim=1), to.diff(dim=1)
        slope = torch.where(width > 0, height / width.clamp_min(1e-30), 0.0)
        slope = torch.cat([slope, torch.zeros_like(at[:, :1])], dim=1)
        for each, value in (("start", at), ("value", to), ("slope", slope)):
            self.register_buffer(each, value.flatten())

    def forward(self, inputs: Inputs) -> Inputs:
        """Maps."""
        x = inputs[self.name]
        flat = x.unsqueeze(1) if x.dim() == 1 else x
        first = torch.arange(flat.shape[1], device=x.device) * self.knots
        place = first.expand(flat.shape)
        step = self.knots // 2
        while step:
            ahead = place + step
            place = torch.where(flat >= self.start[ahead], ahead, place)
            step //= 2
        beyond = (flat - self.start[place]).clamp_min(0.0)
        found = self.value[place] + self.slope[place] * beyond
        return {**inputs, self.name: found.view_as(x)}


class Power(nn.Module):
    """Bends numbers by Yeo and Johnson's power: for `x >= 0` it is `((x + 1)^p - 1) / p`.

    Below 0 it is `-((1 - x)^(2 - p) - 1) / (2 - p)`; where a divisor is 0, the
    logarithm takes its place. So `p = 1` leaves numbers as they are.

    Args:
        powers: By input, `[F]`.
    """

    def __init__(self, powers: Inputs) -> None:
        super().__init__()
        self.names = tuple(powers)
        for name in self.names:
            self.register_buffer(f"power_{name}", powers[name])

    def forward(self, inputs: Inputs) -> Inputs:
        """Bends."""
        changed = {name: bent(inputs[name], getattr(self, f"power_{name}")) for name in self.names}
        return {**inputs, **changed}


def bent(x: Tensor, power: Tensor) -> Tensor:
    """Returns Yeo and Johnson's power of numbers `[B, F]`; see `Power`."""
    above, below = torch.log1p(x.clamp_min(0.0)), torch.log1p((-x).clamp_min(0.0))
    return torch.where(x >= 0, _grown(above, power), -_grown(below, 2.0 - power))


def _grown(log: Tensor, power: Tensor) -> Tensor:
    """Returns `(exp(power log) - 1) / power`, also near a power of 0."""
    near = power.abs() < _NEAR
    divisor = torch.where(near, 1.0, power)
    series = log * (1.0 + 0.5 * power * log)
    return torch.where(near, series, (torch.exp(divisor * log) - 1.0) / divisor)
