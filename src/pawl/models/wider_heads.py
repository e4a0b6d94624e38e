"""Heads with hidden units of their own."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class HiddenHead(nn.Module):
    """A linear head, and beside it what hidden units add: `W x + b + V relu(U x + c)`, `V` from 0 on.

    Maps `[B, ..., D]` to `[B, ..., O]`, at first as the linear layer does.

    Args:
        linear: `W` and `b`.
        units: Hidden units.
    """

    def __init__(self, linear: nn.Linear, units: int) -> None:
        super().__init__()
        self.linear = linear
        self.hidden = nn.Linear(linear.in_features, units)
        self.out = nn.Linear(units, linear.out_features, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        return self.linear(x) + self.out(F.relu(self.hidden(x)))  # type: ignore[no-any-return]
