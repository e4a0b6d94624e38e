"""A sum of small networks: since each has one hidden layer, all of them are one wide layer.

Shape legend: `B` rows, `D` numbers of a row, `F` of them with bins, `K` bins of each, `T` networks, `H`
hidden units of each, `O` outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BoostedNets(nn.Module):
    """A constant and what networks of one hidden layer add to it: `[B, D]` to `[B, O]`.

    `y = base + sum_t V_t relu(W_t [s, b] + c_t)` of the scaled row `s` and `b`, how far some of
    its numbers reach into each of their bins. A fresh one has no networks, of rows of one number.

    Args:
        outputs: `O`.
        numbers: Which of a row's numbers have bins, `F` at least 1.

    Attributes:
        shift: `[D]`.
        scale: What rows are multiplied by once shifted, `[D]`.
        low: Lower ends of bins of scaled numbers, `[F, K]`.
        width: One over the width of each, 0 for a bin that is none, `[F, K]`.
        first: `W` of all networks, one beside the other, `[D + F K, T H]`.
        constant: `c`, `[T H]`.
        last: `V`, with what a network counts in it, `[T H, O]`.
        base: `[O]`.
        rounds: `T`, `[]`.
    """

    shift: Tensor
    scale: Tensor
    low: Tensor
    width: Tensor
    first: Tensor
    constant: Tensor
    last: Tensor
    base: Tensor
    rounds: Tensor

    def __init__(self, outputs: int, numbers: tuple[int, ...]) -> None:
        super().__init__()
        self.numbers = numbers
        fresh = {
            "shift": torch.zeros(1),
            "scale": torch.ones(1),
            "low": torch.zeros(len(numbers), 1),
            "width": torch.zeros(len(numbers), 1),
            "first": torch.zeros(1 + len(numbers), 1),
            "constant": torch.zeros(1),
            "last": torch.zeros(1, outputs),
            "base": torch.zeros(outputs),
            "rounds": torch.zeros((), dtype=torch.int64),
        }
        for name, tensor in fresh.items():
            self.register_buffer(name, tensor)

    def seen(self, x: Tensor) -> Tensor:
        """Returns what networks see of rows, `[B, D]` to `[B, D + F K]`."""
        x = (x - self.shift) * self.scale
        reached = ((x[:, list(self.numbers)].unsqueeze(-1) - self.low) * self.width).clamp(0.0, 1.0)
        return torch.cat([x, reached.flatten(1)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Adds up."""
        return F.relu(self.seen(x) @ self.first + self.constant) @ self.last + self.base
